use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{Attachment, Mail, Request, Smtp};
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
        max_attachments: 16,
        dkim: None,
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

/// One that says next to nothing.
fn plain() -> Request {
    Request::Send {
        profile: "default".to_owned(),
        to: vec!["Anna B <anna@example.com>".to_owned()],
        subject: "s".to_owned(),
        text: "the body".to_owned(),
        html: None,
        reply_to: None,
        attachments: Vec::new(),
    }
}

fn with(name: &str, content: &[u8]) -> Request {
    let mut request = plain();
    if let Request::Send { attachments, .. } = &mut request {
        let (name, content_type) = (name.to_owned(), "text/plain".to_owned());
        attachments.push(Attachment { name, content_type, content: content.to_vec() });
    }
    request
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
        ("\"a\0b\" <a@example.com>", "s", None),
        ("\"a\u{2028}b\" <a@example.com>", "s", None),
        ("a@example.com\0", "s", None),
        ("a@example.com", "s\nBcc: b@example.com", None),
        ("a@example.com", "s\0", None),
        ("a@example.com", "s\u{2029}Bcc: b@example.com", None),
        ("a@example.com", "s\u{85}Bcc: b@example.com", None),
        ("a@example.com", "s", Some("r@example.com\r\nX: y")),
        ("nobody", "s", None),
        ("", "s", None),
        ("a@example.com", "", None),
    ] {
        let mut request = plain();
        if let Request::Send { to: all, subject: s, reply_to: r, .. } = &mut request {
            *all = vec![to.to_owned()];
            subject.clone_into(s);
            *r = reply_to.map(str::to_owned);
        }
        let refused = smtp().prepare(&who(), request).expect_err(to);
        assert!(matches!(refused.answer, Answer::Invalid(_)), "{to} {subject}");
    }
}

#[test]
fn a_profile_needs_its_grant_and_addresses_are_masked() {
    let refused = smtp().prepare(&OnBehalf::default(), plain()).expect_err("no grant");
    assert!(matches!(refused.answer, Answer::Denied(_)));
    let prepared = smtp().prepare(&who(), plain()).expect("granted");
    let shown = prepared.redacted.to_string();
    assert!(shown.contains("a***@example.com") && !shown.contains("anna") && !shown.contains("the body"), "{shown}");
}

#[test]
fn the_message_id_is_the_effects() {
    let prepared = template("payment-confirmation", &order()).expect("complete");
    let id = EffectId(Uuid::from_u128(7));
    let (message_id, bytes) = prepared.call.letter.message(id, &prepared.call.server.from, None).expect("built");
    assert_eq!(message_id, format!("<{id}@example.com>"));
    assert!(String::from_utf8_lossy(&bytes).contains(&format!("Message-ID: {message_id}")));
}

#[test]
fn attachments_are_part_of_a_mails_identity_and_not_shown() {
    let prepare = |request| smtp().prepare(&who(), request).expect("sound");
    let (one, two) = (prepare(with("a.txt", b"first")), prepare(with("a.txt", b"other")));
    assert_ne!(one.identity, two.identity, "the same length and name, another content");
    assert_ne!(one.identity, prepare(with("b.txt", b"first")).identity);
    assert_eq!(one.redacted["attachments"], json!({"count": 1, "bytes": 5}));
    assert!(!one.redacted.to_string().contains("a.txt") && !one.identity.to_string().contains("first"));
    // A mail that an older host has journaled is the same mail to this one.
    assert_eq!(
        prepare(plain()).identity,
        json!({"profile": "default", "to": ["Anna B <anna@example.com>"], "subject": "s", "text": "the body", "html": null,
               "replyTo": null})
    );
    let refused = smtp().prepare(&who(), with("a.txt", &[0; 17])).expect_err("beyond the profile's limit");
    assert!(matches!(refused.answer, Answer::Invalid(message) if message.contains("17 bytes")));
}

#[test]
fn text_html_and_files_are_nested_as_programs_expect_it() {
    let mut request = with("a.txt", b"first");
    if let Request::Send { html, .. } = &mut request {
        *html = Some("<p>the body".to_owned());
    }
    let prepared = smtp().prepare(&who(), request).expect("sound");
    let id = EffectId(Uuid::from_u128(7));
    let (_, bytes) = prepared.call.letter.message(id, &prepared.call.server.from, None).expect("built");
    let mail = String::from_utf8(bytes).expect("ASCII");
    let order =
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "filename=\"a.txt\"", "Zmlyc3Q="];
    let places: Vec<_> = order.iter().map(|part| mail.find(part).unwrap_or_else(|| panic!("{part}: {mail}"))).collect();
    assert!(places.is_sorted(), "{mail}");
}
