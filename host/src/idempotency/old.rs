//! Keys as the service before this one derived them, so that what it did is known again.

use chrono::{DateTime, Timelike, Utc};
use sha2::{Digest, Sha256};

use super::js::Js;

/// The keys under which the old service may have kept this payload, by the type that it had there. Two where it hashed the
/// whole payload: as the text has it, and as its queue gave it back, whose table keeps JSON in an order of its own.
pub fn keys(old_type: &str, payload: &str, now: DateTime<Utc>) -> Vec<String> {
    let Some(data) = Js::parse(payload) else { return Vec::new() };
    // JavaScript's `${data.name}`, and `a || b`.
    let text = |name: &str| data.get(name).map_or_else(|| "undefined".to_owned(), Js::text);
    let either = |name: &str, or: &str| if data.get(name).is_some_and(Js::is_truthy) { text(name) } else { text(or) };
    let key = match old_type {
        "payment-process" => {
            format!("payment-{}-{}-{}-{}", text("venueId"), text("userId"), text("eventId"), text("amount"))
        }
        "refund-process" => format!("refund-{}", text("transactionId")),
        "payout-process" => format!("payout-{}-{}", text("venueId"), either("period", "payoutId")),
        "nft-mint" => format!("nft-{}-{}", text("eventId"), either("seatId", "ticketId")),
        "send-email" => format!("email-{}-{}-{}", text("template"), text("to"), now.format("%Y-%m-%d")),
        // The hour of the clock on the old service's wall, without a zero before it and without a day.
        "send-sms" => format!("sms-{}-{}-{}", text("to"), text("template"), now.hour()),
        _ => {
            let (as_it_is, as_stored) = (whole(old_type, &data), whole(old_type, &data.through_jsonb()));
            return if as_it_is == as_stored { vec![as_it_is] } else { vec![as_it_is, as_stored] };
        }
    };
    vec![key]
}

/// `sha256(type + JSON.stringify(data))`.
fn whole(old_type: &str, data: &Js) -> String {
    hex::encode(Sha256::new().chain_update(old_type).chain_update(data.stringify()).finalize())
}

/// By which an imported key is found.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn of(old_type: &str, payload: &str) -> Vec<String> {
        keys(old_type, payload, Utc.with_ymd_and_hms(2030, 1, 2, 9, 30, 0).single().expect("a valid date"))
    }

    #[test]
    fn keys_are_those_of_the_old_service() {
        for (old_type, payload, key) in [
            ("payment-process", r#"{"venueId":"v","userId":7,"eventId":"e","amount":12.50}"#, "payment-v-7-e-12.5"),
            ("payment-process", "{}", "payment-undefined-undefined-undefined-undefined"),
            ("refund-process", r#"{"transactionId":null}"#, "refund-null"),
            ("payout-process", r#"{"venueId":"v","period":"","payoutId":"p"}"#, "payout-v-p"),
            ("nft-mint", r#"{"eventId":"e","seatId":"s","ticketId":"t"}"#, "nft-e-s"),
            ("nft-mint", r#"{"eventId":"e","seatId":0,"ticketId":"t"}"#, "nft-e-t"),
            ("nft-mint", r#"{"eventId":"e"}"#, "nft-e-undefined"),
            (
                "send-email",
                r#"{"template":"t","to":["a@b.example","c@d.example"]}"#,
                "email-t-a@b.example,c@d.example-2030-01-02",
            ),
            ("send-sms", r#"{"to":"+1","template":"code"}"#, "sms-+1-code-9"),
        ] {
            assert_eq!(of(old_type, payload), [key], "{old_type} {payload}");
        }
    }

    #[test]
    fn other_types_are_hashed_whole_in_both_orders() {
        // node: createHash("sha256").update("generate-report").update('{"report":"sales","format":"csv"}').digest("hex")
        let (text, stored) = (
            "71e66dc327d4c278f148be0cb3ca732a92914ea0db8169657cd4d6ae8d786976",
            "0c2500811c3642883da130749078b3a32b28518b299ebf92c8e5af6efeb45792",
        );
        assert_eq!(of("generate-report", r#"{ "report": "sales", "format": "csv" }"#), [text, stored]);
        assert_eq!(of("generate-report", r#"{"report":"sales"}"#).len(), 1);
        assert!(of("generate-report", "{").is_empty());
    }
}
