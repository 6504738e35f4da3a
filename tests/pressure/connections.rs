//! Connections: how many, and for how long a slow client is waited for.

use std::io;

use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{connect, pause, pressure, rest, submit, submit_head};
use crate::support::{Db, Host, PATIENCE, eventually};

fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 1024]) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// `USHER_TEST_CONNECTIONS=10000` is the long form.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_beyond_the_bound_make_room_for_those_that_work() {
    let count: usize = std::env::var("USHER_TEST_CONNECTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let db = Db::new().await;
    let host = Host::start(&db, None, pressure("connections = 100\nheader_timeout = \"10m\"")).await;
    let client = host.client();
    let mut crowd = Vec::new();
    for n in 0..count {
        crowd.push(connect(&host).await);
        if n % 100 == 99 {
            // A connection of one who works, also in the midst of it.
            eventually("an answer comes", async || {
                let answer = client.request(reqwest::Method::GET, "/jobs").send().await;
                answer.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(())
            })
            .await;
        }
    }
    eventually("those beyond the bound are closed", async || {
        (crowd.iter().filter(|stream| is_closed(stream)).count() >= count - 100).then_some(())
    })
    .await;
    assert_eq!(host.client().get("/health/live").await.status, StatusCode::OK);
    assert_eq!(submit(&host.client(), "guest").await.status, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_connections_work_only_health_is_answered_on_another() {
    let db = Db::new().await;
    let host = Host::start(&db, None, pressure("connections = 2\nbody_timeout = \"10m\"")).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&host).await;
        stream.write_all(format!("{}{{", submit_head(100)).as_bytes()).await.unwrap();
        busy.push(stream);
    }
    let shed = eventually("both are at work", async || {
        let answer = host.client().get("/jobs").await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!((shed.status.as_u16(), &shed.headers["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(host.client().get("/health/live").await.status, StatusCode::OK);
    drop(busy);
    eventually("there is room again", async || {
        (submit(&host.client(), "guest").await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_let_go_each_in_its_time() {
    let times =
        "header_timeout = \"300ms\"\nidle_timeout = \"500ms\"\nbody_timeout = \"400ms\"\nwrite_timeout = \"500ms\"";
    let db = Db::new().await;
    let host = Host::start(&db, None, pressure(times)).await;
    // One who says nothing, one who begins and stops, one who goes on for ever; also in HTTP/2.
    for begin in ["", "GET /health/live HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut stream = connect(&host).await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "{begin:?}");
    }
    let mut stream = connect(&host).await;
    let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n").await;
    eventually("a head without an end is given up", async || stream.write_all(b"x: y\r\n").await.err()).await;

    // A connection is kept for a second request, and not for ever.
    let mut stream = connect(&host).await;
    let get = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let mut some = [0; 64];
    assert!(stream.read(&mut some).await.unwrap() > 0);
    let _ = stream.write_all(get).await;
    assert!(rest(&mut stream).await.ends_with("{\"status\":\"ok\"}"));

    // A body that stops, and one that crawls.
    let mut stream = connect(&host).await;
    stream.write_all(format!("{}{{\"type\"", submit_head(100)).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    let mut stream = connect(&host).await;
    stream.write_all(submit_head(100_000).as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let crawl = async {
        loop {
            let _ = stream.write_all(b" ").await;
            pause().await;
            match stream.try_read(&mut answer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => break read.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, crawl).await.expect("it is given up");
    assert_eq!(&answer, b"HTTP/1.1 408");

    // One who asks and asks, and takes no answer.
    let mut stream = connect(&host).await;
    let many = get.repeat(100);
    let ask = async { while stream.write_all(&many).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ask).await.expect("the host gives up writing");
    assert_eq!(host.client().get("/health/live").await.status, StatusCode::OK);
}
