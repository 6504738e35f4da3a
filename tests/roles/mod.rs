//! Route x role x tenant: every operation of the served document, asked by everybody, does what the table says.

mod signer;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::Algorithm;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use self::{
    signer::Key,
    table::{About, Fate, Row, Rule, TABLE, Who, fate},
};
use crate::{
    openapi::{Document, Operation},
    support::{Client, Db, Host, HostOptions, forged_token, read, token},
};

/// Words that no answer to the other may hold.
const ONE: &str = "tenant-number-one";
const TWO: &str = "tenant-number-two";

struct Rig {
    db: Db,
    host: Host,
    admin: Client,
    owner: Client,
    http: reqwest::Client,
    /// Of tenants one and two; absent where hosts have no keys of services.
    keys: Option<(Key, Key)>,
}

impl Rig {
    async fn new(db: Db, host: Host) -> Self {
        let admin = host.admin();
        let owner = host.client().with_token(token("venue_admin", Some(ONE)));
        let keys = match (Key::new(&host, ONE).await, Key::new(&host, TWO).await) {
            (Some(one), Some(two)) => Some((one, two)),
            _ => None,
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { db, host, admin, owner, http, keys }
    }

    async fn made(&self, client: &Client, path: &str, body: Value) -> String {
        let answer = client.send(Method::POST, path, Some(body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Of tenant one.
    async fn target(&self, about: About) -> Option<String> {
        Some(match about {
            About::Nothing => return None,
            About::Job => {
                let body = json!({ "type": "guest-money", "payload": { "do": "ok" }, "metadata": { "of": ONE } });
                self.made(&self.owner, "/jobs", body).await
            }
            About::Bulk => {
                let body = json!({ "filter": { "type": "none-of-this-type" } });
                self.made(&self.admin, "/jobs/bulk/retry", body).await
            }
            About::Key => {
                let body = json!({ "name": "k", "tenants": [ONE], "jobTypes": null });
                self.made(&self.admin, "/keys", body).await
            }
            About::Alert => {
                let sql = format!(
                    "INSERT INTO alerts (kind, subject, tenant, severity, message) \
                     VALUES ('test', gen_random_uuid()::text, '{ONE}', 'warning', 'm') RETURNING id::text"
                );
                self.db.text(&sql).await.unwrap()
            }
            About::Endpoint => {
                let body = json!({ "url": "http://127.0.0.1:9/usher", "description": ONE });
                self.made(&self.owner, "/webhook-endpoints", body).await
            }
        })
    }

    /// Asks; `None`: there is nobody of that kind on this host.
    async fn ask(&self, who: Who, operation: &Operation, target: Option<&str>) -> Option<Response> {
        let of = |role: &str, tenant: Option<&str>| Some(token(role, tenant));
        let claims = json!({ "userId": "u", "role": "admin", "exp": 32_503_680_000_u64 });
        let bearer = match who {
            Who::Forger => Some(forged_token(claims, Algorithm::HS256, b"a secret that no host has ever been told of")),
            Who::User => of("user", Some(ONE)),
            Who::UnknownRole => of("Admin", Some(ONE)),
            Who::VenueAdmin => of("venue_admin", Some(ONE)),
            Who::Admin => of("admin", None),
            Who::OtherUser => of("user", Some(TWO)),
            Who::OtherVenueAdmin => of("venue_admin", Some(TWO)),
            Who::Nobody | Who::Service | Who::OtherService => None,
        };
        let key = match (who, &self.keys) {
            (Who::Service, Some((one, _))) => Some(one),
            (Who::OtherService, Some((_, two))) => Some(two),
            (Who::Service | Who::OtherService, None) => return None,
            _ => None,
        };
        let given: BTreeMap<_, _> =
            target.into_iter().flat_map(|id| [("id", id.to_owned()), ("job", id.to_owned())]).collect();
        let url = format!("{}{}", self.host.base, operation.path(&given));
        let (media, body) = match operation.bodies().into_iter().next() {
            Some((_, Some(body))) => ("application/json", body.to_string()),
            // Of what is sent as it is, nothing: whoever is let in is told so.
            _ if operation.told["requestBody"]["required"] == json!(true) => {
                let content = operation.told["requestBody"]["content"].as_object().unwrap();
                (content.keys().next().unwrap().as_str(), String::new())
            }
            _ => ("", String::new()),
        };
        let mut request = self.http.request(operation.method.clone(), &url);
        if !media.is_empty() {
            request = request.header("content-type", media).body(body.clone());
        }
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(key) = key {
            for (name, value) in key.sign(operation.method.as_str(), &url, media, &body) {
                request = request.header(name, value);
            }
        }
        Some(request.send().await.unwrap())
    }
}

/// What became of it, and the answer's text; of a stream, none.
async fn became(response: Response) -> (Fate, String) {
    let endless = response.headers().get("content-type").is_some_and(|media| media == "text/event-stream");
    if endless {
        return (Fate::In, String::new());
    }
    let answer = read(response).await;
    let fate = match (answer.status, answer.body["type"].as_str()) {
        (StatusCode::UNAUTHORIZED, _) => Fate::Stranger,
        (StatusCode::FORBIDDEN, _) => Fate::Forbidden,
        (StatusCode::NOT_FOUND, Some("urn:usher:problem:not-found")) => Fate::Hidden,
        _ => Fate::In,
    };
    (fate, format!("{} {}", answer.status, answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_for_whom_the_design_says() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "analytics.wasm"];
    // No name can be resolved here, so endpoints are where no one listens.
    let config = "[webhooks]\nallow_private = [\"127.0.0.1:9\"]\n".to_owned();
    let host = Host::start(&db, None, HostOptions { plugins, config, concurrency: 0, ..HostOptions::default() }).await;
    let document = Document::of(&host).await;
    let rig = Rig::new(db, host).await;
    let operations: BTreeMap<_, _> = document
        .operations()
        .into_iter()
        .map(|operation| ((operation.method.to_string(), operation.path.clone()), operation))
        .collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows.len(), TABLE.len(), "a row is there twice");
    let told: BTreeSet<_> = operations.keys().cloned().collect();
    let missing: Vec<_> = told.difference(&rows).collect();
    assert!(missing.is_empty(), "who may do these is written nowhere: {missing:?}");
    let stale: Vec<_> = rows.difference(&told).collect();
    assert!(stale.is_empty(), "there are no such operations: {stale:?}");

    let mut wrong = Vec::new();
    for (method, path, rule, about) in TABLE {
        let operation = &operations[&((*method).to_owned(), (*path).to_owned())];
        assert_eq!(is_open(operation), *rule == Rule::Anyone, "{method} {path}: whether the document wants a caller");
        let mut target = rig.target(*about).await;
        for who in Who::ALL {
            let Some(response) = rig.ask(who, operation, target.as_deref()).await else { continue };
            let (found, text) = became(response).await;
            let meant = fate(*rule, *about, who);
            if operation.method == Method::DELETE && found == Fate::In {
                target = rig.target(*about).await;
            }
            if found != meant {
                wrong.push(format!("{method} {path} by {who:?}: {found:?}, not {meant:?}: {text}"));
            }
            let is_other = matches!(who, Who::OtherUser | Who::OtherVenueAdmin | Who::OtherService);
            if is_other && text.contains(ONE) {
                wrong.push(format!("{method} {path} tells {who:?} of another tenant: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_open(operation: &Operation) -> bool {
    operation.told["security"].as_array().is_some_and(|all| all.is_empty() || all.contains(&json!({})))
}

#[test]
fn the_table_says_what_section_8_says() {
    let row = |path: &str, method: &str| TABLE.iter().find(|row: &&Row| row.0 == method && row.1 == path).unwrap();
    let of = |method: &str, path: &str, who: Who| {
        let (_, _, rule, about) = row(path, method);
        fate(*rule, *about, who)
    };
    assert_eq!(of("GET", "/jobs/{id}", Who::OtherVenueAdmin), Fate::Hidden);
    assert_eq!(of("DELETE", "/jobs/{id}", Who::OtherVenueAdmin), Fate::Hidden);
    assert_eq!(of("DELETE", "/jobs/{id}", Who::OtherUser), Fate::Forbidden, "role first");
    assert_eq!(of("DELETE", "/jobs/{id}", Who::Service), Fate::Forbidden);
    assert_eq!(of("POST", "/queues/{name}/pause", Who::VenueAdmin), Fate::Forbidden);
    assert_eq!(of("GET", "/audit", Who::UnknownRole), Fate::Forbidden);
    assert_eq!(of("GET", "/health", Who::Forger), Fate::In);
}
