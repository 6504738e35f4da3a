use std::fs;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{KeyServer, Pair, claims, host, set, status};
use crate::support::{Db, Host, eventually, scratch, usher};

/// What is said of an issuer's set of keys.
async fn part(host: &Host, name: &str) -> Value {
    host.client().get("/health/ready").await.body["parts"][format!("jwks.{name}")].clone()
}

async fn is(host: &Host, token: &str, expected: StatusCode) {
    eventually(&format!("the token is answered by {expected}"), async || {
        (status(host, token).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_change_are_followed_and_a_stranger_cannot_have_them_fetched_again_and_again() {
    let (old, new) = (Pair::rsa(), Pair::rsa());
    let server = KeyServer::start(&[old.jwk("old")]).await;
    let db = Db::new().await;
    let host = host(&db, server.issuer("login", "RS256", "1h")).await;
    let by_old = old.sign(Some("old"), &claims());
    // The first look may be under way yet; whoever asks waits for it.
    is(&host, &by_old, StatusCode::OK).await;
    assert_eq!(part(&host, "login").await, json!({ "status": "ok" }));
    assert_eq!(server.asked(), 1);

    server.holds(&[new.jwk("new")]);
    assert_eq!(status(&host, &by_old).await, StatusCode::OK, "as it was read");
    let by_new = new.sign(Some("new"), &claims());
    // An unknown key is a reason to look.
    is(&host, &by_new, StatusCode::OK).await;
    assert_eq!(server.asked(), 2);
    assert_eq!(status(&host, &by_old).await, StatusCode::UNAUTHORIZED, "and what was good is looked at anew");

    // Signed by a key of the set, naming another; and by none, with names of all sorts.
    let stranger = Pair::rsa();
    let forged = (0..40).map(|n| match n {
        0 => new.sign(Some("old"), &claims()),
        1 => stranger.sign(Some("new"), &claims()),
        n => stranger.sign(Some(&format!("k{n}")), &claims()),
    });
    let forged: Vec<_> = forged.collect();
    let answers = join_all(forged.iter().map(|token| status(&host, token))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::UNAUTHORIZED), "{answers:?}");
    assert_eq!(server.asked(), 2, "once in half a minute, whoever asks");
    assert_eq!(status(&host, &by_new).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_fails_leaves_the_keys_and_is_told() {
    let key = Pair::ec();
    let server = KeyServer::start(&[key.jwk("a")]).await;
    let db = Db::new().await;
    let host = host(&db, server.issuer("login", "ES256", "1s")).await;
    let token = key.sign(Some("a"), &claims());
    is(&host, &token, StatusCode::OK).await;
    let long = vec![b' '; 300 << 10];
    for (status_code, body, said) in [
        (500, &b"no"[..], "is answered by 500"),
        (302, b"", "is answered by 302"),
        (200, b"<html>", "is no JWKS"),
        (200, &long, "has more than 256 KiB"),
    ] {
        server.says(status_code, body);
        let is_told = |part: Value| part["detail"].as_str().is_some_and(|detail| detail.starts_with(said));
        eventually(said, async || is_told(part(&host, "login").await).then_some(())).await;
        assert_eq!(part(&host, "login").await["status"], "degraded");
        assert_eq!(status(&host, &token).await, StatusCode::OK, "{said}: the keys from before hold");
    }
    let log = host.log();
    assert!(log.contains("an issuer's JWKS is in trouble") && !log.contains("/jwks.json"), "{log}");

    server.holds(&[Pair::ec().jwk("b")]);
    is(&host, &token, StatusCode::UNAUTHORIZED).await;
    eventually("it is well", async || (part(&host, "login").await["status"] == "ok").then_some(())).await;
    // An admin need not wait for the next look.
    server.holds(&[]);
    eventually("no key is usable", async || {
        (part(&host, "login").await["detail"] == "holds no usable key for ES256").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_that_fit_the_issuers_algorithm_are_taken_from_a_set() {
    let (good, weak) = (Pair::rsa(), Pair::rsa_of(1024));
    let (ec, ed) = (Pair::ec(), Pair::ed());
    let changed = |kid: &str, name: &str, value: Value| {
        let mut jwk = good.jwk(kid);
        jwk[name] = value;
        jwk
    };
    let oct = b"a secret that everybody can read, 32 bytes";
    let keys = [
        good.jwk("good"),
        weak.jwk("weak"),
        changed("enc", "use", json!("enc")),
        changed("ops", "key_ops", json!(["encrypt"])),
        changed("pss", "alg", json!("PS256")),
        changed("one", "e", json!("AQ")),
        json!({ "kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode(oct), "alg": "HS256" }),
        json!({ "kty": "unheard of", "kid": "new" }),
        json!("no key at all"),
        ec.jwk("ec"),
    ];
    // From a file, and beside it another set of another algorithm.
    let file = scratch("jwks").join("keys.json");
    fs::write(&file, set(&keys)).unwrap();
    let server = KeyServer::start(&[ed.jwk("ed"), good.jwk("good")]).await;
    let issuer = "[[auth.issuers]]\nname = \"file\"\nalgorithm = \"RS256\"\n";
    let config = format!("{issuer}jwks = {{ file = {file:?} }}\n{}", server.issuer("ed", "EdDSA", "1h"));
    let db = Db::new().await;
    let host = host(&db, config).await;
    assert_eq!(status(&host, &good.sign(Some("good"), &claims())).await, StatusCode::OK);
    assert_eq!(status(&host, &ed.sign(Some("ed"), &claims())).await, StatusCode::OK);
    let oct = jsonwebtoken::EncodingKey::from_secret(oct);
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("oct".to_owned());
    let symmetric = jsonwebtoken::encode(&header, &claims(), &oct).unwrap();
    for (what, token) in [
        ("too few bits", weak.sign(Some("weak"), &claims())),
        ("for encryption", good.sign(Some("enc"), &claims())),
        ("not for verifying", good.sign(Some("ops"), &claims())),
        ("for another algorithm", good.sign(Some("pss"), &claims())),
        ("exponent 1", good.sign(Some("one"), &claims())),
        ("symmetric", symmetric),
        ("of another algorithm than the issuer's", ec.sign(Some("ec"), &claims())),
        ("no key id, and there are several", ec.sign(None, &claims())),
    ] {
        assert_eq!(status(&host, &token).await, StatusCode::UNAUTHORIZED, "{what}");
    }
    let log = host.log();
    assert!(log.contains("symmetric") && log.contains("too few bits"), "why keys were passed over is said");
    let stats = host.admin().get("/cache/stats").await.body;
    let issuers = stats["caches"]["jwks"]["issuers"].as_array().unwrap();
    let counts: Vec<_> = issuers.iter().map(|set| (&set["issuer"], &set["keys"])).collect();
    assert_eq!(counts, [(&json!("file"), &json!(1)), (&json!("ed"), &json!(1))], "{stats}");

    // A file that has changed, and an admin who does not wait for it to be read again.
    fs::write(&file, set(&[Pair::rsa().jwk("other")])).unwrap();
    let flushed = host.admin().send(reqwest::Method::POST, "/cache/flush", Some(json!({ "caches": ["jwks"] }))).await;
    assert_eq!((flushed.status, &flushed.body), (StatusCode::OK, &json!({ "flushed": ["jwks"] })));
    is(&host, &good.sign(Some("good"), &claims()), StatusCode::UNAUTHORIZED).await;
}

#[test]
fn an_issuer_has_exactly_one_source_of_keys() {
    let dir = scratch("issuers");
    let pem = dir.join("public.pem");
    fs::write(&pem, Pair::rsa().public).unwrap();
    let weak = dir.join("weak.pem");
    fs::write(&weak, Pair::rsa_of(1024).public).unwrap();
    let secret = "secret = { env = \"KEY\" }\n".to_owned();
    let public = format!("public_key = {{ file = {pem:?} }}\n");
    let jwks = |what: &str| format!("jwks = {{ {what} }}\n");
    let https = "url = \"https://id.example/jwks.json\"";
    for (algorithm, keys, said) in [
        ("HS256", String::new(), "HS256 takes a secret and nothing else; here is nothing"),
        ("HS256", public.clone(), "HS256 takes a secret and nothing else; here is public_key"),
        ("HS256", jwks(https), "HS256 takes a secret and nothing else; here is jwks"),
        ("RS256", secret.clone(), "RS256 takes either a public_key or a jwks; here is secret"),
        ("RS256", String::new(), "here is nothing"),
        ("RS256", format!("{public}{}", jwks(https)), "here is public_key and jwks"),
        ("ES256", format!("{secret}{}", jwks(https)), "here is secret and jwks"),
        ("RS256", format!("public_key = {{ file = {weak:?} }}\n"), "public_key: has 1024 bits, 2048 to 4096 are taken"),
        ("RS256", jwks(""), "jwks: takes exactly one of url and file; there is none"),
        ("RS256", jwks(&format!("{https}, file = {pem:?}")), "jwks: takes exactly one of url and file; there are both"),
        ("RS256", jwks("file = \"/nowhere.json\""), "jwks.file: /nowhere.json: there is no such file"),
        ("RS256", jwks("url = \"http://id.example/jwks.json\""), "jwks.url: must begin with https://"),
        ("RS256", jwks("url = \"http://id.example/j\", allow_http = true"), "jwks.url: must begin with https://"),
        ("RS256", jwks("url = \"http://127.0.0.1/jwks.json\""), "jwks.url: must begin with https://"),
        ("RS256", jwks("url = \"ftp://id.example/jwks.json\""), "jwks.url: is no URL such as"),
        ("RS256", jwks("url = \"https://u:canary@id.example/j\""), "jwks.url: holds a user, a password"),
        ("RS256", jwks(&format!("{https}, allow_http = true")), "jwks.allow_http: is true, and the URL is https"),
        ("RS256", jwks(&format!("{https}, refresh = \"0s\"")), "jwks.refresh: 1 second to 1 day"),
        ("RS256", jwks(&format!("{https}, timeout = \"1h\"")), "jwks.timeout"),
        ("RS256", format!("{}kid = \"a\"\n", jwks(https)), "kid: goes with one key"),
        ("RS256", format!("{public}iss = \"\"\n"), "iss: is empty"),
        ("RS256", jwks("href = \"https://id.example/jwks.json\""), "href"),
    ] {
        let file = dir.join("usher.toml");
        fs::write(&file, format!("[[auth.issuers]]\nname = \"a\"\nalgorithm = \"{algorithm}\"\n{keys}")).unwrap();
        let output = usher()
            .args(["config", "check", "--config"])
            .arg(&file)
            .env("KEY", "a secret of more than thirty-two bytes")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{keys}: {told}");
        assert!(told.contains(said) && !told.contains("canary"), "{keys}: {told}");
    }
}
