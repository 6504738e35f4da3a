//! Bodies, strings and numbers that no schema would draw: deep, torn, at the edges, full of control characters and escapes. Each
//! string in every place that takes one.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    document::{Document, Operation},
    report::Report,
    rig::Rig,
    rng::Rng,
    support::{Answer, read},
};

const KIND: &str = "bodies";
/// Requests at once.
const WIDTH: usize = 4;
/// A short run sends one of so many.
const SAMPLE: u64 = 8;
/// Levels.
const DEPTHS: [usize; 2] = [10_000, 1_000_000];

/// One request. `body`: as it is, JSON or not.
struct Shot {
    method: String,
    path: String,
    body: Option<Arc<[u8]>>,
    name: String,
}

/// A string as JSON, within its quotes, and what it is.
fn strings() -> Vec<(&'static str, String)> {
    let escaped = |text: &str| {
        let quoted = json!(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let mut all: Vec<_> = [
        ("an escape", "\u{1b}[31mFUZZ\u{1b}[0m"),
        ("a title for the terminal", "\u{1b}]0;FUZZ\u{7}"),
        ("a line of its own", "x\r\nFUZZ-INJECTED level=ERROR"),
        ("a newline", "x\nFUZZ-INJECTED"),
        ("a carriage return", "x\rFUZZ-INJECTED"),
        ("NUL", "a\u{0}b"),
        ("a backspace", "a\u{8}\u{8}b"),
        ("DEL", "a\u{7f}b"),
        ("C1", "\u{9b}31m\u{85}\u{90}x"),
        ("right to left", "\u{202e}txt.exe"),
        ("isolates", "\u{2066}x\u{2069}"),
        ("separators of lines", "a\u{2028}b\u{2029}c"),
        ("a byte order mark", "\u{feff}x"),
        ("no characters", "\u{fffe}\u{ffff}\u{10ffff}"),
        ("nothing that is seen", "\u{200b}\u{200d}\u{2060}"),
        ("a family", "👩‍👩‍👧‍👦🏴‍☠️"),
        ("many marks", "Z̷̢̛̛͉͔͓̲͎̙̣̝͋̓̈̃ͅ"),
        ("letters that change their length", "ŉİßẞﬀΐ"),
        ("one thing in two ways", "\u{e9}e\u{301}"),
        ("empty", ""),
        ("a space", " "),
        ("SQL", "'; DROP TABLE jobs; --"),
        ("a format", "%s%n%x{}{0}${x}"),
        ("a look-up", "${jndi:ldap://127.0.0.1/x}"),
        ("a template", "{{7*7}}{% raw %}"),
        ("a script", "<script>alert(1)</script>"),
        ("a path", "../../../../etc/passwd"),
        ("a path of Windows", "..\\..\\nul"),
        ("null", "null"),
        ("a number", "-0"),
        ("a time", "9999-12-31T23:59:60Z"),
        ("an address", "http://[::1]:5432/"),
    ]
    .into_iter()
    .map(|(name, text)| (name, escaped(text)))
    .collect();
    all.push(("half a pair", "\\ud800".to_owned()));
    all.push(("the other half", "\\udc00\\ud800".to_owned()));
    all.push(("64 KiB", "a".repeat(65_536)));
    all.push(("10,000 escapes", "\\u001b".repeat(10_000)));
    all
}

/// Numbers and other values, as JSON writes them or as nobody may.
const VALUES: [&str; 45] = [
    "0",
    "-0",
    "-1",
    "1",
    "0.0",
    "-0.0",
    "1.5",
    "1e0",
    "1E+2",
    "127",
    "128",
    "-129",
    "32768",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1e308",
    "1e309",
    "-1e309",
    "1e400",
    "1e-400",
    "1e1000000",
    "00",
    "+1",
    ".5",
    "1.",
    "0x10",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "'x'",
];

pub async fn all(rig: &Rig, document: &Document, report: &mut Report) {
    let mut shots = Vec::new();
    for operation in document.operations.iter().filter(|operation| !operation.is_stream()) {
        let path = rig.things.path(&operation.path);
        in_bodies(operation, &path, &mut shots);
        in_addresses(operation, &path, &mut shots);
    }
    if !rig.options.is_long() {
        let mut rng = Rng::fork(rig.options.seed, 7);
        shots.retain(|_| rng.below(SAMPLE) == 0);
    }
    shots.extend(deep(document, rig));
    shots.extend(torn());
    send(rig, shots, report).await;
    headers(rig, report).await;
    // A cursor could have led the limits of others astray, and a release could be another one: neither is so.
    let id = rig.admin.submit("guest", json!({"do": "ok"})).await;
    rig.admin.wait(&id, "completed").await;
}

/// Each member by itself, beside nothing else and beside all that a submit needs.
fn in_bodies(operation: &Operation, path: &str, shots: &mut Vec<Shot>) {
    let Some(members) = &operation.body else { return };
    let mut put = |member: &str, value: &str, what: &str| {
        let body = match (operation.label().as_str(), member) {
            ("POST /jobs", "type") => format!(r#"{{"type":{value},"payload":{{"do":"ok"}}}}"#),
            ("POST /jobs", "payload") => {
                format!(r#"{{"type":"guest","payload":{{"do":"ok","echo":{value},{value}:1}}}}"#)
            }
            ("POST /jobs", member) => format!(r#"{{"type":"guest","payload":{{"do":"ok"}},"{member}":{value}}}"#),
            (_, member) => format!(r#"{{"{member}":{value}}}"#),
        };
        let name = format!("{} {member}: {what}", operation.label());
        let (method, path) = (operation.method.clone(), path.to_owned());
        shots.push(Shot { method, path, body: Some(Arc::from(body.into_bytes())), name });
    };
    for member in members {
        for (what, text) in strings() {
            put(member, &format!("\"{text}\""), what);
        }
        for value in VALUES {
            put(member, value, value);
        }
    }
    for (what, text) in strings() {
        put(&text, "1", &format!("a member of that name: {what}"));
    }
}

/// In each part of the path and each parameter of the query.
fn in_addresses(operation: &Operation, path: &str, shots: &mut Vec<Shot>) {
    let body: Option<Arc<[u8]>> = operation.body.as_ref().map(|_| Arc::from(b"{}".as_slice()));
    let mut put = |path: String, name: String| {
        // Longer ones are the sockets' part.
        if path.len() < 6_000 {
            shots.push(Shot { method: operation.method.clone(), path, body: body.clone(), name });
        }
    };
    for (what, text) in strings() {
        let raw: String = serde_json::from_str(&format!("\"{text}\"")).unwrap_or_default();
        let encoded: String = raw.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let start = operation.path.find('{');
        if let Some(start) = start {
            // All of its parameters at once.
            let mut hostile = operation.path[..start].to_owned();
            for part in operation.path[start..].split('/') {
                hostile.push_str(if part.starts_with('{') { &encoded } else { part });
                hostile.push('/');
            }
            put(hostile.trim_end_matches('/').to_owned(), format!("{} path: {what}", operation.label()));
        }
        for parameter in &operation.query {
            put(format!("{path}?{parameter}={encoded}"), format!("{} {parameter}: {what}", operation.label()));
        }
        put(format!("{path}?{encoded}=1"), format!("{} a parameter of that name: {what}", operation.label()));
    }
    for value in VALUES {
        for parameter in &operation.query {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            put(format!("{path}?{parameter}={encoded}"), format!("{} {parameter}: {value}", operation.label()));
        }
    }
}

/// Arrays in arrays and objects in objects, wherever a body is read.
fn deep(document: &Document, rig: &Rig) -> Vec<Shot> {
    let mut shots = Vec::new();
    for depth in DEPTHS {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let open = "[".repeat(depth);
        let mixed = format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        for (what, value) in [("arrays", arrays), ("objects", objects), ("arrays not closed", open), ("both", mixed)] {
            let with_body = document.operations.iter().filter(|operation| operation.body.is_some());
            let whole: Arc<[u8]> = Arc::from(value.as_bytes());
            for operation in with_body {
                let name = format!("{} {depth} levels of {what}", operation.label());
                let (method, path) = (operation.method.clone(), rig.things.path(&operation.path));
                shots.push(Shot { method, path, body: Some(Arc::clone(&whole)), name });
            }
            for member in ["payload", "metadata"] {
                let body = match member {
                    "payload" => format!(r#"{{"type":"guest","payload":{{"do":"ok","echo":{value}}}}}"#),
                    _ => format!(r#"{{"type":"guest","payload":{{"do":"ok"}},"metadata":{{"a":{value}}}}}"#),
                };
                let name = format!("POST /jobs {member}: {depth} levels of {what}");
                let method = "POST".to_owned();
                shots.push(Shot { method, path: "/jobs".to_owned(), body: Some(Arc::from(body.as_bytes())), name });
                let name = format!("POST /jobs/batch {member}: {depth} levels of {what}");
                let body = format!(r#"{{"jobs":[{body}]}}"#).into_bytes();
                shots.push(Shot {
                    method: "POST".to_owned(),
                    path: "/jobs/batch".to_owned(),
                    body: Some(Arc::from(body)),
                    name,
                });
            }
        }
    }
    shots
}

/// Bodies that are no JSON, or nearly.
fn torn() -> Vec<Shot> {
    let good = r#"{"type":"guest","payload":{"do":"ok"}}"#;
    let mut all: Vec<(String, Vec<u8>)> =
        (0..good.len()).map(|end| (format!("cut at {end}"), good.as_bytes()[..end].to_vec())).collect();
    for (name, body) in [
        ("two", [good, good].concat().into_bytes()),
        ("a comma more", br#"{"type":"guest","payload":{"do":"ok"},}"#.to_vec()),
        ("a comment", br#"{"type":"guest"/**/,"payload":{"do":"ok"}}"#.to_vec()),
        ("a member twice", br#"{"type":"guest","type":"guest-money","payload":{"do":"ok"}}"#.to_vec()),
        ("a member of the payload twice", br#"{"type":"guest","payload":{"do":"ok","do":"panic"}}"#.to_vec()),
        ("a prototype", br#"{"type":"guest","payload":{"do":"ok","__proto__":{"x":1}},"__proto__":{}}"#.to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), good.as_bytes()].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("no UTF-8", b"{\"type\":\"guest\xff\xfe\",\"payload\":{\"do\":\"ok\"}}".to_vec()),
        ("an overlong NUL", b"{\"type\":\"guest\xc0\x80\",\"payload\":{\"do\":\"ok\"}}".to_vec()),
        ("a surrogate in bytes", b"{\"type\":\"\xed\xa0\x80\",\"payload\":{\"do\":\"ok\"}}".to_vec()),
        ("a control character in bytes", b"{\"type\":\"gu\x1best\",\"payload\":{\"do\":\"ok\"}}".to_vec()),
        ("zeros", vec![0; 10_000]),
        ("spaces", vec![b' '; 200_000]),
        (
            "a digit a hundred thousand times",
            format!(r#"{{"type":"guest","payload":{{"do":"ok","n":{}}}}}"#, "9".repeat(100_000)).into_bytes(),
        ),
        (
            "twenty thousand members",
            format!(
                r#"{{"type":"guest","payload":{{"do":"ok"{}}}}}"#,
                (0..20_000).map(|n| format!(",\"{n}\":1")).collect::<String>()
            )
            .into_bytes(),
        ),
    ] {
        all.push((name.to_owned(), body));
    }
    let shot = |(name, body): (String, Vec<u8>)| {
        let (method, path) = ("POST".to_owned(), "/jobs".to_owned());
        Shot { method, path, body: Some(Arc::from(body)), name }
    };
    all.into_iter().map(shot).collect()
}

async fn send(rig: &Rig, shots: Vec<Shot>, report: &mut Report) {
    let sent = stream::iter(shots).map(|shot| async move {
        let answer = sent(rig, &shot).await;
        (shot.name, answer)
    });
    let mut sent = std::pin::pin!(sent.buffer_unordered(WIDTH));
    while let Some((name, answer)) = sent.next().await {
        match answer {
            Ok(answer) => report.sound(KIND, &name, &answer),
            Err(error) => report.fail(KIND, &format!("{name}: {error}")),
        }
    }
}

/// `Err`: no answer. Who says no before it has read all may close the connection, and then the word is lost; the next try may hear
/// it.
async fn sent(rig: &Rig, shot: &Shot) -> Result<Answer, String> {
    let mut last = String::new();
    for _ in 0..3 {
        let mut request = rig.admin.request(Method::from_bytes(shot.method.as_bytes()).unwrap(), &shot.path);
        if let Some(body) = &shot.body {
            request = request.header("content-type", "application/json").body(body.to_vec());
        }
        match request.send().await {
            Ok(response) => match told(response).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error.to_string(),
            },
            Err(error) if shot.body.as_ref().is_some_and(|body| body.len() > 100_000) => last = error.to_string(),
            Err(error) => return Err(error.to_string()),
        }
    }
    // Too long to be read, and the connection's end was the answer.
    let is_long = shot.body.as_ref().is_some_and(|body| body.len() > 1 << 20);
    if is_long && rig.is_alive() {
        return Ok(Answer {
            status: reqwest::StatusCode::PAYLOAD_TOO_LARGE,
            headers: reqwest::header::HeaderMap::new(),
            body: json!({"type": "urn:usher:problem:payload-too-large"}),
        });
    }
    Err(last)
}

/// An answer whose connection may end before it is whole.
async fn told(response: reqwest::Response) -> reqwest::Result<Answer> {
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Ok(Answer { status, headers, body })
}

/// Header fields that are read: each hostile value that a field may hold at all.
async fn headers(rig: &Rig, report: &mut Report) {
    let values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\"".to_vec(),
        b"\"\\".to_vec(),
        b"\"a\" \"b\"".to_vec(),
        b"\xff\xfe".to_vec(),
        "ü".as_bytes().to_vec(),
        b"wait=30;wait=1, wait=-1, wait=99999999999999999999, respond-async".to_vec(),
        b"wait=NaN".to_vec(),
        b";;;,,,===".to_vec(),
        b"a\tb".to_vec(),
        vec![b'('; 4_000],
        vec![b'a'; 8_000],
        b"-1".to_vec(),
        b"99999999999999999999".to_vec(),
        b"%s%n${jndi:x}".to_vec(),
    ];
    let names = [
        "idempotency-key",
        "prefer",
        "last-event-id",
        "content-type",
        "accept",
        "accept-encoding",
        "content-encoding",
        "x-tenant-id",
        "content-digest",
        "signature",
        "signature-input",
        "traceparent",
        "x-request-id",
        "if-match",
        "cookie",
        "origin",
        "via",
        "stripe-signature",
        "x-forwarded-for",
        "user-agent",
    ];
    let body = r#"{"type":"guest","payload":{"do":"ok"}}"#;
    for name in names {
        for value in &values {
            let Ok(value) = reqwest::header::HeaderValue::from_bytes(value) else { continue };
            let request = rig.admin.request(Method::POST, "/jobs").body(body);
            let request =
                if name == "content-type" { request } else { request.header("content-type", "application/json") };
            let what = format!("{name}: {value:?}");
            match request.header(name, value).send().await {
                Ok(answer) => report.sound("headers", &what, &read(answer).await),
                Err(error) => report.fail("headers", &format!("{what}: {error}")),
            }
        }
    }
    let webhook = rig.admin.request(Method::POST, "/webhooks/stripe").header("stripe-signature", "t=1,v1=00");
    let answer = read(webhook.body(Value::Null.to_string()).send().await.unwrap()).await;
    report.refused("headers", "Stripe's signature, made up", &answer, &[400, 401, 404]);
}
