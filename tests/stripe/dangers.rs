//! What a guest may try, and what may come from where Stripe should be.

use serde_json::{Value, json};

use super::{Rig, options, payment};
use crate::support::{Db, Host, HostOptions, Receiver, Say, Sink, StripeWorld, TlsReceiver};

/// A payment, as Stripe would show it.
fn shown() -> Say {
    let object =
        json!({"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 1200, "currency": "eur"});
    Say::Body("content-type: application/json\r\n".to_owned(), object.to_string().into_bytes())
}

fn nothing_found() -> Say {
    Say::Body(String::new(), json!({"object": "list", "data": [], "has_more": false}).to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_the_manifest_does_not_name_is_denied_and_nothing_leaves() {
    let rig = Rig::start().await;
    // It imports all of the interface, and asks for all but transfers and payouts of it.
    let policy = "[plugins.policy.guest-chaos]\nemail = [\"default\", \"strict\"]\nupstream = [\"mint\", \"once\"]\n\
                  jobs = [\"guest-chaos\"]\nsolana = [\"mint-nft\"]\nwebhook = [\"guest.happened\"]\n\
                  stripe = [\"create-payment-intent\", \"get-payment-intent\", \"capture-payment-intent\", \
                  \"cancel-payment-intent\", \"create-refund\", \"create-payout\"]\n";
    let mut options = options(&rig.proxy.base);
    options.plugins = vec!["guest-chaos.wasm"];
    options.policy = Some(policy.to_owned());
    for name in ["mint", "once"] {
        options.config += &format!("[upstreams.{name}]\nbase_url = \"http://127.0.0.1:1\"\nmethods = [\"POST\"]\n");
    }
    options.config +=
        "[email.profiles.strict]\nhost = \"localhost\"\nport = 1\nfrom = \"t@example.com\"\nsecurity = \"none\"\n";
    let db = Db::new().await;
    let host = Host::start(&db, None, options).await;
    let client = host.client();
    let transfer = json!({"do": "stripe", "call": "transfer", "amount": 500, "currency": "eur", "account": "acct_venue", "catch": true});
    let id = client.submit("guest-chaos", transfer).await;
    let job = client.wait(&id, "completed").await;
    assert_eq!(job["result"]["error"], "denied", "{job}");
    assert!(job["result"]["message"].as_str().unwrap().contains("grants.stripe"), "{job}");
    assert_eq!(rig.proxy.seen().len(), 0, "nothing left");
    let journal = db.text("SELECT journal::text FROM jobs_archive").await.unwrap();
    let journal: Value = serde_json::from_str(&journal).unwrap();
    assert_eq!((&journal[0]["function"], &journal[0]["answer"]["kind"]), (&json!("create-transfer"), &json!("denied")));
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_beyond_all_bounds_are_refused_by_every_function() {
    let rig = Rig::start().await;
    let mut steps = Vec::new();
    for call in ["payment", "capture", "refund", "payout", "transfer"] {
        for amount in [0, 100_000_000_000_000, 1 << 63, 9_999_999_999_999_999_999_u64] {
            steps.push(json!({
                "do": "stripe", "call": call, "amount": amount, "currency": "eur", "paymentIntent": "pi_1",
                "account": "acct_venue", "catch": true,
            }));
        }
    }
    for half in steps.chunks(10) {
        let got = rig.run(json!({"do": "steps", "steps": half})).await;
        for (step, got) in half.iter().zip(got.as_array().unwrap()) {
            assert_eq!(got["error"], "invalid", "{step}: {got}");
            assert!(got["message"].as_str().unwrap().starts_with("amount"), "{step}: {got}");
        }
    }
    // What no number of the contract can hold does not get as far as the host.
    for amount in ["-1", "18446744073709551616", "1.5"] {
        let payload = format!(
            r#"{{"type":"guest-money","payload":{{"do":"stripe","call":"payout","amount":{amount},"currency":"eur"}}}}"#
        );
        let answer = rig.host.client().post(payload).await;
        let Some(id) = answer.body["id"].as_str() else { continue };
        rig.host.client().wait(id, "dead").await;
    }
    assert_eq!(rig.proxy.seen().len(), 0, "nothing left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_or_packed_or_from_elsewhere_is_none() {
    let (db, receiver, other) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = Host::start(&db, None, options(&format!("http://{}", receiver.place()))).await;
    let client = host.client();
    let run = async |payload: Value| client.wait(&client.submit("guest-money", payload).await, "completed").await;
    // The first one, so that what follows is compared with a host that is warm.
    receiver.plan([shown()]);
    run(payment("pm_card_visa")).await;
    let before = host.rss();
    for say in [Say::Endless, Say::Bomb, Say::Drip, Say::Cut, Say::With(307, "location", other.url())] {
        // A read is made again.
        let came = receiver.received().len();
        receiver.plan([say.clone(), shown()]);
        let job = run(json!({"do": "stripe", "call": "get", "paymentIntent": "pi_1"})).await;
        assert_eq!(job["errors"][0]["kind"], "effect-retry", "{say:?}: {job}");
        assert_eq!(receiver.received().len(), came + 2, "{say:?}");
        // A write is asked about, and then sent again under its key.
        let came = receiver.received().len();
        receiver.plan([say.clone(), nothing_found(), shown()]);
        let job = run(payment("pm_card_visa")).await;
        assert_eq!((&job["errors"][0]["kind"], &job["attempt"]), (&json!("effect-retry"), &json!(2)), "{say:?}: {job}");
        let came = &receiver.received()[came..];
        assert_eq!(came.len(), 3, "{say:?}");
        assert_eq!(came[0].headers["idempotency-key"], came[2].headers["idempotency-key"], "{say:?}");
        assert!(came[1].path.starts_with("/v1/payment_intents?"), "{say:?}: {came:?}");
    }
    assert!(receiver.received().iter().all(|came| !came.headers.contains_key("accept-encoding")), "nor asked for");
    assert_eq!(other.received().len(), 0, "nobody is led elsewhere");
    let grown = host.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_asked() {
    let (db, world, proxy) = (Db::new().await, StripeWorld::start().await, Receiver::start().await);
    let url = format!("http://{}", proxy.place());
    let mut options = options(world.base_url());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    options.env.extend(names.into_iter().map(|name| (name, url.clone())));
    let host = Host::start(&db, None, options).await;
    let card = world.stripe.payment_method("tok_visa").await;
    let id = host.client().submit("guest-money", payment(&card)).await;
    host.client().wait(&id, "completed").await;
    assert_eq!(proxy.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_nothing_is_sent_and_the_job_waits() {
    // Of an authority of its own, for localhost and 127.0.0.1.
    let sink = Sink::start().await;
    let trusted = ("SSL_CERT_FILE", sink.ca.display().to_string());
    for (env, address) in [(vec![], "127.0.0.1"), (vec![trusted], "127.0.0.2")] {
        let (db, server) = (Db::new().await, TlsReceiver::start_at(address, sink.ca.parent().unwrap()));
        let base = options(&format!("https://{address}:{}", server.port));
        let env = [base.env.clone(), env].concat();
        let host = Host::start(&db, None, HostOptions { env, ..base }).await;
        let id = host.client().submit("guest-money", payment("pm_card_visa")).await;
        let error = host.client().wait_error(&id, "effect-snooze").await;
        assert!(error["message"].as_str().unwrap().contains("cannot be reached"), "{error}");
        assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("deferred"), "{address}");
        assert_eq!(server.requests(), 0, "{address}");
    }
}
