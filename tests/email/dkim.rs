//! Signatures that receivers can verify: PyPI's dkimpy, with the operator's record as the DNS would show it.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::options;
use crate::support::{Db, Host, HostOptions, Sink, env, scratch, usher};

fn python(args: &[&str], input: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/dkim_peer.py");
    let mut child = Command::new(env("USHER_TEST_PYTHON"))
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Private keys as files (`rsa.pem`, `rsa1.pem`, `ed25519.pem`), and by name the record that belongs to each.
pub fn keys() -> (PathBuf, BTreeMap<String, String>) {
    let folder = scratch("dkim");
    let records = python(&["keys", folder.to_str().unwrap()], "");
    (folder, serde_json::from_str(&records).unwrap())
}

fn verify(mail: &str, record: &str) -> bool {
    let input = json!({"mail": mail, "records": {"usher-1._domainkey.example.com": record}}).to_string();
    match python(&["verify"], &input).as_str() {
        "good" => true,
        "bad" => false,
        other => panic!("the verifier says {other:?}"),
    }
}

fn config(key: &Path) -> String {
    format!(
        "[email.profiles.default.dkim]\ndomain = \"example.com\"\nselector = \"usher-1\"\nkey = {{ file = {key:?} }}\n"
    )
}

/// Of every shape, and with what relays and canonical forms are known to stumble over.
fn mails() -> Vec<Value> {
    let mail =
        |text: &str| json!({"do": "mail", "to": "Zoë <zoe@example.com>", "subject": "Grüße  an 你好  x", "text": text});
    let mut full = mail("Grüße\n");
    full["html"] = json!("<p>Grüße</p>\n");
    full["replyTo"] = json!("Büro <office@example.com>");
    full["also"] = json!(["berta@example.com", "\"C, D\" <caesar@example.com>"]);
    full["attachments"] = json!([{"name": "Rechnung für Zoë.pdf", "contentType": "application/pdf", "size": 5000}]);
    let mut file = mail("See the file.");
    file["attachments"] = json!([{"name": "a.txt", "contentType": "text/plain; charset=utf-8", "size": 10}]);
    vec![
        mail("Hello."),
        mail("tabs\t and  spaces \nat the ends \t\n.\n..\n\nand empty lines\n\n\n"),
        mail(""),
        mail("\n\n"),
        mail(" \n"),
        full,
        file,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_verify_every_mail_and_no_changed_one() {
    let (folder, records) = keys();
    for name in ["rsa", "rsa1", "ed25519"] {
        let (db, sink) = (Db::new().await, Sink::start().await);
        let config = config(&folder.join(format!("{name}.pem")));
        let host = Host::start(&db, Some(&sink), HostOptions { config, ..options() }).await;
        for (n, mail) in mails().into_iter().enumerate() {
            let id = host.client().submit("guest-mail", mail.clone()).await;
            host.client().wait(&id, "completed").await;
            let sent = sink.wait_mails(n + 1).await[n]["body"].as_str().unwrap().to_owned();
            assert!(verify(&sent, &records[name]), "{name}, {mail}: {sent}");
        }
        let sent = sink.mails().await[0]["body"].as_str().unwrap().to_owned();
        assert_eq!(sent.matches("DKIM-Signature:").count(), 1);
        for (what, changed) in [
            ("body", sent.replace("Hello.", "Hullo.")),
            ("subject", sent.replacen("Subject: ", "Subject: Re: ", 1)),
            ("recipient", sent.replacen("<zoe@", "<eve@", 1)),
            ("identity", sent.replacen("Message-ID: <", "Message-ID: <1", 1)),
            ("a header more", format!("Reply-To: eve@example.org\r\n{sent}")),
        ] {
            assert_ne!(changed, sent, "{what}");
            assert!(!verify(&changed, &records[name]), "{name}, with another {what}: {changed}");
        }
        let other = records.iter().find(|(other, _)| *other != name).unwrap().1;
        assert!(!verify(&sent, other), "{name}, by another key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_sign_stops_the_start() {
    let (folder, _) = keys();
    let wrong = folder.join("wrong.pem");
    let sound = std::fs::read_to_string(folder.join("rsa.pem")).unwrap();
    let cut: String = sound.lines().enumerate().filter(|(n, _)| *n != 3).map(|(_, line)| format!("{line}\n")).collect();
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    for key in ["canary-of-a-key", cut.as_str(), public, WEAK] {
        std::fs::write(&wrong, key).unwrap();
        let file = scratch("dkim").join("usher.toml");
        let profile = "[email.profiles.default]\nhost = \"mail.example.com\"\nfrom = \"tickets@example.com\"\n";
        std::fs::write(&file, format!("{profile}{}", config(&wrong))).unwrap();
        let output = usher()
            .args(["serve", "--dev", "--config"])
            .arg(&file)
            .env("DATABASE_URL", "postgres://u@127.0.0.1:1/x")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("email.profiles.default.dkim.key"), "{said}");
        assert!(key.lines().filter(|line| !line.starts_with("-----")).all(|line| !said.contains(line)), "{said}");
    }
}

/// RSA of 512 bits, which RFC 8301 forbids.
const WEAK: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIIBPAIBAAJBAO8487xj5SXI58cGvpY5v9hRWt8jIlOt+rf3lM+h1P+A5UVQG8Cl
EtGhBJZgGWIWPkBfVwDN87wyvGgPa9IUEJkCAwEAAQJAbhfmzC+pGK+SQ51N/vMK
4HHogUK5HIu4FAxEFx5iWUdD1LcacdJL8nKLYkJWZQps7k0cCcYGs6x8s7Ilk8x9
9QIhAP/PORDzh2iBZnpzHHTUt+b5mlMekHocnp2qhUKJkEePAiEA72aRAHSMTjTG
Zxfmxbx6LC+w40QlaquhMCWz+m5g0VcCIQC733FF5dVZB1BANjJ8C45U8JRK33O0
ezhzCz17tJRmOQIhAKWSXEriUH9uRKHciADOH/kbas1jvjUOSsbP7LARUui1AiEA
5wkrSiDltjqkUrPrvuWN4zetB9m48I3J91issXxjIGk=
-----END RSA PRIVATE KEY-----
";
