//! Who may tell a host what Stripe says.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{NEXT, SECRET, event, header, now, options, send, sign, slug, told};
use crate::support::{Db, Host, HostOptions, env, scratch, usher};

/// The header of a body as npm's and PyPI's `stripe` make it.
fn headers(body: &str, secret: &str) -> [String; 2] {
    let node = "const library = require(process.argv[1]);
        const Stripe = library.Stripe ?? library.default ?? library;
        const { payload, secret } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        console.log(new Stripe('sk_test_x').webhooks.generateTestHeaderString({ payload, secret }));";
    let python = "import json, sys\nfrom stripe import WebhookSignature\ni = json.load(sys.stdin)\n\
        print(WebhookSignature.generate_signature_header(i['payload'], i['secret']))\n";
    let mut npm = Command::new("node");
    npm.arg("-e").arg(node).arg(Path::new(&env("USHER_TEST_PEERS")).join("node_modules/stripe"));
    let mut pypi = Command::new(env("USHER_TEST_PYTHON"));
    pypi.arg("-c").arg(python);
    let input = json!({"payload": body, "secret": secret}).to_string();
    [npm, pypi].map(|mut command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let header = String::from_utf8(output.stdout).unwrap();
        assert!(header.starts_with("t="), "{header}");
        header.trim().to_owned()
    })
}

/// What is sent: its name, the headers, the body; and the status and the problem it gets.
type Case<'a> = (&'a str, Vec<String>, Vec<u8>, u16, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn what_stripes_own_libraries_sign_is_taken_and_everything_else_leaves_nothing() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options("http://127.0.0.1:1", "")).await;
    let mut taken = 0;
    for (library, secret) in [(0, SECRET), (1, NEXT)] {
        // As it is sent: with line breaks, and letters that are several bytes.
        let event = event("customer.created", json!({"id": "cus_1", "object": "customer", "name": "Grüße 🎟"}));
        let body = serde_json::to_string_pretty(&event).unwrap();
        let signature = headers(&body, secret)[library].clone();
        let answer = send(&host, &[signature], body).await;
        taken += 1;
        assert_eq!((answer.status.as_u16(), &answer.body["replayed"]), (200, &json!(false)), "{}", answer.body);
    }
    let other = event("customer.updated", json!({"id": "cus_1", "object": "customer"})).to_string();
    let zeros = "0".repeat(64);
    let at = now();
    let several = format!("t={at},v1={zeros},v1={},v0={zeros},v9=x", sign(SECRET, at, other.as_bytes()));
    assert_eq!(send(&host, &[several], other).await.status.as_u16(), 200, "one of several is enough");
    taken += 1;

    let body = event("charge.refunded", json!({"id": "ch_1", "object": "charge", "note": "canary-4711"})).to_string();
    let bytes = body.as_bytes();
    let altered = body.replace("ch_1", "ch_2");
    let good = || header(SECRET, now(), bytes);
    let of = |body: &str| vec![header(SECRET, now(), body.as_bytes())];
    let long = event("charge.refunded", json!({"id": "ch_1", "filler": "x".repeat(256 * 1024)})).to_string();
    let deep = "[".repeat(100_000);
    let of_type = |kind: &str| event(kind, json!({"id": "ch_1"})).to_string();
    let odd = |name: &str, value: Value| {
        let mut event = event("charge.refunded", json!({"id": "ch_1"}));
        event[name] = value;
        event.to_string()
    };
    let (charge, lines, account) =
        (odd("object", json!("charge")), of_type("a\n\u{1b}[31mb"), odd("account", json!("acct_1; DROP")));
    let cases: Vec<Case<'_>> = vec![
        ("none", vec![], bytes.to_vec(), 400, "invalid-signature"),
        ("empty", vec![String::new()], bytes.to_vec(), 400, "invalid-signature"),
        ("no time", vec![format!("v1={}", sign(SECRET, now(), bytes))], bytes.to_vec(), 400, "invalid-signature"),
        ("stale", vec![header(SECRET, now() - 330, bytes)], bytes.to_vec(), 400, "invalid-signature"),
        ("ahead", vec![header(SECRET, now() + 330, bytes)], bytes.to_vec(), 400, "invalid-signature"),
        ("altered", vec![good()], altered.into_bytes(), 400, "invalid-signature"),
        ("longer by a line", vec![good()], format!("{body}\n").into_bytes(), 400, "invalid-signature"),
        ("not ours", vec![header("whsec_of_nobody_in_here", now(), bytes)], bytes.to_vec(), 400, "invalid-signature"),
        (
            "another time",
            vec![header(SECRET, now() - 5, bytes).replacen("t=", "t=1", 1)],
            bytes.to_vec(),
            400,
            "invalid-signature",
        ),
        ("twice", vec![good(), good()], bytes.to_vec(), 400, "invalid-signature"),
        ("twice, good and bad", vec![good(), "t=1,v1=00".to_owned()], bytes.to_vec(), 400, "invalid-signature"),
        ("v0 only", vec![good().replace("v1=", "v0=")], bytes.to_vec(), 400, "invalid-signature"),
        ("two times", vec![format!("t=1,{}", good())], bytes.to_vec(), 400, "invalid-signature"),
        ("cut", vec![good()[..40].to_owned()], bytes.to_vec(), 400, "invalid-signature"),
        ("too long", of(&long), long.clone().into_bytes(), 413, "payload-too-large"),
        ("no JSON", of("usher"), b"usher".to_vec(), 400, "malformed-json"),
        ("nothing", of(""), Vec::new(), 400, "malformed-json"),
        (
            "no UTF-8",
            vec![header(SECRET, now(), b"{\"id\": \"\xff\"}")],
            b"{\"id\": \"\xff\"}".to_vec(),
            400,
            "malformed-json",
        ),
        ("too deep", of(&deep), deep.clone().into_bytes(), 400, "malformed-json"),
        ("a list", of("[]"), b"[]".to_vec(), 422, "invalid-request"),
        ("another object", of(&charge), charge.clone().into_bytes(), 422, "invalid-request"),
        ("a type of control", of(&lines), lines.clone().into_bytes(), 422, "invalid-request"),
        ("no account", of(&account), account.clone().into_bytes(), 422, "invalid-request"),
    ];
    for (name, signatures, body, status, kind) in cases {
        let answer = send(&host, &signatures, body).await;
        assert_eq!((answer.status.as_u16(), slug(&answer)), (status, kind), "{name}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
        assert!(status != 422 || answer.body["errors"][0]["pointer"].is_string(), "{name}: {}", answer.body);
        assert!(!answer.body.to_string().contains("canary"), "{name}: {}", answer.body);
    }
    let get = host.client().send(Method::GET, "/webhooks/stripe", None).await;
    assert_eq!((get.status.as_u16(), slug(&get)), (405, "method-not-allowed"), "{}", get.body);
    assert_eq!(db.count("SELECT count(*) FROM stripe_events").await, taken);
    assert!(!host.log().contains("canary"), "neither a secret nor a body is logged");

    // A token is no way in, and without a secret there is none.
    let client = host.admin();
    let request = client.request(Method::POST, "/webhooks/stripe").body(body.clone()).send().await.unwrap();
    assert_eq!(request.status().as_u16(), 400);
    let off = Host::start(&db, None, HostOptions::default()).await;
    let answer = send(&off, &[header(SECRET, now(), bytes)], body.clone()).await;
    assert_eq!((answer.status.as_u16(), slug(&answer)), (404, "inbound-off"), "{}", answer.body);
    told(&host, SECRET, &serde_json::from_str(&body).unwrap(), false).await;
}

