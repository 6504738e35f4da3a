use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode, Url};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::Host;

/// A service's key.
pub struct Key {
    id: String,
    secret: String,
}

impl Key {
    /// For one tenant and all types. `None`: hosts have no such keys.
    pub async fn new(host: &Host, tenant: &str) -> Option<Self> {
        let body = json!({ "name": "roles", "tenants": [tenant], "jobTypes": null });
        let answer = host.admin().send(Method::POST, "/keys", Some(body)).await;
        if answer.status == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        Some(Self { id: text("id"), secret: text("secret") })
    }

    /// The headers of a signed request (RFC 9421). `media`: empty where there is no body.
    pub fn sign(&self, method: &str, url: &str, media: &str, body: &str) -> Vec<(&'static str, String)> {
        let url = Url::parse(url).unwrap();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let mut covered = vec![
            ("@method", method.to_owned()),
            ("@authority", format!("{}{port}", url.host_str().unwrap())),
            ("@path", url.path().to_owned()),
            ("@query", format!("?{}", url.query().unwrap_or_default())),
        ];
        let mut headers = Vec::new();
        if !media.is_empty() {
            let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
            covered.extend([("content-digest", digest.clone()), ("content-type", media.to_owned())]);
            headers.push(("content-digest", digest));
        }
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let names: Vec<_> = covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let nonce = uuid::Uuid::new_v4();
        let input = format!("({});created={created};nonce=\"{nonce}\";keyid=\"{}\"", names.join(" "), self.id);
        let lines: String = covered.iter().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
        let base = format!("{lines}\"@signature-params\": {input}");
        let mac = STANDARD.encode(hmac(self.secret.as_bytes(), base.as_bytes()));
        headers.extend([("signature-input", format!("sig={input}")), ("signature", format!("sig=:{mac}:"))]);
        headers
    }
}

/// HMAC (RFC 2104) by sha256, of a key that is no longer than a block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::digest([&padded(0x36)[..], text].concat());
    Sha256::digest([&padded(0x5c)[..], &inner[..]].concat()).to_vec()
}
