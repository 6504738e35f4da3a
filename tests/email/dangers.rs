//! What may come from where a mail server should be.

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::options;
use crate::support::{Db, Host, HostOptions, Sink};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_nothing_is_said_and_the_job_waits() {
    // Each has an authority of its own.
    let (sink, other) = (Sink::start().await, Sink::start().await);
    for implicit_tls in [false, true] {
        let db = Db::new().await;
        let env = vec![("USHER_EMAIL__PROFILES__DEFAULT__CA_FILE", other.ca.display().to_string())];
        let host = Host::start(&db, Some(&sink), HostOptions { env, implicit_tls, ..options() }).await;
        let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
        let error = host.client().wait_error(&id, "effect-snooze").await;
        assert!(error["message"].as_str().unwrap().contains("cannot be used"), "{error}");
        assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("deferred"));
        assert_eq!(db.count("SELECT attempt::bigint FROM jobs").await, 0);
    }
    assert_eq!((sink.mails().await.len(), &sink.state().await["mails_begun"]), (0, &json!(0)));
}

/// Says this to whoever connects, again and again.
async fn endless(greeting: &'static [u8], again: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                client.write_all(greeting).await?;
                let many = again.repeat(65_536 / again.len());
                loop {
                    client.write_all(&many).await?;
                }
                #[expect(unreachable_code, reason = "tells the type of the block")]
                std::io::Result::Ok(())
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_without_end_is_cut_and_the_job_waits() {
    for (greeting, again) in [(&b""[..], &b"220-more\r\n"[..]), (b"220 here\r\n", b"250-X-MORE\r\n")] {
        let (db, port) = (Db::new().await, endless(greeting, again).await);
        let env = vec![
            ("USHER_EMAIL__PROFILES__DEFAULT__PORT", port.to_string()),
            ("USHER_EMAIL__PROFILES__DEFAULT__HOST", "127.0.0.1".to_owned()),
            ("USHER_EMAIL__PROFILES__DEFAULT__TIMEOUT", "5s".to_owned()),
        ];
        let host = Host::start(&db, None, HostOptions { env, ..options() }).await;
        let before = host.rss();
        let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
        host.client().wait_error(&id, "effect-snooze").await;
        let grown = host.rss().saturating_sub(before);
        assert!(grown < 64 << 20, "{}: {grown} bytes more", String::from_utf8_lossy(again));
        assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("deferred"));
    }
}
