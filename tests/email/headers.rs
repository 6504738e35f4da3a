//! Nothing that a guest can say becomes a header, and what is no mail does not leave.

use serde_json::{Value, json};

use super::options;
use crate::support::{Db, Host, Sink};

/// What some mail program or relay has taken for the end of a line.
const ENDS: [&str; 10] =
    ["\r\n", "\n", "\r", "\u{0}", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}", "\r\n\r\n<html>"];

fn with(field: &str, value: &str) -> Value {
    let mut mail = json!({"do": "mail", "to": "anna@example.com", "catch": true});
    let file = |name: &str, of: &str| json!([{"name": name, "contentType": of, "size": 1}]);
    match field {
        "attachment" => mail["attachments"] = file(value, "text/plain"),
        "type" => mail["attachments"] = file("a.txt", value),
        "also" => mail["also"] = json!([value]),
        _ => mail[field] = json!(value),
    }
    mail
}

fn forms() -> Vec<Value> {
    let mut forms = Vec::new();
    for end in ENDS {
        let bcc = format!("{end}Bcc: evil@example.com");
        forms.extend([
            with("subject", &format!("hello{bcc}")),
            with("to", &format!("anna@example.com{bcc}")),
            with("to", &format!("\"Anna{bcc}\" <anna@example.com>")),
            with("to", &format!("Anna{end} <anna@example.com>")),
            with("also", &format!("<berta@example.com{bcc}>")),
            with("replyTo", &format!("r@example.com{bcc}")),
            with("replyTo", &format!("\"R{end}X-Evil: 1\" <r@example.com>")),
            with("attachment", &format!("a.txt{bcc}")),
            with("attachment", &format!("{end}a.txt")),
            with("type", &format!("text/plain{bcc}")),
            with("type", &format!("text/plain;{end} charset=utf-8")),
        ]);
    }
    for (field, value) in [
        ("to", "anna@example.com, evil@example.com"),
        ("to", "anna@example.com> RCPT TO:<evil@example.com"),
        ("to", "<anna@example.com> SIZE=1"),
        ("to", "@example.com"),
        ("to", "anna"),
        ("replyTo", "r@example.com, evil@example.com"),
        ("attachment", "a\"; filename=\"evil.exe"),
        ("attachment", "../../etc/passwd"),
        ("attachment", "..\\evil.exe"),
        ("type", "text/plain; name=\"evil.exe\""),
        ("type", "multipart/mixed; boundary=evil"),
    ] {
        forms.push(with(field, value));
    }
    forms
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_line_break_becomes_a_header() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    // A payload has no NUL, so that one is tried by the unit tests alone.
    let forms: Vec<_> = forms().into_iter().filter(|form| !form.to_string().contains("\\u0000")).collect();
    let mut ids = Vec::new();
    for form in &forms {
        ids.push(host.client().submit("guest-mail", form.clone()).await);
    }
    for (id, form) in ids.iter().zip(&forms) {
        let job = host.client().wait(id, "completed").await;
        assert!(job["result"].to_string().contains("invalid"), "{form}: {job}");
    }
    let invalid = "SELECT count(*) FROM jobs_archive WHERE journal->0->'answer'->>'kind' = 'invalid'";
    assert_eq!(db.count(invalid).await, i64::try_from(forms.len()).unwrap());
    assert_eq!(sink.mails().await.len(), 0);
    assert_eq!(sink.state().await["mails_begun"], 0, "not even MAIL FROM");
}

/// A relay that takes a lone CR for a line end would find the end of the mail there, and commands behind it.
#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_mail_ends_no_mail_and_begins_no_other() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    let smuggled = "x\r.\r\nMAIL FROM:<ceo@example.com>\r\n";
    let mut mail = with("text", &format!("one\r\n.\r\ntwo\r{smuggled}"));
    mail["html"] = json!(format!("<p>one</p>\r{smuggled}"));
    let id = host.client().submit("guest-mail", mail).await;
    host.client().wait(&id, "completed").await;
    let mails = sink.mails().await;
    let raw = mails[0]["body"].as_str().unwrap();
    assert!(raw.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "{raw:?}");
    assert_eq!(mails[0]["read"]["text"], "one\n.\ntwo\nx\n.\nMAIL FROM:<ceo@example.com>");
    assert_eq!(sink.state().await["mails_begun"], 1);

    let long = format!("{} <anna@example.com>", "A".repeat(400));
    for (field, value) in [("text", "a\u{b}b"), ("text", "a\u{1b}[31mb"), ("html", "a\u{85}b"), ("to", long.as_str())] {
        let id = host.client().submit("guest-mail", with(field, value)).await;
        let job = host.client().wait(&id, "completed").await;
        assert!(job["result"].to_string().contains("invalid"), "{field} {value:?}: {job}");
    }
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_in_all_languages_is_ascii_on_the_wire_and_says_what_it_should() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    let subject = "Grüße: 你好, שלום 🎟 and more than fits on one line of a header, to see how it is folded";
    let mail = json!({
        "do": "mail", "to": "\"Ünal, Zoë\" <zoe@example.com>", "subject": subject, "text": "Grüße\n.\nend", "html": "<p>你好</p>",
        "replyTo": "Büro <office@example.com>",
        "attachments": [{"name": "Rechnung für Zoë.pdf", "contentType": "application/pdf", "size": 3}],
    });
    let id = host.client().submit("guest-mail", mail).await;
    host.client().wait(&id, "completed").await;
    let mails = sink.mails().await;
    let raw = mails[0]["body"].as_str().unwrap();
    assert!(raw.is_ascii(), "{raw}");
    assert!(raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{raw}");
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    let mut names: Vec<_> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Reply-To", "Subject", "To"]
    );
    let read = &mails[0]["read"];
    assert_eq!(
        *read,
        json!({
            "to": "\"Ünal, Zoë\" <zoe@example.com>", "replyTo": "Büro <office@example.com>", "subject": subject,
            "text": "Grüße\n.\nend", "html": "<p>你好</p>",
            "attachments": [{"name": "Rechnung für Zoë.pdf", "type": "application/pdf", "bytes": 3,
                             "sha256": "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc"}],
        })
    );
}
