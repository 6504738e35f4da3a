use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Document, Operation};
use crate::support::{Answer, Client, Db, Host, HostOptions, component, read, token};

/// What cannot be made to succeed without hours, a provider or another release: it is refused as the document says.
const REFUSED: [(&str, u16); 6] = [
    // Needs an effect in doubt; tests of effects resolve them.
    ("resolveEffect", 409),
    // There is one release, which serves.
    ("deleteRelease", 409),
    ("activateRelease", 409),
    ("rollbackRelease", 409),
    ("migrateJobs", 404),
    // No profile has a secret; tests of inbound events sign them.
    ("receiveStripeEvent", 404),
];

/// Where no one listens; no name can be resolved here.
const NOBODY: &str = "http://127.0.0.1:9/usher";

const ALERT: &str = "INSERT INTO alerts (kind, subject, tenant, severity, message) \
                     VALUES ('test', gen_random_uuid()::text, 't1', 'warning', 'm') RETURNING id::text";

struct Rig {
    db: Db,
    host: Host,
    admin: Client,
    user: Client,
}

impl Rig {
    /// A job that waits.
    async fn waiting(&self) -> String {
        let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        self.made_by(&self.user, "/jobs", json!({ "type": "guest", "payload": { "do": "ok" }, "runAt": at })).await
    }

    async fn dead(&self) -> String {
        let id = self.user.submit("guest", json!({ "do": "permanent" })).await;
        self.user.wait(&id, "dead").await;
        id
    }

    async fn made(&self, path: &str, body: Value) -> String {
        self.made_by(&self.admin, path, body).await
    }

    async fn made_by(&self, client: &Client, path: &str, body: Value) -> String {
        let answer = client.send(Method::POST, path, Some(body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    async fn endpoint(&self) -> String {
        let body = json!({ "url": NOBODY, "tenant": "t1" });
        self.made("/webhook-endpoints", body).await
    }

    async fn key(&self) -> String {
        self.made("/keys", json!({ "name": "k", "tenants": ["t1"], "jobTypes": null })).await
    }

    async fn alert(&self) -> String {
        self.db.text(ALERT).await.unwrap()
    }

    /// What the operation's path names, made for this call.
    async fn given(&self, operation: &Operation) -> BTreeMap<&'static str, String> {
        let mut given = BTreeMap::new();
        match operation.id.as_str() {
            "getJob" | "cancelJob" | "followJob" => drop(given.insert("id", self.waiting().await)),
            "retryJob" => drop(given.insert("id", self.dead().await)),
            "resolveEffect" => drop(given.insert("job", self.waiting().await)),
            "getBulkRetry" => {
                let body = json!({ "filter": { "type": "none-of-this-type" } });
                given.insert("id", self.made("/jobs/bulk/retry", body).await);
            }
            "deleteRelease" => {
                let plugin = self.admin.get("/plugins/analytics").await.body;
                given.insert("digest", plugin["digest"].as_str().unwrap().to_owned());
            }
            _ if operation.path.starts_with("/webhook-endpoints/{id}") => {
                given.insert("id", self.endpoint().await);
            }
            _ if operation.path.starts_with("/keys/{id}") => drop(given.insert("id", self.key().await)),
            _ if operation.path.starts_with("/alerts/{id}") => drop(given.insert("id", self.alert().await)),
            _ => {}
        }
        given
    }

    async fn call(&self, operation: &Operation, body: Option<Value>) -> Answer {
        let path = operation.path(&self.given(operation).await);
        if operation.id == "publishPlugin" {
            let bytes = std::fs::read(component("analytics.wasm")).unwrap();
            let request =
                self.admin.request(Method::POST, &path).header("content-type", "application/wasm").body(bytes);
            return read(request.send().await.unwrap()).await;
        }
        if operation.told["responses"]["200"]["content"].get("text/event-stream").is_some() {
            // It has no end.
            let response = self.user.request(Method::GET, &path).send().await.unwrap();
            return Answer { status: response.status(), headers: response.headers().clone(), body: json!("") };
        }
        // Whoever submits does it for a tenant of their own.
        let client = if operation.id.starts_with("submit") { &self.user } else { &self.admin };
        let body = body.map(|mut body| {
            if operation.id == "createEndpoint" {
                body["tenant"] = json!("t1");
                body["url"] = json!(NOBODY);
            }
            body
        });
        client.send(operation.method.clone(), &path, body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_works_and_every_answer_is_one_of_its_schema() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "analytics.wasm"];
    let config = "[webhooks]\nallow_private = [\"127.0.0.1:9\"]\n".to_owned();
    let host = Host::start(&db, None, HostOptions { plugins, config, ..HostOptions::default() }).await;
    let document = Document::of(&host).await;
    let (admin, user) = (host.admin(), host.client().with_token(token("venue_admin", Some("t1"))));
    let rig = Rig { db, host, admin, user };
    let mut operations = document.operations();
    // What takes something away comes after what needs it.
    operations.sort_by_key(|operation| operation.id == "retirePlugin");
    for operation in &operations {
        for (name, body) in operation.bodies() {
            let answer = rig.call(operation, body).await;
            let at = format!("{} ({name}): {}: {}", operation.id, answer.status, answer.body);
            match REFUSED.iter().find(|(id, _)| *id == operation.id) {
                Some((_, status)) => assert_eq!(answer.status.as_u16(), *status, "{at}"),
                None => assert!(answer.status.is_success(), "{at}"),
            }
            document.judge(operation, &answer);
        }
    }
    for (id, _) in REFUSED {
        assert!(operations.iter().any(|operation| operation.id == id), "{id} is not there any more");
    }
    drop(rig.host);
}

/// Each operation is asked what it must refuse, and does so as it tells.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_that_the_document_names() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let document = Document::of(&host).await;
    let admin = host.admin();
    let stranger = Client::new(&host.base, "nonsense".to_owned());
    for operation in document.operations() {
        // In the place of a body: nothing, what is no JSON, what has a field that nobody knows.
        let path = operation.path(&BTreeMap::new());
        let asked = |client: &Client| client.request(operation.method.clone(), &path);
        let mut requests = vec![asked(&stranger)];
        if operation.told["requestBody"]["content"].get("application/json").is_some() {
            let json = |body: &'static str| asked(&admin).header("content-type", "application/json").body(body);
            requests.extend([json("{"), json("[]"), json(r#"{"no-such-field":1}"#), asked(&admin).body("{}")]);
        }
        if operation.told["parameters"].as_array().into_iter().flatten().any(|p| p["in"] == "query") {
            requests.push(admin.request(operation.method.clone(), &format!("{path}?no-such-parameter=1")));
        }
        for request in requests {
            let answer = read(request.send().await.unwrap()).await;
            assert!(answer.status.as_u16() < 500, "{}: {}", operation.id, answer.body);
            document.judge(&operation, &answer);
        }
    }
}
