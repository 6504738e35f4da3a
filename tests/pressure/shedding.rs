//! What a host turns away before it runs out of memory.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{connect, header, idle, pressure, submit, submit_head};
use crate::support::{Answer, Db, Host, eventually, token};

fn assert_shed(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.body["type"], "urn:usher:problem:unavailable");
    assert_eq!(header(answer, "retry-after"), "1");
}

fn of_bytes(bytes: usize) -> String {
    json!({"type": "guest", "payload": {"do": "ok", "echo": "x".repeat(bytes)}}).to_string()
}

/// What a host says to the head of a submit alone, if it does not wait for the body.
async fn told(host: &Host, length: usize) -> Option<String> {
    let mut stream = connect(host).await;
    stream.write_all(submit_head(length).as_bytes()).await.unwrap();
    tokio::time::timeout(Duration::from_millis(500), told_by(&mut stream)).await.ok()
}

/// A problem, however long the connection is left open for the rest of the body.
async fn told_by(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") && stream.read_buf(&mut bytes).await.unwrap() > 0 {}
    String::from_utf8_lossy(&bytes).into_owned()
}

fn assert_told(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("urn:usher:problem:unavailable"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_budget_are_turned_away_until_others_are_gone() {
    let db = Db::new().await;
    let host = Host::start(&db, None, pressure("bodies = 200000\nbody_timeout = \"10m\"")).await;
    let client = host.client();
    // What is announced and can never have room is not even read.
    let answer = eventually("it is told at once", async || told(&host, 220_000).await).await;
    assert_told(&answer);
    assert_eq!(client.post(of_bytes(100_000)).await.status, StatusCode::ACCEPTED);

    let mut holder = connect(&host).await;
    holder.write_all(submit_head(180_000).as_bytes()).await.unwrap();
    holder.write_all(&vec![b' '; 150_000]).await.unwrap();
    let answer = eventually("the budget is in use", async || told(&host, 100_000).await).await;
    assert_told(&answer);
    // What is small, what has no body, and what is no submit has room.
    assert_eq!(submit(&client, "guest").await.status, StatusCode::ACCEPTED);
    assert_eq!(client.get("/jobs").await.status, StatusCode::OK);
    assert_eq!(client.get("/health/ready").await.status, StatusCode::OK);
    // What grows beyond it while it is read, since nobody could know its length.
    let mut chunked = connect(&host).await;
    let head = submit_head(0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    chunked.write_all(format!("{head}{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000)).as_bytes()).await.unwrap();
    assert_told(&told_by(&mut chunked).await);

    drop(holder);
    eventually("there is room again", async || told(&host, 100_000).await.is_none().then_some(())).await;
    assert_eq!(client.post(of_bytes(100_000)).await.status, StatusCode::ACCEPTED);

    // Whoever waits for the end of a job holds none of it.
    let jobs = "SELECT count(*) FROM jobs";
    let before = db.count(jobs).await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.post_with(of_bytes(150_000), &[("prefer", "wait=50")]).await })
    };
    eventually("it is taken", async || (db.count(jobs).await > before).then_some(())).await;
    eventually("there is room beside it", async || {
        (client.post(of_bytes(150_000)).await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_one_tenant_leave_room_for_the_others() {
    let db = Db::new().await;
    // Of 8 MiB a tenant has 4: the longest batch.
    let host = Host::start(&db, None, pressure("bodies = 8388608\nbody_timeout = \"10m\"")).await;
    let client = host.client();
    let mut holders = Vec::new();
    // One by one, and each may be refused where it meets the other submit in the last of the room.
    let answer = eventually("its share is in use", async || {
        let mut holder = connect(&host).await;
        holder.write_all(submit_head(100_000).as_bytes()).await.unwrap();
        holder.write_all(&[b' '; 99_000]).await.unwrap();
        holders.push(holder);
        Some(client.post(of_bytes(210_000)).await).filter(|answer| answer.status != StatusCode::ACCEPTED)
    })
    .await;
    assert_shed(&answer);
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(other.post(of_bytes(210_000)).await.status, StatusCode::ACCEPTED);
    drop(holders);
    eventually("it has room again", async || {
        (client.post(of_bytes(210_000)).await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_short_of_memory_answers_only_for_its_health() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle("[pressure]\nmemory = 1048576\n")).await;
    let client = host.client();
    eventually("submits are turned away", async || {
        (submit(&client, "guest").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    assert_shed(&submit(&client, "guest").await);
    assert_shed(&client.get("/jobs").await);
    for path in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(client.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert!(host.log().contains("memory is short"));
}
