use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{Key, digest, elsewhere, get, job, now, options, request, second, send, submit, text};
use crate::support::{Db, Host, HostOptions, eventually, token};

/// What somebody on the way, or with a stolen request, could make of it.
fn altered(signed: &Value, other: &Key) -> Vec<(&'static str, Value)> {
    let header = |name: &str| text(&signed["headers"], name);
    let (input, mac, body) = (header("signature-input"), header("signature"), text(signed, "body"));
    let with = |field: &str, value: String| {
        let mut one = signed.clone();
        one[field] = value.into();
        one
    };
    let heading = |changes: &[(&str, Value)]| {
        let mut one = signed.clone();
        changes.iter().for_each(|(name, value)| one["headers"][*name] = value.clone());
        one
    };
    let without = |name: &str| {
        let mut one = signed.clone();
        one["headers"].as_object_mut().unwrap().remove(name).unwrap();
        one
    };
    let url = |from: &str, to: &str| with("url", text(signed, "url").replace(from, to));
    let input_with = |from: &str, to: &str| {
        let changed = input.replace(from, to);
        assert_ne!(changed, input, "{from}");
        heading(&[("signature-input", changed.into())])
    };
    let (label, bytes) = mac.split_once("=:").unwrap();
    let bytes = STANDARD.decode(bytes.trim_end_matches(':')).unwrap();
    let cut = format!("{label}=:{}:", STANDARD.encode(&bytes[..16]));
    let more = body.replace("\"ok\"", "\"panic\"");
    let mut in_place = with("body", more.clone());
    in_place["headers"]["content-digest"] = digest(&more).into();
    let created = input.split("created=").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    let later = (created.parse::<u64>().unwrap() + 1).to_string();
    let id = input.split("keyid=\"").nth(1).unwrap().split('"').next().unwrap();
    let authority = text(signed, "url").replace("http://127.0.0.1", "localhost");
    let authority = authority.split('/').next().unwrap().to_owned();
    vec![
        ("method", with("method", "GET".to_owned())),
        ("authority", heading(&[("host", authority.into())])),
        ("path", url("/jobs", "/jobs/batch")),
        ("a query", url("/jobs", "/jobs?from=till")),
        ("body", with("body", more.clone())),
        ("digest", heading(&[("content-digest", digest(&more).into())])),
        ("body and digest", in_place),
        ("no digest", without("content-digest")),
        ("tenant", heading(&[("x-tenant-id", "t2".into())])),
        ("no tenant", without("x-tenant-id")),
        ("idempotency key", heading(&[("idempotency-key", "another".into())])),
        ("no idempotency key", without("idempotency-key")),
        ("content type", heading(&[("content-type", "application/json; charset=utf-8".into())])),
        ("created", input_with(&format!("created={created}"), &format!("created={later}"))),
        ("nonce", input_with("nonce=\"", "nonce=\"x")),
        ("algorithm", input_with("\"hmac-sha256\"", "\"none\"")),
        ("another key's id", input_with(id, &other.id)),
        ("nobody's id", input_with(id, "019a0000-0000-4000-8000-000000000000")),
        ("the id in capitals", input_with(id, &id.to_uppercase())),
        ("a component less", input_with(" \"x-tenant-id\"", "")),
        ("components in another order", input_with("\"@method\" \"@authority\"", "\"@authority\" \"@method\"")),
        ("a component twice", input_with("\"@method\"", "\"@method\" \"@method\"")),
        ("half of the signature", heading(&[("signature", cut.into())])),
        ("none of the signature", heading(&[("signature", format!("{label}=::").into())])),
        (
            "the label twice",
            heading(&[
                ("signature-input", format!("{input}, {input}").into()),
                ("signature", format!("{mac}, {mac}").into()),
            ]),
        ),
        (
            "the label on two lines",
            heading(&[("signature-input", json!([input, input])), ("signature", json!([mac, mac]))]),
        ),
        ("a parameter twice", input_with(";created", ";created=1;created")),
        ("another label", heading(&[("signature", format!("x{mac}").into())])),
        ("no dictionary", input_with("(", "((")),
        ("no signature", without("signature")),
        ("no input", without("signature-input")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_libraries_sign_is_taken_once_and_every_alteration_of_it_is_refused() {
    let db = Db::new().await;
    let one = Host::start(&db, None, options()).await;
    let two = Host::start(&db, None, second()).await;
    let key = Key::new(&one, "service", json!(["t1", "t2"]), json!(["guest"])).await;
    let other = Key::new(&one, "service", json!(["t1", "t2"]), json!(["guest"])).await;
    key.wait(&two, StatusCode::OK).await;
    for (n, library) in [Key::sign, Key::sign_by_pypi].into_iter().enumerate() {
        let idempotency = format!("k-{n}");
        let headers = [("x-tenant-id", "t1"), ("idempotency-key", idempotency.as_str())];
        let body = job("guest", json!({})).to_string();
        let make = || request(&one, "POST", "/jobs", &headers, &body);
        let signed = library(&key, &[make(), make()]);
        let (first, again) = (&signed[0], &signed[1]);
        let jobs = i64::try_from(n).unwrap();
        for (what, sent) in altered(first, &other) {
            let answer = send(&sent).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{n}: {what}: {}", answer.body);
            assert_eq!(answer.body["type"], "urn:usher:problem:unauthenticated", "{what}");
            assert!(answer.headers.contains_key("www-authenticate"), "{what}");
        }
        // Two say who asks, or for whom: neither is believed.
        let bearer = format!("Bearer {}", token("admin", None));
        for (name, value) in [("authorization", json!(bearer)), ("x-tenant-id", json!(["t1", "t1"]))] {
            let mut sent = first.clone();
            sent["headers"][name] = value;
            assert_eq!(send(&sent).await.status, StatusCode::BAD_REQUEST, "{name}");
        }
        assert_eq!(db.count("SELECT count(*) FROM jobs").await, jobs);

        // None of these was more than a look: the request as it was signed is still good, once.
        let answer = send(first).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{n}: {}", answer.body);
        assert_eq!(db.text("SELECT tenant FROM jobs ORDER BY id DESC LIMIT 1").await.as_deref(), Some("t1"));
        assert_eq!(db.text("SELECT subject FROM jobs ORDER BY id DESC LIMIT 1").await, Some(format!("key/{}", key.id)));
        for sent in [first.clone(), elsewhere(first, &one, &two)] {
            let answer = send(&sent).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
            assert!(text(&answer.body, "detail").contains("nonce"), "{}", answer.body);
        }
        // All at once, on both nodes.
        let there = elsewhere(again, &one, &two);
        let answers = join_all((0..10).map(|n| send(if n % 2 == 0 { again } else { &there }))).await;
        let let_in: Vec<_> = answers.iter().filter(|answer| answer.status != StatusCode::UNAUTHORIZED).collect();
        assert_eq!(let_in.len(), 1, "{answers:?}");
        assert_eq!(let_in[0].headers["idempotency-replayed"], "true", "{}", let_in[0].body);
        assert_eq!(db.count("SELECT count(*) FROM jobs").await, jobs + 1);
    }
}

/// With `changes` in how it is signed.
fn signed_as(mut request: Value, changes: Value) -> Value {
    request["sign"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_signature_over_too_little_or_at_the_wrong_time_is_refused() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let key = Key::new(&host, "service", json!(["t1"]), Value::Null).await;
    let other = Key::new(&host, "service", Value::Null, Value::Null).await;
    let post = || submit(&host, "guest", &[("x-tenant-id", "t1"), ("idempotency-key", "k")], json!({}));
    let how = |changes: Value| signed_as(post(), changes);

    let components = post()["sign"]["components"].as_array().unwrap().clone();
    assert_eq!(components.len(), 8, "{components:?}");
    let mut bad: Vec<(String, Value)> = Vec::new();
    for (n, left_out) in components.iter().enumerate() {
        let mut fewer = components.clone();
        fewer.remove(n);
        bad.push((format!("without {left_out}"), how(json!({"components": fewer}))));
    }
    let mut say = |what: &str, request: Value| bad.push((what.to_owned(), request));
    say("old", how(json!({"created": now() - 400})));
    say("ahead", how(json!({"created": now() + 120})));
    say("without a time", how(json!({"created": null})));
    say("expired", how(json!({"created": now() - 20, "expires": now() - 10})));
    for alg in ["none", "hmac-sha1", "rsa-v1_5-sha256", "ed25519"] {
        say(alg, how(json!({"alg": alg})));
    }
    say("without a nonce", how(json!({"nonce": null})));
    say("with a nonce of 129 bytes", how(json!({"nonce": "n".repeat(129)})));
    say("with another secret", how(json!({"key": other.secret})));
    let more = [components.clone(), vec!["@scheme".into()]].concat();
    say("over a component that we do not know", how(json!({"components": more})));
    let own = post()["sign"].clone();
    let mut twice = own.clone();
    let more = json!({"label": "second", "keyId": other.id, "key": other.secret});
    twice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut two = post();
    two["sign"] = json!([own, twice]);
    say("by two of our keys", two);
    let mut undigested = post();
    undigested["headers"].as_object_mut().unwrap().remove("content-digest").unwrap();
    let fewer: Vec<_> = components.iter().filter(|name| **name != "content-digest").collect();
    say("with a body and no digest", signed_as(undigested, json!({"components": fewer})));
    let mut weak = post();
    weak["headers"]["content-digest"] = "md5=:AAAAAAAAAAAAAAAAAAAAAA==:".into();
    say("with a digest of another kind only", weak);

    let (names, requests): (Vec<_>, Vec<_>) = bad.into_iter().unzip();
    for (name, answer) in names.iter().zip(key.call_all(&requests).await) {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {}", answer.body);
        assert!(!answer.body.to_string().contains(&key.secret));
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM nonces").await, 0, "a refused request uses up nothing");

    // And what is good in more than one way.
    let fresh = || submit(&host, "guest", &[("x-tenant-id", "t1")], json!({}));
    let mut strong = fresh();
    let long = STANDARD.encode(Sha512::digest(text(&strong, "body")));
    strong["headers"]["content-digest"] = format!("sha-512=:{long}:").into();
    let own = fresh();
    let mut foreign = own["sign"].clone();
    let of_a_proxy =
        json!({"label": "proxy", "keyId": "a key of somebody else", "key": "x", "components": ["@method"]});
    foreign.as_object_mut().unwrap().extend(of_a_proxy.as_object().unwrap().clone());
    let mut beside = own.clone();
    beside["sign"] = json!([foreign, own["sign"]]);
    let good = [
        ("sha-512", strong),
        ("beside a signature of another's", beside),
        ("with a time to end", signed_as(fresh(), json!({"expires": now() + 60}))),
        ("a little ahead", signed_as(fresh(), json!({"created": now() + 30}))),
        ("some minutes old", signed_as(fresh(), json!({"created": now() - 240}))),
    ];
    let (names, requests): (Vec<_>, Vec<_>) = good.into_iter().unzip();
    for (name, answer) in names.iter().zip(key.call_all(&requests).await) {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{name}: {}", answer.body);
    }
    // What changes nothing needs no nonce, and may come again.
    let read = key.sign(&[signed_as(get(&host, "/jobs?limit=2", &[]), json!({"nonce": null}))]);
    for _ in 0..2 {
        let answer = send(&read[0]).await;
        assert_eq!((answer.status, answer.body["items"].as_array().unwrap().len()), (StatusCode::OK, 2));
    }
    // A host that says how it is called takes nothing that was signed for another.
    let named = HostOptions { config: options().config + "authorities = [\"Usher.Example\"]\n", ..second() };
    let named = Host::start(&db, None, named).await;
    let of_another = get(&host, "/jobs?limit=1", &[]);
    let mut own = of_another.clone();
    own["url"] = "http://usher.example/jobs?limit=1".into();
    let mut signed = key.sign(&[own, of_another]);
    signed[0]["url"] = format!("{}/jobs?limit=1", named.base).into();
    signed[0]["headers"]["host"] = "usher.example".into();
    eventually("it knows the key", async || (send(&signed[0]).await.status == StatusCode::OK).then_some(())).await;
    assert_eq!(send(&signed[1]).await.status, StatusCode::OK);
    let answer = send(&elsewhere(&signed[1], &host, &named)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert!(text(&answer.body, "detail").contains("another name"), "{}", answer.body);
    // The limit of the route holds here, too.
    let large = submit(&host, "guest", &[], json!({"metadata": {"a": "x".repeat(600 * 1024)}}));
    assert_eq!(key.call(large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Components are long, and admins bring them.
    let admin = Key::new(&host, "admin", Value::Null, Value::Null).await;
    let component = || request(&host, "POST", "/plugins", &[], &"x".repeat(600 * 1024));
    assert_eq!(admin.call(component()).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "its length is no fault");
    assert_eq!(key.call(component()).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
