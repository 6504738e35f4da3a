//! Waiting for a job, and following what happens to jobs: `Prefer: wait`, `GET /events`, `GET /jobs/{id}/events`.

mod follow;
mod resume;
mod waits;

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::support::{Answer, Client, Db, HostOptions, read};

pub fn idle() -> HostOptions {
    HostOptions { concurrency: 0, ..HostOptions::default() }
}

/// One event as it came.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its own; what is told by the way has none.
    pub id: Option<String>,
    pub name: String,
    pub data: Value,
}

impl Event {
    pub fn job(&self) -> &str {
        self.data["job"].as_str().unwrap_or_default()
    }
}

/// An open stream of events.
pub struct Stream {
    response: Response,
    buffer: Vec<u8>,
    /// The last id that was seen, as a browser keeps it.
    pub last: Option<String>,
    pub retry: Option<String>,
}

impl Stream {
    pub async fn open(client: &Client, path: &str, last: Option<&str>) -> Self {
        let response = ask(client, path, last).await.unwrap();
        let (status, content_type) = (response.status(), response.headers()["content-type"].clone());
        assert_eq!((status, content_type.to_str().unwrap()), (StatusCode::OK, "text/event-stream"));
        Self::of(response, last)
    }

    pub fn of(response: Response, last: Option<&str>) -> Self {
        Self { response, buffer: Vec::new(), last: last.map(str::to_owned), retry: None }
    }

    /// `None`: the stream is over, or the connection broke.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = self.take(&String::from_utf8(block).unwrap()) {
                    return Some(event);
                }
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// As the HTML standard reads a block; without data it is no event.
    fn take(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut name, mut data) = (None, String::new(), String::new());
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => data.push_str(value),
                Some(("retry", value)) => self.retry = Some(value.to_owned()),
                _ => assert!(line.is_empty() || line.starts_with(':'), "no line of a stream: {line:?}"),
            }
        }
        if id.is_some() {
            self.last.clone_from(&id);
        }
        let data = (!data.is_empty()).then(|| serde_json::from_str(&data).unwrap())?;
        Some(Event { id, name, data })
    }

    /// The events until that one, itself included.
    pub async fn until(&mut self, job: &str, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let all = async {
            loop {
                let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name} of {job}"));
                let is_last = event.job() == job && event.name == name;
                events.push(event);
                if is_last {
                    return;
                }
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, all).await.unwrap_or_else(|_| panic!("no {name} of {job}"));
        events
    }
}

/// What comes of asking for a stream. It may last longer than any other answer.
pub async fn ask(client: &Client, path: &str, last: Option<&str>) -> reqwest::Result<Response> {
    let mut request = client.request(Method::GET, path).timeout(Duration::from_secs(900));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await
}

pub async fn refused(client: &Client, path: &str, last: Option<&str>) -> (StatusCode, Value) {
    let Answer { status, body, .. } = read(ask(client, path, last).await.unwrap()).await;
    assert!(!status.is_success(), "{path} is answered");
    (status, body["type"].clone())
}

/// Job and name of those that are kept, in the order in which they came.
pub fn kept(events: &[Event]) -> Vec<(String, String)> {
    let kept = events.iter().filter(|event| event.id.is_some());
    kept.map(|event| (event.job().to_owned(), event.name.clone())).collect()
}

/// What the outbox says of a tenant, sorted.
pub async fn told(db: &Db, tenant: &str) -> Vec<(String, String)> {
    let sql = "SELECT x.job::text, x.event FROM outbox, unnest(tenants, job_ids, events) AS x (tenant, job, event) \
               WHERE x.tenant = $1 ORDER BY 1, 2";
    sqlx::query_as(sql).bind(tenant).fetch_all(&db.pool).await.unwrap()
}

pub fn sorted(mut events: Vec<(String, String)>) -> Vec<(String, String)> {
    events.sort();
    events
}
