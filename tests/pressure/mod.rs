//! What comes in at once, and what a host does about it: rate limits and quotas of submits, bounds of connections, heads and
//! bodies, slow clients.

mod bounds;
mod connections;
mod quota;
mod rates;
mod shedding;

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answer, Client, Host, HostOptions, PATIENCE, SECRET, forged_token};

/// Takes submits and runs nothing.
pub fn idle(config: &str) -> HostOptions {
    HostOptions { concurrency: 0, config: config.to_owned(), ..HostOptions::default() }
}

/// A section that keeps the tests' own rule for memory.
pub fn pressure(settings: &str) -> HostOptions {
    idle(&format!("[pressure]\nmemory = 1099511627776\n{settings}\n"))
}

/// Somebody else of a tenant.
pub fn caller(host: &Host, subject: &str, role: &str, tenant: Option<&str>) -> Client {
    let exp = chrono::Utc::now().timestamp() + 3600;
    let claims = json!({"userId": subject, "role": role, "tenantId": tenant, "exp": exp});
    Client::new(&host.base, forged_token(claims, Algorithm::HS256, SECRET.as_bytes()))
}

pub async fn submit(client: &Client, job_type: &str) -> Answer {
    client.post(json!({"type": job_type, "payload": {"do": "ok"}}).to_string()).await
}

pub fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

pub async fn connect(host: &Host) -> TcpStream {
    TcpStream::connect(host.base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// All that comes until the host closes. A reset is an end, too.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the host closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

pub async fn say(host: &Host, text: &str) -> String {
    let mut stream = connect(host).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

/// The head of a submit whose body has so many bytes.
pub fn submit_head(length: usize) -> String {
    format!(
        "POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n",
        crate::support::token("user", Some("t1"))
    )
}

pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
