//! Who may do what, by the table of `tests/roles`, which is written by hand; and what belongs to another tenant.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};

use crate::{
    document::{Document, Operation},
    report::Report,
    rig::Rig,
    support::{Answer, Client, read},
    table::{Fate, Rule, TABLE, Who, fate},
};

const KIND: &str = "roles";

/// "METHOD path" -> the lowest role, in the words of `hooks.py`.
pub fn table() -> BTreeMap<String, &'static str> {
    let lowest = |rule: Rule| match rule {
        Rule::Anyone => "anyone",
        Rule::Caller => "caller",
        Rule::Changes | Rule::ChangesAndServices => "venue_admin",
        Rule::Admin => "admin",
    };
    TABLE.iter().map(|(method, path, rule, _)| (format!("{method} {path}"), lowest(*rule))).collect()
}

/// The table and the document know of the same operations.
pub fn listed(document: &Document, report: &mut Report) {
    let (table, labels) = (table(), document.operations.iter().map(Operation::label).collect::<Vec<_>>());
    for label in labels.iter().filter(|label| !table.contains_key(*label)) {
        report.fail(KIND, &format!("{label} is in the document and not in the table: who may do it?"));
    }
    for label in table.keys().filter(|label| !labels.contains(label)) {
        report.fail(KIND, &format!("{label} is in the table and not in the document"));
    }
}

/// Whoever is not let in, is told so; whoever is, was schemathesis's part.
pub async fn all(rig: &Rig, document: &Document, report: &mut Report) {
    let callers = [
        (Who::Nobody, rig.admin.with_token(String::new())),
        (Who::User, rig.client("user", Some("t1"))),
        (Who::UnknownRole, rig.client("no such role", Some("t1"))),
        (Who::VenueAdmin, rig.client("venue_admin", Some("t1"))),
        (Who::OtherUser, rig.client("user", Some("t2"))),
        (Who::OtherVenueAdmin, rig.client("venue_admin", Some("t2"))),
    ];
    for operation in &document.operations {
        let row = TABLE.iter().find(|(method, path, ..)| *method == operation.method && *path == operation.path);
        let Some((_, _, rule, about)) = row else { continue };
        let path = rig.things.path(&operation.path);
        for (who, client) in &callers {
            let expected = match fate(*rule, *about, *who) {
                Fate::In => continue,
                Fate::Stranger => 401,
                Fate::Forbidden => 403,
                Fate::Hidden => 404,
            };
            let name = format!("{} as {who:?}", operation.label());
            let answer = sent(client, operation, &path).await;
            report.refused(KIND, &name, &answer, &[expected]);
            // Only that it is not there, and nothing of what it is.
            for field in ["payload", "url", "tenant"] {
                if !answer.body[field].is_null() {
                    report.fail(KIND, &format!("{name} is told {field}"));
                }
            }
        }
    }
    lists(rig, document, report).await;
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

/// With a body that would be taken: another tenant's things are looked for only once it is read.
async fn sent(client: &Client, operation: &Operation, path: &str) -> Answer {
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let mut request = client.request(method, path);
    if operation.body.is_some() {
        let body = operation.example.clone().unwrap_or_else(|| "{}".to_owned());
        request = request.header("content-type", "application/json").body(body);
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
