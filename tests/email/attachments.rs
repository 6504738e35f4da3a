//! Attachments, from a payload to the mail as it arrives.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::options;
use crate::support::{Db, Host, HostOptions, Sink};

/// Bytes that take the guest's memory, the host's limit on what one call passes in, and the line breaks in them for nothing.
fn file(size: usize) -> Value {
    json!([{"name": "all-bytes.bin", "contentType": "application/octet-stream", "size": size}])
}

/// sha256 of so many bytes of all values in turn.
fn hash(size: usize) -> String {
    use std::process::Command;
    let script = "import hashlib, sys; n = int(sys.argv[1]); print(hashlib.sha256((bytes(range(256)) * (n // 256 + 1))[:n]).hexdigest())";
    let output =
        Command::new(crate::support::env("USHER_TEST_PYTHON")).args(["-c", script]).arg(size.to_string()).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_as_it_was_up_to_the_profiles_limit() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let most = 3 << 20;
    let env = vec![("USHER_EMAIL__PROFILES__DEFAULT__MAX_ATTACHMENTS", most.to_string())];
    let host = Host::start(&db, Some(&sink), HostOptions { env, mail_timeout: "30s", ..options() }).await;
    let mail = |size| json!({"do": "mail", "attachments": file(size), "catch": true});
    for (n, size) in [0, 1, 1000, most].into_iter().enumerate() {
        let id = host.client().submit("guest-mail-large", mail(size)).await;
        host.client().wait(&id, "completed").await;
        let read = sink.wait_mails(n + 1).await[n]["read"].clone();
        assert_eq!(
            read["attachments"],
            json!([{"name": "all-bytes.bin", "type": "application/octet-stream", "bytes": size, "sha256": hash(size)}])
        );
        assert_eq!(read["text"], "Hello.");
    }
    let id = host.client().submit("guest-mail-large", mail(most + 1)).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["result"]["error"], "invalid", "{job}");
    assert!(job["result"]["message"].as_str().unwrap().contains("bytes"), "{job}");
    assert_eq!(sink.mails().await.len(), 4);
    let journal = db.text("SELECT string_agg(journal::text, ' ') FROM jobs_archive").await.unwrap();
    assert!(!journal.contains("all-bytes"), "counts and bytes are shown, and no more: {journal}");
    assert!(journal.contains("\"attachments\""), "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_email_takes_files_and_several_recipients_and_says_who_was_refused() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options()).await;
    sink.say_of("berta@example.com", "550 5.1.1 no such user").await;
    let mail = json!({
        "to": ["anna@example.com", "berta@example.com"], "subject": "Your ticket", "text": "Hello.", "replyTo": "office@example.com",
        "attachments": [{"name": "ticket.pdf", "contentType": "application/pdf", "content": STANDARD.encode("%PDF")}],
    });
    let id = host.client().submit("send-email", mail.clone()).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(
        job["result"]["refused"],
        json!([{"recipient": "berta@example.com", "code": 550, "message": job["result"]["refused"][0]["message"]}])
    );
    let mails = sink.mails().await;
    assert_eq!(mails[0]["read"]["attachments"][0]["name"], "ticket.pdf");
    assert_eq!(mails[0]["read"]["attachments"][0]["bytes"], 4);
    assert_eq!(mails[0]["read"]["replyTo"], "office@example.com");

    for (field, value) in [
        ("name", json!("../ticket.pdf")),
        ("name", json!("a\r\nb")),
        ("contentType", json!("pdf")),
        ("content", json!("no base64!")),
    ] {
        let mut wrong = mail.clone();
        wrong["subject"] = json!(format!("{field} {value}").replace(['\r', '\n'], ""));
        wrong["attachments"][0][field] = value;
        let answer = host.client().post(json!({"type": "send-email", "payload": wrong}).to_string()).await;
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.body);
    }
}