#[test]
fn secrets_that_cannot_be_and_jobs_that_never_begin_are_refused_at_the_start() {
    let profile = |name: &str, key: &str, tenant: &str, secrets: &str| {
        format!(
            "[stripe.profiles.{name}]\nkey = {{ env = \"{key}\" }}\ntenants = [\"{tenant}\"]\nwebhook_secrets = {secrets}\n"
        )
    };
    let good = profile("a", "ONE", "t1", "[{ env = \"WHSEC\" }]");
    let job = |event: &str, kind: &str| format!("[[stripe.jobs]]\nevent = \"{event}\"\ntype = \"{kind}\"\n");
    let many: Vec<_> = (0..17).map(|n| format!("{{ env = \"WHSEC{n}\" }}")).collect();
    let cases = [
        (good.clone() + &job("charge.dispute.created", "send-email"), None),
        (good.clone() + &profile("b", "ONE", "t2", "[{ env = \"WHSEC\" }]"), None),
        (profile("a", "ONE", "t1", "[\"whsec_canary_in_clear\"]"), Some("a secret is not written here")),
        (profile("a", "ONE", "t1", "[{ env = \"ONE\" }]"), Some("stripe.profiles.a.webhook_secrets: holds what is no")),
        (good.clone() + &profile("b", "TWO", "t2", "[{ env = \"WHSEC\" }]"), Some("stripe.profiles.b.webhook_secrets")),
        (profile("a", "ONE", "t1", &format!("[{}]", many.join(", "))), Some("at most 16 webhook_secrets")),
        (profile("a", "ONE", "t1", "[]") + &job("charge.failed", "x"), Some("stripe.jobs: no event comes in")),
        (good.clone() + &job("dispute", "x"), Some("stripe.jobs.0.event")),
        (good.clone() + &job("charge.failed", ""), Some("stripe.jobs.0.type")),
        (good.clone() + &job("charge.failed", "x") + "tenant = \"\"\n", Some("stripe.jobs.0.tenant")),
        (good.clone() + &job("charge.failed", "x") + &job("charge.failed", "x"), Some("stripe.jobs.1: the same event")),
    ];
    let dir = scratch("inbound-config");
    for (n, (text, said)) in cases.iter().enumerate() {
        let file = dir.join(format!("{n}.toml"));
        std::fs::write(&file, text).unwrap();
        let mut command = usher();
        command.args(["config", "check", "--dev", "--config"]).arg(&file);
        command.env("ONE", "sk_test_canary1").env("TWO", "sk_test_canary2").env("WHSEC", "whsec_canary_long_enough");
        for n in 0..17 {
            command.env(format!("WHSEC{n}"), format!("whsec_canary_long_enough_{n}"));
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(if said.is_some() { 2 } else { 0 }), "{text}: {told}");
        assert!(said.is_none_or(|said| told.contains(said)), "{text}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}
