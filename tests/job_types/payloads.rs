//! What the schemas of the ten types refuse at the door, and where they say the fault is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Rig;
use crate::support::{HostOptions, product::TYPES};

/// Changes to a good payload (null takes a field away), and the pointer of what is wrong then; empty: the payload as a whole.
fn wrong(job_type: &str) -> Vec<(Value, &'static str)> {
    match job_type {
        "payment-process" => vec![
            (json!({"venueId": "no place"}), "/venueId"),
            (json!({"amount": 0}), "/amount"),
            (json!({"currency": "eur"}), "/currency"),
            (json!({"paymentMethod": "4242424242424242"}), "/paymentMethod"),
            (json!({"email": "nobody"}), "/email"),
            (json!({"items": []}), "/items"),
            (json!({"items": [{"name": "Seat", "quantity": 0, "unitAmount": 5000}]}), "/items/0/quantity"),
            (json!({"items": null}), ""),
        ],
        "refund-process" => vec![
            (json!({"transactionId": "ch_1"}), "/transactionId"),
            (json!({"amount": "1000"}), "/amount"),
            (json!({"reason": "regret"}), "/reason"),
            (json!({"name": "Anna\r\nBcc: x"}), "/name"),
            (json!({"transactionId": null}), ""),
        ],
        "payout-process" => vec![
            (json!({"amount": 1.5}), "/amount"),
            (json!({"currency": "euro"}), "/currency"),
            (json!({"account": "ba_1"}), "/account"),
            (json!({"period": "the last one"}), "/period"),
            // Neither a period nor an id; both a bank's account and a transfer.
            (json!({"period": null}), ""),
            (json!({"account": "acct_1", "transferTo": "acct_2"}), ""),
        ],
        "nft-mint" => vec![
            (json!({"profile": "ethereum"}), "/profile"),
            (json!({"recipient": "0xabc"}), "/recipient"),
            (json!({"royaltyBps": 10_001}), "/royaltyBps"),
            (json!({"attributes": {"row": 7}}), "/attributes/row"),
            (json!({"image": "http://example.com/seat.png"}), "/image"),
            (json!({"seatId": null}), ""),
            // On the chain there is nobody to ask where it goes.
            (json!({"profile": "solana"}), ""),
        ],
        "send-email" => vec![
            (json!({"to": "nobody"}), "/to"),
            (json!({"to": []}), "/to"),
            (json!({"subject": "Doors\nBcc: x"}), "/subject"),
            (json!({"replyTo": "nobody"}), "/replyTo"),
            (
                json!({"attachments": [{"name": "a.txt", "contentType": "text/plain", "content": "%"}]}),
                "/attachments/0/content",
            ),
            (json!({"text": null}), ""),
            (json!({"template": "order", "data": {}}), ""),
        ],
        "send-sms" => vec![
            (json!({"to": "01511234567"}), "/to"),
            (json!({"template": "poem"}), "/template"),
            (json!({"template": null, "data": null, "message": ""}), "/message"),
            (json!({"data": {"code": "1"}}), ""),
            (json!({"message": "and a template"}), ""),
        ],
        "send-push" => vec![
            (json!({"title": ""}), "/title"),
            (json!({"topic": "no spaces"}), "/topic"),
            (json!({"data": {"door": 7}}), "/data/door"),
            (json!({"token": "no spaces"}), "/token"),
            // Neither a token nor a topic; both.
            (json!({"topic": null}), ""),
            (json!({"token": "t-1"}), ""),
        ],
        "analytics-track" => vec![
            (json!({"event": ""}), "/event"),
            (json!({"userId": 7}), "/userId"),
            (json!({"properties": ["door"]}), "/properties"),
            (json!({"event": null}), ""),
        ],
        "cleanup-old-data" => vec![
            (json!({"collection": "../users"}), "/collection"),
            (json!({"before": "yesterday"}), "/before"),
            (json!({"pageSize": 0}), "/pageSize"),
            (json!({"resume": {"cursor": "1", "pages": 0, "deleted": 1}}), "/resume/pages"),
            // Neither a cut-off nor an age; both.
            (json!({"before": null}), ""),
            (json!({"olderThanDays": 30}), ""),
        ],
        "generate-report" => vec![
            (json!({"report": "Sales!"}), "/report"),
            (json!({"format": "xml"}), "/format"),
            (json!({"from": "in January"}), "/from"),
            (json!({"columns": ["sum", "sum"]}), "/columns"),
            (json!({"format": "json", "columns": ["sum"]}), "/columns"),
            (json!({"report": null}), ""),
        ],
        other => panic!("no wrong payload of {other}"),
    }
}

fn changed(good: &Value, change: &Value) -> Value {
    let mut payload = good.clone();
    let fields = payload.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    payload
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_payload_of_each_type_is_refused_with_its_place_and_makes_no_job() {
    let rig = Rig::start_with("", |options| HostOptions { concurrency: 0, ..options }).await;
    let client = rig.host.client();
    for ((job_type, _), n) in TYPES.into_iter().zip(1..) {
        // What is refused below is refused for the change alone.
        let good = rig.product.payload(job_type, n).await;
        client.submit(job_type, good.clone()).await;
        let mut all = wrong(job_type);
        all.push((json!({"colour": "red"}), ""));
        for (change, pointer) in all {
            let body = json!({"type": job_type, "payload": changed(&good, &change)});
            let answer = client.post(body.to_string()).await;
            assert_eq!(answer.status.as_u16(), 422, "{job_type} {change}: {}", answer.body);
            assert_eq!(answer.body["type"], "urn:usher:problem:invalid-payload", "{job_type} {change}");
            let errors = answer.body["errors"].as_array().unwrap();
            let places: BTreeSet<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
            assert!(places.contains(pointer), "{job_type} {change}: {}", answer.body);
            // Where one of several shapes has to fit, that none does is a fault of the whole beside it, and nothing else is.
            assert!(places.iter().all(|place| [pointer, ""].contains(place)), "{job_type} {change}: {}", answer.body);
        }
    }
    assert_eq!(rig.db.count("SELECT count(*) FROM jobs").await, 10, "the good ones");
}
