//! Requests that a service signs (RFC 9421), altered, cut short, repeated, or signed over too little. Signed here by hand, so that
//! each of them differs from a good one in one thing.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use reqwest::{Method, header::HeaderValue};
use sha2::{Digest, Sha256};

use crate::{
    report::Report,
    rig::Rig,
    support::{Answer, read, token},
};

const KIND: &str = "signatures";
const REFUSED: [u16; 3] = [400, 401, 431];
/// Nobody's.
const NO_KEY: &str = "019a0000-0000-4000-8000-000000000000";

/// What is signed, and with what.
#[derive(Clone)]
struct Sketch {
    method: String,
    authority: String,
    path: String,
    query: String,
    body: String,
    fields: Vec<(String, String)>,
    components: Vec<String>,
    created: Option<i64>,
    expires: Option<i64>,
    nonce: Option<String>,
    alg: Option<String>,
    key_id: String,
    secret: String,
}

/// A request as it goes out.
#[derive(Clone)]
struct Sent {
    method: String,
    authority: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: String,
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn digest(body: &str) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

impl Sketch {
    fn good(rig: &Rig) -> Self {
        let body = r#"{"type":"guest","payload":{"do":"ok"}}"#.to_owned();
        let fields = [
            ("content-type", "application/json".to_owned()),
            ("content-digest", digest(&body)),
            ("x-tenant-id", "t1".to_owned()),
            ("idempotency-key", uuid::Uuid::new_v4().to_string()),
        ];
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let derived = ["@method", "@authority", "@path", "@query"].map(str::to_owned);
        let components = derived.into_iter().chain(fields.iter().map(|(name, _)| name.clone())).collect();
        Self {
            method: "POST".to_owned(),
            authority: rig.base.trim_start_matches("http://").to_owned(),
            path: "/jobs".to_owned(),
            query: String::new(),
            body,
            fields,
            components,
            created: Some(now()),
            expires: None,
            nonce: Some(uuid::Uuid::new_v4().to_string()),
            alg: Some("hmac-sha256".to_owned()),
            key_id: rig.things.key.clone(),
            secret: rig.things.secret.clone(),
        }
    }

    fn without(mut self, component: &str) -> Self {
        self.components.retain(|name| name != component);
        self
    }

    fn params(&self) -> String {
        let names: Vec<_> = self.components.iter().map(|name| format!("\"{name}\"")).collect();
        let mut params = format!("({})", names.join(" "));
        for (name, value) in [("created", self.created), ("expires", self.expires)] {
            if let Some(value) = value {
                params.push_str(&format!(";{name}={value}"));
            }
        }
        params.push_str(&format!(";keyid=\"{}\"", self.key_id));
        for (name, value) in [("nonce", &self.nonce), ("alg", &self.alg)] {
            if let Some(value) = value {
                params.push_str(&format!(";{name}=\"{value}\""));
            }
        }
        params
    }

    fn sign(&self) -> Sent {
        let params = self.params();
        let mut base = String::new();
        for name in &self.components {
            let value = match name.as_str() {
                "@method" => self.method.clone(),
                "@authority" => self.authority.clone(),
                "@path" => self.path.clone(),
                "@query" => format!("?{}", self.query),
                name => self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default(),
            };
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {params}"));
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        let mac = crypto::sign(base.as_bytes(), &key, Algorithm::HS256).unwrap();
        let mac = STANDARD.encode(URL_SAFE_NO_PAD.decode(mac).unwrap());
        let mut headers: Vec<_> =
            self.fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        headers.push(("signature-input".to_owned(), format!("sig1={params}").into_bytes()));
        headers.push(("signature".to_owned(), format!("sig1=:{mac}:").into_bytes()));
        let target = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        Sent {
            method: self.method.clone(),
            authority: self.authority.clone(),
            target,
            headers,
            body: self.body.clone(),
        }
    }
}

impl Sent {
    fn text(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(n, _)| n == name).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    }

    fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn and(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn lacking(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// With something else in what the signature says of itself.
    fn input(self, from: &str, to: &str) -> Self {
        let input = self.text("signature-input");
        let changed = input.replace(from, to);
        assert_ne!(input, changed, "{from}");
        self.with("signature-input", changed)
    }

    async fn send(&self, rig: &Rig, http: &reqwest::Client) -> Answer {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut request = http.request(method, format!("{}{}", rig.base, self.target)).header("host", &self.authority);
        for (name, value) in &self.headers {
            request = request.header(name, HeaderValue::from_bytes(value).unwrap());
        }
        read(request.body(self.body.clone()).send().await.unwrap()).await
    }
}

/// Rightly signed, and not to be taken all the same.
fn badly_made(rig: &Rig) -> Vec<(String, Sent)> {
    let good = || Sketch::good(rig);
    let mut all = Vec::new();
    for component in good().components {
        all.push((format!("not over {component}"), good().without(&component).sign()));
    }
    let mut say = |name: &str, change: &dyn Fn(&mut Sketch)| {
        let mut sketch = good();
        change(&mut sketch);
        all.push((name.to_owned(), sketch.sign()));
    };
    say("over nothing", &|s| s.components.clear());
    say("over a component twice", &|s| s.components.push("@method".to_owned()));
    say("over a component that we do not know", &|s| s.components.push("@scheme".to_owned()));
    say("over a header that is not there", &|s| s.components.push("x-nothing".to_owned()));
    say("old", &|s| s.created = Some(now() - 400));
    say("ahead", &|s| s.created = Some(now() + 120));
    say("before all time", &|s| s.created = Some(-1));
    say("at the end of all time", &|s| s.created = Some(i64::MAX));
    say("without a time", &|s| s.created = None);
    say("expired", &|s| s.expires = Some(now() - 1));
    say("without a nonce", &|s| s.nonce = None);
    say("with an empty nonce", &|s| s.nonce = Some(String::new()));
    say("with a long nonce", &|s| s.nonce = Some("n".repeat(129)));
    for alg in ["none", "", "hmac-sha1", "hmac-sha512", "rsa-pss-sha512", "ed25519", "HMAC-SHA256"] {
        say(&format!("by {alg:?}"), &|s| s.alg = Some(alg.to_owned()));
    }
    say("with another secret", &|s| s.secret = "usher_sk_of_nobody".to_owned());
    say("with no secret", &|s| s.secret = String::new());
    say("by nobody's key", &|s| s.key_id = NO_KEY.to_owned());
    say("by a key that injects SQL", &|s| s.key_id = "' OR 1=1 --".to_owned());
    say("by a key whose name is a path", &|s| s.key_id = "../../dev/null".to_owned());
    say("with a digest of something else", &|s| {
        s.fields.iter_mut().filter(|(name, _)| name == "content-digest").for_each(|field| field.1 = digest("{}"));
    });
    say("with a weak digest", &|s| {
        let weak = "md5=:AAAAAAAAAAAAAAAAAAAAAA==:";
        s.fields.iter_mut().filter(|(name, _)| name == "content-digest").for_each(|field| field.1 = weak.to_owned());
    });
    say("with a body and no digest", &|s| {
        s.fields.retain(|(name, _)| name != "content-digest");
        s.components.retain(|name| name != "content-digest");
    });
    all
}

/// Good ones that somebody on the way has changed.
fn altered(rig: &Rig) -> Vec<(String, Sent)> {
    let good = || Sketch::good(rig).sign();
    let mut all: Vec<(&str, Sent)> = Vec::new();
    let more = r#"{"type":"guest","payload":{"do":"panic"}}"#;
    all.push(("another method", Sent { method: "PUT".to_owned(), ..good() }));
    all.push(("another path", Sent { target: "/jobs/batch".to_owned(), ..good() }));
    all.push(("a query", Sent { target: "/jobs?x=1".to_owned(), ..good() }));
    all.push(("another authority", Sent { authority: "localhost".to_owned(), ..good() }));
    all.push(("another body", Sent { body: more.to_owned(), ..good() }));
    all.push((
        "another body and its digest",
        Sent { body: more.to_owned(), ..good() }.with("content-digest", digest(more)),
    ));
    all.push(("a body that is longer", Sent { body: format!("{} ", good().body), ..good() }));
    all.push(("another tenant", good().with("x-tenant-id", "t2")));
    all.push(("a tenant more", good().and("x-tenant-id", "t2")));
    all.push(("no tenant", good().lacking("x-tenant-id")));
    all.push(("another key of idempotency", good().with("idempotency-key", "x")));
    all.push(("another content type", good().with("content-type", "application/json;charset=utf-8")));
    all.push(("no digest", good().lacking("content-digest")));
    all.push(("no input", good().lacking("signature-input")));
    all.push(("no signature", good().lacking("signature")));
    all.push(("another time", good().input(";created=", ";created=1")));
    all.push(("another nonce", good().input("nonce=\"", "nonce=\"x")));
    all.push(("another key", good().input(&rig.things.key, NO_KEY)));
    all.push(("the key in capitals", good().input(&rig.things.key, &rig.things.key.to_uppercase())));
    all.push(("another algorithm", good().input("hmac-sha256", "none")));
    all.push(("a component less", good().input(" \"x-tenant-id\"", "")));
    all.push(("components in another order", good().input("\"@method\" \"@authority\"", "\"@authority\" \"@method\"")));
    all.push(("a parameter twice", good().input(";created=", ";created=1;created=")));
    all.push(("a parameter more", good().input(";keyid=", ";tag=\"x\";keyid=")));
    let mac = good().text("signature");
    let bytes = mac.trim_start_matches("sig1=:").trim_end_matches(':').to_owned();
    for (name, value) in [
        ("an empty one", "sig1=::".to_owned()),
        ("half of one", format!("sig1=:{}:", &bytes[..20])),
        ("zeros", format!("sig1=:{}:", STANDARD.encode([0; 32]))),
        ("one that is longer", format!("sig1=:{}:", STANDARD.encode([0; 64]))),
        ("a text", format!("sig1=\"{bytes}\"")),
        ("one of another request", mac.clone()),
        ("one under another label", mac.replace("sig1", "sig2")),
        ("one twice", format!("{mac}, {mac}")),
        ("one in hex", "sig1=:zz:".to_owned()),
        ("no dictionary", "((((".to_owned()),
        ("commas", ",,,,".to_owned()),
    ] {
        all.push((name, good().with("signature", value)));
    }
    for (name, value) in [
        ("input: nothing", Vec::new()),
        ("input: no dictionary", b"((((".to_vec()),
        ("input: no list", b"sig1=1".to_vec()),
        ("input: not closed", b"sig1=(\"@method\"".to_vec()),
        ("input: a text not closed", b"sig1=(\"@method".to_vec()),
        ("input: deep", b"sig1=".iter().copied().chain([b'('; 5_000]).collect()),
        ("input: long", [b"sig1=(\"@method\");keyid=\"".as_slice(), &[b'k'; 12_000], b"\""].concat()),
        ("input: many", (0..500).map(|n| format!("s{n}=()")).collect::<Vec<_>>().join(", ").into_bytes()),
        ("input: no ASCII", b"sig1=(\"@method\");keyid=\"\xff\xfe\"".to_vec()),
        ("input: a number beyond all", b"sig1=();created=99999999999999999999;keyid=\"k\"".to_vec()),
        ("input: a tab", b"sig1=(\t\"@method\");keyid=\"k\"".to_vec()),
    ] {
        all.push((name, good().with("signature-input", value)));
    }
    let lines = good();
    let (input, mac) = (lines.text("signature-input"), lines.text("signature"));
    all.push(("the label on two lines", lines.and("signature-input", input).and("signature", mac)));
    all.push(("a token beside it", good().and("authorization", format!("Bearer {}", token("admin", None)))));
    all.into_iter().map(|(name, sent)| (name.to_owned(), sent)).collect()
}

pub async fn all(rig: &Rig, report: &mut Report) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let attacks: Vec<_> = badly_made(rig).into_iter().chain(altered(rig)).collect();
    assert!(attacks.len() >= 20, "{}", attacks.len());
    for (name, sent) in &attacks {
        report.refused(KIND, name, &sent.send(rig, &http).await, &REFUSED);
    }
    // A good one, and the same once more.
    let good = Sketch::good(rig).sign();
    let answer = good.send(rig, &http).await;
    if answer.status != 202 {
        report.fail(KIND, &format!("a good one is answered {} {}", answer.status, answer.body));
    }
    report.refused(KIND, "a good one twice", &good.send(rig, &http).await, &REFUSED);
    // What the key is not for.
    let mut other = Sketch::good(rig);
    other.body = other.body.replace("guest", "send-email");
    let other_digest = digest(&other.body);
    other
        .fields
        .iter_mut()
        .filter(|(name, _)| name == "content-digest")
        .for_each(|field| field.1 = other_digest.clone());
    report.refused(KIND, "a job of another type", &other.sign().send(rig, &http).await, &[403]);
    let mut other = Sketch::good(rig);
    other.fields.iter_mut().filter(|(name, _)| name == "x-tenant-id").for_each(|field| field.1 = "t2".to_owned());
    report.refused(KIND, "a job of another tenant", &other.sign().send(rig, &http).await, &[401, 403, 404]);
}
