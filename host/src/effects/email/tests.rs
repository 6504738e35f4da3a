use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{Mail, Request, Smtp};
use crate::{
    config::{Email, EmailProfile, GrantSet, OnDoubt, SmtpSecurity},
    effects::{OnBehalf, Prepared, Provider, Refused},
    ids::EffectId,
    journal::Answer,
};

fn smtp() -> Smtp {
    // Whoever runs first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let profile = EmailProfile {
        host: "localhost".to_owned(),
        port: 1,
        security: Some(SmtpSecurity::None),
        username: None,
        password: None,
        from: "Tickets <tickets@example.com>".to_owned(),
        timeout: Duration::from_secs(1),
        pool: 1,
        on_doubt: OnDoubt::Resend,
        ca_file: None,
    };
    Smtp::new(&Email { profiles: BTreeMap::from([("default".to_owned(), profile)]) }).expect("sound")
}

fn who() -> OnBehalf {
    let grants = GrantSet { email: vec!["default".to_owned()], ..GrantSet::default() };
    OnBehalf { grants: Arc::new(grants), ..OnBehalf::default() }
}

fn template(name: &str, data: &serde_json::Value) -> Result<Prepared<Mail>, Refused> {
    let request = Request::Template {
        profile: "default".to_owned(),
        to: vec!["anna@example.com".to_owned()],
        template: name.to_owned(),
        data: data.to_string(),
    };
    smtp().prepare(&who(), request)
}

fn text(prepared: &Prepared<Mail>) -> String {
    let letter = &prepared.call.letter;
    format!("{}\n{}\n{}", letter.subject, letter.text, letter.html.as_deref().unwrap_or_default())
}

fn order() -> serde_json::Value {
    json!({
        "name": "Anna", "eventName": "Night <of> Jazz", "orderId": "o-1", "currency": "eur", "total": 5000,
        "items": [{"name": "Seat & drink", "quantity": 2, "unitAmount": 2500}],
    })
}

#[test]
fn the_four_mails_of_the_product_say_what_they_must() {
    let mail = text(&template("payment-confirmation", &order()).expect("complete"));
    for part in ["50.00 EUR", "2 x Seat & drink: 50.00 EUR", "Order o-1", "Night &lt;of&gt; Jazz", "Seat &amp; drink"] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    let refund = json!({"name": "A", "amount": 500, "currency": "JPY", "orderId": "o", "reason": "cancelled"});
    let mail = text(&template("refund-confirmation", &refund).expect("complete"));
    assert!(mail.contains("500 JPY") && mail.contains("Reason: cancelled"), "{mail}");
    let nft = json!({"name": "A", "eventName": "E", "seat": "7", "mint": "Mint111", "signature": "Sig111"});
    assert!(text(&template("nft-ticket-minted", &nft).expect("complete")).contains("Mint111"));
    let alert =
        json!({"severity": "high", "title": "Disk", "message": "full", "details": [{"name": "host", "value": "a"}]});
    let mail = text(&template("admin-alert", &alert).expect("complete"));
    assert!(mail.starts_with("[high] Disk") && mail.contains("host: a"), "{mail}");
}

#[test]
fn data_cannot_break_out_of_html_or_headers() {
    let mut data = order();
    data["name"] = json!("<script>alert(1)</script>");
    let prepared = template("payment-confirmation", &data).expect("complete");
    let html = prepared.call.letter.html.expect("html");
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");

    let mut data = order();
    data["eventName"] = json!("x\r\nBcc: evil@example.com");
    let refused = template("payment-confirmation", &data).expect_err("a line break in the subject");
    assert!(matches!(refused.answer, Answer::Invalid(_)));

    for (to, subject, reply_to) in [
        ("a@example.com\r\nBcc: b@example.com", "s", None),
        ("\"a\nb\" <a@example.com>", "s", None),
        ("a@example.com", "s\nBcc: b@example.com", None),
        ("a@example.com", "s", Some("r@example.com\r\nX: y")),
        ("nobody", "s", None),
        ("", "s", None),
        ("a@example.com", "", None),
    ] {
        let request = Request::Send {
            profile: "default".to_owned(),
            to: vec![to.to_owned()],
            subject: subject.to_owned(),
            text: "t".to_owned(),
            html: None,
            reply_to: reply_to.map(str::to_owned),
        };
        let refused = smtp().prepare(&who(), request).expect_err(to);
        assert!(matches!(refused.answer, Answer::Invalid(_)), "{to} {subject}");
    }
}

#[test]
fn a_profile_needs_its_grant_and_addresses_are_masked() {
    let request = || Request::Send {
        profile: "default".to_owned(),
        to: vec!["Anna B <anna@example.com>".to_owned()],
        subject: "s".to_owned(),
        text: "the body".to_owned(),
        html: None,
        reply_to: None,
    };
    let refused = smtp().prepare(&OnBehalf::default(), request()).expect_err("no grant");
    assert!(matches!(refused.answer, Answer::Denied(_)));
    let prepared = smtp().prepare(&who(), request()).expect("granted");
    let shown = prepared.redacted.to_string();
    assert!(shown.contains("a***@example.com") && !shown.contains("anna") && !shown.contains("the body"), "{shown}");
}

#[test]
fn the_message_id_is_the_effects() {
    let prepared = template("payment-confirmation", &order()).expect("complete");
    let id = EffectId(Uuid::from_u128(7));
    let (message_id, bytes) = prepared.call.letter.message(id, &prepared.call.server.from).expect("built");
    assert_eq!(message_id, format!("<{id}@example.com>"));
    assert!(String::from_utf8_lossy(&bytes).contains(&format!("Message-ID: {message_id}")));
}
