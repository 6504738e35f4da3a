//! Who comes in: forged tokens, keys that change, tokens that are revoked, strangers; what is written down of it, and what is
//! said to whoever is refused.

mod audited;
pub mod forgeries;
mod jwks;
mod lists;
mod refused;
mod revoked;
mod strangers;

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{io::BufReader, net::TcpListener};

use self::forgeries::{Target, forgeries};
use crate::support::{Client, Db, Host, HostOptions, SECRET, http, scratch, token};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key pair that openssl has made.
struct Pair {
    algorithm: Algorithm,
    private: EncodingKey,
    /// PEM.
    public: String,
}

impl Pair {
    fn rsa() -> Self {
        Self::rsa_of(2048)
    }

    fn rsa_of(bits: u32) -> Self {
        let bits = format!("rsa_keygen_bits:{bits}");
        let (private, public) = made(&["-algorithm", "RSA", "-pkeyopt", &bits]);
        Self { algorithm: Algorithm::RS256, private: EncodingKey::from_rsa_pem(private.as_bytes()).unwrap(), public }
    }

    fn ec() -> Self {
        let (private, public) = made(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        Self { algorithm: Algorithm::ES256, private: EncodingKey::from_ec_pem(private.as_bytes()).unwrap(), public }
    }

    fn ed() -> Self {
        let (private, public) = made(&["-algorithm", "ed25519"]);
        Self { algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_pem(private.as_bytes()).unwrap(), public }
    }

    fn jwk(&self, kid: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        json!(jwk)
    }

    fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &self.private).unwrap()
    }
}

/// Private and public, as PEM.
fn made(options: &[&str]) -> (String, String) {
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut args = vec!["genpkey"];
    args.extend_from_slice(options);
    let private = openssl(&args);
    let path = scratch("key").join("private.pem");
    std::fs::write(&path, &private).unwrap();
    let public = openssl(&["pkey", "-pubout", "-in", path.to_str().unwrap()]);
    (private, public)
}

/// Those of a user of t1.
fn claims() -> Value {
    json!({ "userId": "u1", "tenantId": "t1", "role": "user", "exp": now() + 3_600 })
}

/// A token of the hosts' own issuer, with whatever claims.
fn own(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Serves one set of keys, or whatever else it is told to.
struct KeyServer {
    base: String,
    says: Arc<Mutex<(u16, Vec<u8>)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { base, says: Arc::new(Mutex::new((200, set(keys)))), asked: Arc::default() };
        let (says, asked) = (Arc::clone(&server.says), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut client = BufReader::new(client);
                    while let Ok(Some(request)) = http::read(&mut client).await {
                        asked.fetch_add(1, Ordering::SeqCst);
                        let (status, body) = says.lock().unwrap().clone();
                        // Where a redirect would lead: to keys that nobody has named.
                        let leads = request.path.replace("/moved", "/jwks.json");
                        let headers = [("location".to_owned(), leads), ("connection".to_owned(), "close".to_owned())];
                        if http::answer(&mut client, status, &headers, &body).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn holds(&self, keys: &[Value]) {
        self.says(200, &set(keys));
    }

    fn says(&self, status: u16, body: &[u8]) {
        *self.says.lock().unwrap() = (status, body.to_vec());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// An issuer of its keys, as configuration.
    fn issuer(&self, name: &str, algorithm: &str, refresh: &str) -> String {
        format!(
            "[[auth.issuers]]\nname = \"{name}\"\nalgorithm = \"{algorithm}\"\n\
             jwks = {{ url = \"{}/jwks.json\", allow_http = true, refresh = \"{refresh}\", timeout = \"2s\" }}\n",
            self.base
        )
    }
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

async fn host(db: &Db, config: String) -> Host {
    Host::start(db, None, HostOptions { config, concurrency: 0, ..HostOptions::default() }).await
}

/// How a host takes a token.
async fn status(host: &Host, token: &str) -> StatusCode {
    Client::new(&host.base, token.to_owned()).get("/jobs").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_comes_in() {
    let pairs = [("RS256", Pair::rsa()), ("ES256", Pair::ec()), ("EdDSA", Pair::ed())];
    let mut config = String::new();
    for (algorithm, pair) in &pairs {
        let path = scratch("issuer").join("public.pem");
        std::fs::write(&path, &pair.public).unwrap();
        config.push_str(&format!(
            "[[auth.issuers]]\nname = \"{algorithm}\"\nalgorithm = \"{algorithm}\"\npublic_key = {{ file = {path:?} }}\n\
             iss = \"https://id.example\"\naud = \"usher\"\n"
        ));
    }
    let db = Db::new().await;
    let host = host(&db, config).await;
    let public: Vec<_> = pairs.iter().map(|(_, pair)| pair.public.as_str()).collect();
    let all = forgeries(&Target { secret: SECRET.as_bytes(), public_keys: &public });
    assert!(all.len() >= 40, "{}", all.len());
    for (name, forged) in &all {
        let answer = Client::new(&host.base, forged.clone()).get("/jobs").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {forged}: {}", answer.body);
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"", "{name}");
        assert_eq!(
            (&answer.body["type"], &answer.body["instance"]),
            (&json!("urn:usher:problem:unauthenticated"), &json!("/jobs")),
            "{name}"
        );
        assert!(!answer.body.to_string().contains(SECRET), "{name}");
    }
    // The keys are in use, each for its own issuer's tokens only.
    let whole = |change: Value| {
        let mut claims = claims();
        claims["iss"] = json!("https://id.example");
        claims["aud"] = json!("usher");
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    for (algorithm, pair) in &pairs {
        assert_eq!(status(&host, &pair.sign(None, &whole(json!({})))).await, StatusCode::OK, "{algorithm}");
        for change in [json!({ "iss": "https://evil.example" }), json!({ "aud": "others" }), json!({ "aud": [] })] {
            let forged = pair.sign(None, &whole(change.clone()));
            assert_eq!(status(&host, &forged).await, StatusCode::UNAUTHORIZED, "{algorithm}: {change}");
        }
        assert_eq!(status(&host, &pair.sign(None, &claims())).await, StatusCode::UNAUTHORIZED, "{algorithm}: no iss");
    }
    assert_eq!(status(&host, &token("user", Some("t1"))).await, StatusCode::OK);
}
