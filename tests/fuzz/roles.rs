//! Who may do what, by the table in `roles.txt`; and what belongs to another tenant.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};

use crate::{
    document::{Document, Operation},
    report::Report,
    rig::Rig,
    support::{Answer, Client, read},
};

const KIND: &str = "roles";
/// From the least on.
const ROLES: [&str; 4] = ["anyone", "caller", "venue_admin", "admin"];

/// "METHOD path" -> lowest role.
pub fn table() -> BTreeMap<String, String> {
    let lines = include_str!("roles.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [method, path, lowest] = words.as_slice() else { panic!("roles.txt: {line}") };
            (format!("{method} {path}"), (*lowest).to_owned())
        })
        .collect()
}

/// The table and the document know of the same operations.
pub fn listed(document: &Document, report: &mut Report) {
    let (table, labels) = (table(), document.operations.iter().map(Operation::label).collect::<Vec<_>>());
    for label in labels.iter().filter(|label| !table.contains_key(*label)) {
        report.fail(KIND, &format!("{label} is in the document and not in roles.txt: who may do it?"));
    }
    for label in table.keys().filter(|label| !labels.contains(label)) {
        report.fail(KIND, &format!("{label} is in roles.txt and not in the document"));
    }
}

pub async fn all(rig: &Rig, document: &Document, report: &mut Report) {
    let table = table();
    let callers = [
        ("anyone", rig.admin.with_token(String::new())),
        ("caller", rig.client("user", Some("t1"))),
        ("caller", rig.client("no such role", Some("t1"))),
        ("venue_admin", rig.client("venue_admin", Some("t1"))),
    ];
    for operation in &document.operations {
        let label = operation.label();
        let Some(lowest) = table.get(&label) else { continue };
        let Some(needed) = ROLES.iter().position(|role| role == lowest) else { continue };
        let path = rig.things.path(&operation.path);
        for (role, client) in &callers {
            let has = ROLES.iter().position(|known| known == role).unwrap_or_default();
            if has >= needed {
                continue;
            }
            let answer = sent(client, operation, &path).await;
            let expected = if *role == "anyone" { 401 } else { 403 };
            report.refused(KIND, &format!("{label} as {role}"), &answer, &[expected]);
        }
        others(rig, operation, &path, report).await;
    }
    lists(rig, document, report).await;
}

/// What is there, asked for by callers of another tenant: as if it were not there.
async fn others(rig: &Rig, operation: &Operation, path: &str, report: &mut Report) {
    let owned = ["/jobs/{id}", "/effects/{job}", "/webhook-endpoints/{id}", "/keys/{id}"];
    if !owned.iter().any(|beginning| operation.path.starts_with(beginning)) {
        return;
    }
    for role in ["user", "venue_admin"] {
        let answer = sent(&rig.client(role, Some("t2")), operation, path).await;
        report.refused("tenants", &format!("{} as {role} of t2", operation.label()), &answer, &[403, 404]);
        // Only that it is not there, and nothing of what it is.
        for name in ["payload", "url", "tenant"] {
            if !answer.body[name].is_null() {
                report.fail("tenants", &format!("{} tells {name} to another tenant", operation.label()));
            }
        }
    }
}

/// No list of another tenant holds what is of t1; and nobody may ask for it by name.
async fn lists(rig: &Rig, document: &Document, report: &mut Report) {
    let things = &rig.things;
    let ids = [&things.job, &things.parked, &things.endpoint, &things.key];
    let reads = document.operations.iter().filter(|operation| operation.method == "GET" && !operation.is_stream());
    for operation in reads.filter(|operation| !operation.path.contains('{')) {
        for role in ["user", "venue_admin"] {
            let client = rig.client(role, Some("t2"));
            let mut asked = vec![operation.path.clone(), format!("{}?limit=200", operation.path)];
            if operation.query.iter().any(|name| name == "tenant") {
                asked.push(format!("{}?tenant=t1", operation.path));
                asked.push(format!("{}?tenant=t2&tenant=t1", operation.path));
            }
            for path in asked {
                let answer = client.get(&path).await;
                let name = format!("GET {path} as {role} of t2");
                report.sound("tenants", &name, &answer);
                let text = answer.body.to_string();
                if ids.iter().any(|id| text.contains(id.as_str())) {
                    report.fail("tenants", &format!("{name} holds what is of t1"));
                }
            }
        }
    }
    // To act for another tenant.
    for role in ["user", "venue_admin"] {
        let client = rig.client(role, Some("t2"));
        for body in [
            r#"{"type":"guest","payload":{"do":"ok"},"tenant":"t1"}"#,
            r#"{"type":"guest","payload":{"do":"ok"},"tenant":"t1","tenant":"t2"}"#,
        ] {
            let answer = client.post(body).await;
            report.refused("tenants", &format!("{body} as {role} of t2"), &answer, &[400, 403, 422]);
        }
    }
    for name in [
        "x-tenant-id",
        "x-tenant",
        "tenant",
        "x-user-id",
        "x-forwarded-user",
        "x-original-url",
        "x-http-method-override",
    ] {
        let request = rig.client("user", Some("t2")).request(Method::GET, &format!("/jobs/{}", things.job));
        let answer = read(request.header(name, "t1").send().await.unwrap()).await;
        report.refused("tenants", &format!("{name}: t1"), &answer, &[400, 403, 404]);
    }
}

/// Without a body, or with an empty one: who may not is told so before anything is read.
async fn sent(client: &Client, operation: &Operation, path: &str) -> Answer {
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let mut request = client.request(method, path);
    if operation.body.is_some() {
        request = request.header("content-type", "application/json").body("{}");
    }
    match request.send().await {
        Ok(response) if operation.is_stream() && response.status() == StatusCode::OK => {
            // It would not end.
            Answer { status: response.status(), headers: response.headers().clone(), body: serde_json::Value::Null }
        }
        Ok(response) => read(response).await,
        Err(error) => panic!("{} is not answered: {error}", operation.label()),
    }
}
