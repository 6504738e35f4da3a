//! Stand-ins for services that every shop has and no vendor sells: analytics, the shop's own data (cleaned up and read for
//! reports), and a storage of files. They are ours, and take what docs/job-types.md describes and nothing else; a write acts once
//! under an `Idempotency-Key`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::http::{self, Request};

/// Rows of the report `sales`, on pages of this many.
const PAGE: usize = 2;
/// An event that the analytics service takes from nobody.
pub const REFUSED_EVENT: &str = "refused";

#[derive(Default)]
struct Book {
    events: Vec<Value>,
    /// By collection: rows that are older than any cut-off.
    left: HashMap<String, u64>,
    /// How often rows were deleted, by collection.
    cleanups: HashMap<String, usize>,
    /// Content type and content, by path.
    files: BTreeMap<String, (String, String)>,
    /// By key: what it was for, and what was answered.
    answers: HashMap<String, (String, Reply)>,
    complaints: Vec<String>,
}

#[derive(Clone)]
struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    fn new(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string() }
    }
}

/// `/analytics`, `/data` and `/storage` of one base URL.
pub struct Services {
    pub base: String,
    book: Arc<Mutex<Book>>,
}

impl Services {
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

    /// So many rows to be cleaned up.
    pub fn fill(&self, collection: &str, rows: u64) {
        self.book.lock().unwrap().left.insert(collection.to_owned(), rows);
    }

    pub fn left(&self, collection: &str) -> Option<u64> {
        self.book.lock().unwrap().left.get(collection).copied()
    }

    /// How often rows of it were deleted.
    pub fn cleanups(&self, collection: &str) -> usize {
        self.book.lock().unwrap().cleanups.get(collection).copied().unwrap_or_default()
    }

    /// What the analytics service took. Panics over what was not as it is described.
    pub fn events(&self) -> Vec<Value> {
        self.no_complaints();
        self.book.lock().unwrap().events.clone()
    }

    /// Content type and content of what was stored, by path. Panics as `events` does.
    pub fn files(&self) -> BTreeMap<String, (String, String)> {
        self.no_complaints();
        self.book.lock().unwrap().files.clone()
    }

    pub fn no_complaints(&self) {
        assert_eq!(self.book.lock().unwrap().complaints, Vec::<String>::new());
    }
}

async fn serve(client: TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let Reply { status, body } = book.lock().unwrap().hear(&request);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        http::answer(&mut client, status, &headers, body.as_bytes()).await?;
    }
    Ok(())
}

/// It has the required fields, perhaps some of the others, and nothing else.
fn knows(body: &Value, required: &[&str], optional: &[&str]) -> Result<(), String> {
    let fields = body.as_object().ok_or("the body is no object")?;
    if let Some(missing) = required.iter().find(|name| !fields.contains_key(**name)) {
        return Err(format!("{missing} is missing"));
    }
    let is_known = |name: &String| required.contains(&name.as_str()) || optional.contains(&name.as_str());
    match fields.keys().find(|&name| !is_known(name)) {
        Some(unknown) => Err(format!("{unknown} is unknown")),
        None => Ok(()),
    }
}

impl Book {
    fn hear(&mut self, request: &Request) -> Reply {
        if request.method == "GET" {
            return self.act(request).unwrap_or_else(|why| self.complain(request, &why));
        }
        let Some(key) = request.header("idempotency-key").map(str::to_owned) else {
            return self.complain(request, "a write without a key");
        };
        let of_what = format!("{} {} {}", request.method, request.path, request.text());
        if let Some((before, reply)) = self.answers.get(&key) {
            let is_same = *before == of_what;
            let other = || Reply::new(422, &json!({"error": "the key was used for something else"}));
            return if is_same { reply.clone() } else { other() };
        }
        let reply = self.act(request).unwrap_or_else(|why| self.complain(request, &why));
        self.answers.insert(key, (of_what, reply.clone()));
        reply
    }

    fn complain(&mut self, request: &Request, why: &str) -> Reply {
        self.complaints.push(format!("{} {}: {why}", request.method, request.path));
        Reply::new(400, &json!({ "error": why }))
    }

    /// `Err`: it is not as it is described.
    fn act(&mut self, request: &Request) -> Result<Reply, String> {
        let (path, query) = request.split();
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["analytics", "events"]) => self.track(&json_of(request)?),
            ("POST", ["data", "cleanup", collection]) => self.clean(collection, &json_of(request)?),
            ("GET", ["data", "reports", report]) => report_page(report, query),
            ("PUT", ["storage", "reports", _, _]) => {
                let kind = request.header("content-type").ok_or("a file without its type")?.to_owned();
                self.files.insert(path.trim_start_matches("/storage").to_owned(), (kind, request.text()));
                Ok(Reply::new(201, &json!({})))
            }
            _ => Err("there is no such thing here".to_owned()),
        }
    }

    fn track(&mut self, event: &Value) -> Result<Reply, String> {
        knows(event, &["id", "event", "userId", "properties", "sentAt"], &[])?;
        if event["event"] == REFUSED_EVENT {
            return Ok(Reply::new(400, &json!({"error": "not this one"})));
        }
        self.events.push(event.clone());
        Ok(Reply::new(202, &json!({})))
    }

    /// The cursor says how many are left.
    fn clean(&mut self, collection: &str, ask: &Value) -> Result<Reply, String> {
        knows(ask, &["before", "limit"], &["cursor"])?;
        let limit = ask["limit"].as_u64().ok_or("limit: a number")?;
        if !ask["before"].as_str().is_some_and(|before| before.ends_with('Z')) {
            return Err("before: a moment in UTC".to_owned());
        }
        let Some(left) = self.left.get_mut(collection) else {
            return Ok(Reply::new(404, &json!({"error": "no such collection"})));
        };
        if ask["cursor"].as_str().is_some_and(|cursor| cursor != left.to_string()) {
            return Ok(Reply::new(409, &json!({"error": "that is not where it was left"})));
        }
        let deleted = limit.min(*left);
        *left -= deleted;
        *self.cleanups.entry(collection.to_owned()).or_default() += 1;
        let next = (*left > 0).then(|| left.to_string());
        Ok(Reply::new(200, &json!({"deleted": deleted, "next": next, "remaining": *left})))
    }
}

fn json_of(request: &Request) -> Result<Value, String> {
    if request.header("content-type") != Some("application/json") {
        return Err("the body is not said to be JSON".to_owned());
    }
    serde_json::from_slice(&request.body).map_err(|e| e.to_string())
}

/// Five seats, two a page.
fn report_page(report: &str, query: &str) -> Result<Reply, String> {
    let fields = http::fields(query);
    if let Some((unknown, _)) =
        fields.iter().find(|(name, _)| !["limit", "from", "to", "cursor"].contains(&name.as_str()))
    {
        return Err(format!("{unknown} is unknown"));
    }
    if report != "sales" {
        return Ok(Reply::new(404, &json!({"error": "no such report"})));
    }
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let number = |name: &str, default: usize| {
        field(name).map_or(Ok(default), |text| text.parse::<usize>().map_err(|e| format!("{name}: {e}")))
    };
    let (from, limit) = (number("cursor", 0)?, number("limit", PAGE)?.min(PAGE));
    let rows: Vec<_> = (0..5).map(|n| json!({"seat": format!("{}A", n + 1), "sum": 1_000 * (n + 1)})).collect();
    let page: Vec<_> = rows.iter().skip(from).take(limit).collect();
    let next = (from + page.len() < rows.len()).then(|| (from + page.len()).to_string());
    Ok(Reply::new(200, &json!({"rows": page, "next": next})))
}
