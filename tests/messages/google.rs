//! Access tokens for a service account: bought once, kept, bought anew, and what becomes of the call when there is none.

use std::fs;

use serde_json::{Value, json};

use super::{POLICY, PushRig, notification, push_options, reply, result};
use crate::support::{Db, Fault, Fcm, Host, HostOptions, TokenService, eventually, scratch, usher};

const TOKEN: &str = "fGh3k2mQR0:APA91bH-token-of-annas-telephone_0123456789";
const BUY: &str = "POST /token";

async fn send(host: &Host) -> Value {
    result(host, notification(TOKEN)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bought_once_by_an_assertion_that_googles_library_verifies() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(client.submit("guest-message", notification(TOKEN)).await);
    }
    for id in ids {
        client.wait(&id, "completed").await;
    }
    assert_eq!(rig.tokens.told("refused").await, Vec::<Value>::new());
    let [claims] = rig.tokens.told("claims").await.try_into().expect("one exchange for all");
    assert_eq!(
        (claims["aud"].as_str(), claims["iss"].as_str()),
        (rig.account["token_uri"].as_str(), rig.account["client_email"].as_str())
    );
    let bearers = rig.fcm.bearers();
    assert!(bearers.len() == 20 && bearers.iter().all(|bearer| bearer == "ya29.canary-of-the-tests-1"), "{bearers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_a_minute_before_it_ends() {
    let rig = PushRig::start("park").await;
    // Within its last minute from the start: each call buys one.
    rig.tokens.expires_in(59).await;
    send(&rig.host).await;
    rig.tokens.expires_in(3_599).await;
    send(&rig.host).await;
    send(&rig.host).await;
    assert_eq!(rig.fcm.bearers(), [1, 2, 2].map(|n| format!("ya29.canary-of-the-tests-{n}")));
    assert_eq!(rig.tokens.told("sold").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_service_no_longer_takes_is_dropped() {
    let rig = PushRig::start("park").await;
    send(&rig.host).await;
    rig.fcm.revoke();
    let client = rig.host.client();
    let id = client.submit("guest-message", notification(TOKEN)).await;
    client.wait_error(&id, "effect-snooze").await;
    let job = client.wait(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "{job}");
    assert_eq!(rig.fcm.bearers(), [1, 1, 2].map(|n| format!("ya29.canary-of-the-tests-{n}")));
    assert_eq!(rig.fcm.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_sent_or_journaled_and_no_attempt_burns() {
    let rig = PushRig::start("park").await;
    let client = rig.host.client();
    // Each call buys one.
    rig.tokens.expires_in(59).await;
    for (what, fault) in [
        ("refused", Fault::Answer(reply(400, &json!({"error": "invalid_grant", "error_description": "secret-words"})))),
        ("broken", Fault::Answer(reply(500, &Value::Null))),
        ("cut", Fault::CutBefore),
        ("no token", Fault::Answer(reply(200, &json!({"token_type": "Bearer"})))),
        ("a token that is none", Fault::Answer(reply(200, &json!({"access_token": "a\nb", "expires_in": 3599})))),
    ] {
        rig.desk.on(BUY, 1, fault);
        let before = rig.fcm.bearers().len();
        let id = client.submit("guest-message", notification(TOKEN)).await;
        let error = client.wait_error(&id, "effect-snooze").await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("has no access token") && !message.contains("secret-words"), "{what}: {error}");
        assert_eq!(message.contains("(invalid_grant)"), what == "refused", "{what}: {error}");
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["attempt"], 1, "{what}: {job}");
        assert_eq!(rig.fcm.bearers().len(), before + 1, "{what}: only when there was one");
    }
    assert_eq!(rig.db.count("SELECT count(*) FROM effects WHERE doubted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_endpoint_does_not_know_is_told_by_its_code() {
    let (tokens, stranger, fcm) = (TokenService::start().await, TokenService::start().await, Fcm::start().await);
    let mut account = tokens.account(&tokens.base).await;
    account["private_key"] = stranger.account(&tokens.base).await["private_key"].clone();
    let db = Db::new().await;
    let host = Host::start(&db, None, push_options(&fcm.base, &account, "park")).await;
    let client = host.client();
    let id = client.submit("guest-message", notification(TOKEN)).await;
    let error = client.wait_error(&id, "effect-snooze").await;
    assert!(error["message"].as_str().unwrap().contains("answered 400 (invalid_grant)"), "{error}");
    assert!(tokens.told("refused").await[0].as_str().unwrap().contains("verify"), "google-auth refuses the signature");
    assert_eq!((fcm.bearers().len(), tokens.told("sold").await.len()), (0, 0));
    eventually("it is logged", async || host.log().contains("no access token was given").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_is_none_stops_the_start_and_is_not_repeated() {
    let tokens = TokenService::start().await;
    let good = tokens.account("https://oauth2.example").await;
    let with = |name: &str, value: Value| {
        let mut file = good.clone();
        file[name] = value;
        file.to_string()
    };
    let dir = scratch("google");
    let config = dir.join("usher.toml");
    let options = HostOptions { policy: Some(POLICY.to_owned()), ..push_options("https://fcm.example", &good, "park") };
    fs::write(&config, crate::support::host::text(&options, None)).unwrap();
    let check = |file: &str| {
        let command = usher()
            .args(["config", "check", "--config"])
            .arg(&config)
            .env("USHER_TEST_GOOGLE", file)
            .env("USHER_TEST_JWT", crate::support::SECRET)
            .env("USHER_TEST_SMTP_PASSWORD", "x")
            .env("DATABASE_URL", "postgres://u@127.0.0.1:1/x")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&command.stdout).into_owned() + &String::from_utf8_lossy(&command.stderr);
        (command.status.code(), said)
    };
    assert_eq!(check(&good.to_string()).0, Some(0), "{}", check(&good.to_string()).1);
    let canary = "canary-of-a-key-file";
    for (file, why) in [
        (canary.to_owned(), "is no key file of a service account"),
        (json!({"client_email": canary}).to_string(), "is no key file of a service account"),
        (with("client_email", json!([canary])), "is no key file of a service account"),
        (with("client_email", json!(canary)), "client_email is no address"),
        (with("private_key", json!(canary)), "private_key is no RSA key in PEM"),
        (
            with(
                "private_key",
                json!(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "Y2FuYXJ5")),
            ),
            "private_key is no RSA key in PEM",
        ),
        (with("token_uri", json!(canary)), "token_uri: "),
        (with("token_uri", json!("http://oauth2.example/token")), "token_uri must be https"),
    ] {
        let (code, said) = check(&file);
        assert_eq!(code, Some(2), "{file}: {said}");
        assert!(said.contains("upstreams.fcm.google.service_account: ") && said.contains(why), "{why}: {said}");
        assert!(!said.contains(canary) && !said.contains("Y2FuYXJ5"), "{said}");
    }
}
