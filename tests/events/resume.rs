use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::{Event, Stream, ask, idle, kept, sorted, told};
use crate::support::{Client, Db, Host, HostOptions, PATIENCE, eventually, token, within};

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_neither_passed_nor_told_twice() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let mut stream = Stream::open(&client, "/events", None).await;
    let before = client.submit("guest", json!({"do": "ok"})).await;
    let mut seen = stream.until(&before, "job.completed").await;
    // A transaction of somebody's own, which has submitted and is still open.
    let mut tx = db.pool.begin().await.unwrap();
    let held: String = sqlx::query_scalar(r#"SELECT usher.submit('t1', 'guest', '{"do": "ok"}')::text"#)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let mut later = Vec::new();
    for _ in 0..5 {
        later.push(client.submit("guest", json!({"do": "ok"})).await);
    }
    for id in &later {
        client.wait(id, "completed").await;
    }
    // Away while it is held, and again, from the last that was seen.
    for _ in 0..2 {
        let last = stream.last.clone();
        stream = Stream::open(&client, "/events", last.as_deref()).await;
    }
    let last = stream.last.clone();
    tx.commit().await.unwrap();
    seen.extend(stream.until(&held, "job.completed").await);
    let names = sorted(kept(&seen));
    assert_eq!(names, told(&db, "t1").await, "each once");
    let place =
        |job: &str, name: &str| kept(&seen).iter().position(|event| *event == (job.to_owned(), name.to_owned()));
    let scheduled = place(&held, "job.scheduled").expect("told with its own commit");
    for id in &later {
        assert!(place(id, "job.completed").unwrap() > scheduled, "the order is that of the transactions' numbers");
    }
    // From a place before it: all of it again, and from each event on what comes after that one.
    let mut again = Stream::open(&client, "/events", last.as_deref()).await;
    let after = again.until(&held, "job.completed").await;
    assert_eq!(sorted(kept(&after)), sorted(kept(&seen).split_off(2)), "all but the first job's two");
    let ids: Vec<_> = after.iter().filter_map(|event| event.id.clone()).collect();
    for (n, id) in ids.iter().enumerate().take(ids.len() - 1) {
        let mut rest = Stream::open(&client, "/events", Some(id)).await;
        let rest = kept(&rest.until(&held, "job.completed").await);
        assert_eq!(rest, kept(&after).split_off(n + 1), "from {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_told_and_the_stream_goes_on() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let mut stream = Stream::open(&host.client(), "/events", None).await;
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    stream.until(&id, "job.completed").await;
    let last = stream.last.clone().unwrap();
    drop(stream);
    // As if two hours had passed: an id says when it was given out.
    let mut parts: Vec<_> = last.split('-').map(str::to_owned).collect();
    parts[1] = format!("{:x}", Utc::now().timestamp() - 7_200);
    let mut old = Stream::open(&host.client(), "/events", Some(&parts.join("-"))).await;
    let gap = old.next().await.unwrap();
    assert_eq!((gap.name.as_str(), &gap.data["reason"]), ("gap", &json!("too-old")));
    assert!(old.last.as_deref() != Some(last.as_str()), "it goes on from another place");
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    old.until(&id, "job.completed").await;
    host.terminate().await;
    // Nobody followed for so long that nothing was written.
    db.execute("UPDATE event_log SET until = now() - interval '1 minute'").await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let unheard = host.client().submit("guest", json!({"do": "ok"})).await;
    host.client().wait(&unheard, "completed").await;
    let written = format!("SELECT count(*) FROM outbox WHERE '{unheard}' = ANY (job_ids)");
    assert_eq!(db.count(&written).await, 0, "what nobody follows costs nothing");
    let mut stream = Stream::open(&host.client(), "/events", Some(&last)).await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.name.as_str(), &gap.data["reason"]), ("gap", &json!("another-era")));
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    let events = stream.until(&id, "job.completed").await;
    assert_eq!(kept(&events).len(), 2, "{events:?}");
}

fn roomy() -> HostOptions {
    let config = "[events]\nstreams = 5000\nper_tenant = 5000\nper_caller = 5000\n".to_owned();
    HostOptions { config, ..HostOptions::default() }
}

const TENANTS: usize = 5;

fn tenant(n: usize) -> String {
    format!("t{}", n % TENANTS + 1)
}

/// Follows its tenant until the last job of it has ended; on the first host while it is there, then on the other.
async fn follower(n: usize, hosts: [Client; 2], gone: Arc<AtomicBool>, open: Arc<AtomicUsize>) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    let mut last: Option<String> = None;
    loop {
        let client = &hosts[usize::from(gone.load(Ordering::SeqCst))];
        let response = ask(client, "/events", last.as_deref()).await;
        let Some(response) = response.ok().filter(|response| response.status() == StatusCode::OK) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if last.is_none() {
            open.fetch_add(1, Ordering::SeqCst);
        }
        let mut stream = Stream::of(response, last.as_deref());
        while let Some(event) = stream.next().await {
            assert_ne!(event.name, "gap", "client {n}");
            let is_end = event.name == "job.completed" && event.data["type"] == "guest-money";
            seen.push(event);
            if is_end {
                return seen;
            }
        }
        last = stream.last.clone();
    }
}

/// 50 clients; `USHER_SSE_CLIENTS=2000` is the whole of it, on a machine that gives a process so many files.
#[tokio::test(flavor = "multi_thread")]
async fn when_a_host_dies_its_clients_go_on_at_another_and_each_hears_of_everything_once() {
    let clients: usize = std::env::var("USHER_SSE_CLIENTS").map_or(50, |number| number.parse().unwrap());
    if clients > 200 {
        // For this process, and for the hosts that it starts.
        let files = format!("--nofile={}:", clients * 2 + 1_000);
        let status = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &files]).status().unwrap();
        assert!(status.success(), "{clients} clients need more open files than this system allows (ulimit -Hn)");
    }
    let db = Db::new().await;
    let mut first = Host::start(&db, None, roomy()).await;
    let second = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..roomy() }).await;
    let (gone, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hosts = [first.client(), second.client()];
    let followers: Vec<_> = (0..clients)
        .map(|n| {
            let hosts = hosts.clone().map(|client| client.with_token(token("user", Some(&tenant(n)))));
            tokio::spawn(follower(n, hosts, Arc::clone(&gone), Arc::clone(&open)))
        })
        .collect();
    eventually("all follow", async || (open.load(Ordering::SeqCst) == clients).then_some(())).await;
    let of = |host: &Host, n: usize| host.client().with_token(token("user", Some(&tenant(n))));
    let body = json!({"type": "guest", "payload": {"do": "ok"}}).to_string();
    for n in 0..90 {
        if n == 45 {
            first.kill9();
            gone.store(true, Ordering::SeqCst);
        }
        let host = if n < 45 && n % 2 == 0 { &first } else { &second };
        of(host, n).submit_surely(&body, &format!("k{n}")).await;
    }
    eventually("all have ended", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    for n in 0..TENANTS {
        of(&second, n).submit("guest-money", json!({"do": "ok"})).await;
    }
    let mut expected = Vec::new();
    eventually("the last have ended", async || {
        (db.count("SELECT count(*) FROM jobs_archive").await == 90 + TENANTS as i64).then_some(())
    })
    .await;
    for n in 0..TENANTS {
        expected.push(told(&db, &tenant(n)).await);
        assert_eq!(expected[n].len(), 2 * (90 / TENANTS + 1), "ready and completed of each");
    }
    for (n, follower) in followers.into_iter().enumerate() {
        let seen = tokio::time::timeout(PATIENCE * 5, follower).await.expect("it hears of the last one").unwrap();
        assert_eq!(sorted(kept(&seen)), expected[n % TENANTS], "client {n}");
    }
}

/// Reads nothing until it is cut off; then what had been sent, and the rest from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off_and_goes_on_from_what_it_read() {
    let db = Db::new().await;
    // The door would give up on such a client by itself after a while, in the midst of an event.
    let config = "[events]\nbuffer = 8\n[pressure]\nmemory = 1099511627776\nwrite_timeout = \"1h\"\n".to_owned();
    let host = Host::start(&db, None, HostOptions { config, ..idle() }).await;
    // Long events fill what lies between sooner.
    let tenant = "x".repeat(128);
    let client = host.client().with_token(token("venue_admin", Some(&tenant)));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = host.base.strip_prefix("http://").unwrap().parse().unwrap();
    let mut connection = socket.connect(address).await.unwrap();
    let request = format!(
        "GET /events HTTP/1.1\r\nhost: usher\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        token("venue_admin", Some(&tenant))
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    // The first words, which are there once it is heard of.
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("\nid: ") {
        assert_ne!(connection.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    let jobs: Vec<_> = (0..500).map(|_| json!({"type": "guest", "payload": {"do": "ok"}})).collect();
    within(PATIENCE * 2, "it is cut off", async || {
        let answer = client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs}))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        host.log().contains("were cut off").then_some(())
    })
    .await;
    connection.read_to_end(&mut read).await.unwrap();
    let text = String::from_utf8(read).unwrap();
    let mut seen: Vec<(String, String)> = Vec::new();
    let (mut last, mut name) = (None, String::new());
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => last = Some(id.to_owned()),
            Some(("event", event)) => event.clone_into(&mut name),
            Some(("data", data)) => {
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                seen.push((data["job"].as_str().unwrap().to_owned(), name.clone()));
            }
            _ => {}
        }
    }
    let all = told(&db, &tenant).await;
    assert!(!seen.is_empty() && seen.len() < all.len(), "{} of {} were read before the end", seen.len(), all.len());
    let mut rest = Stream::open(&client, "/events", last.as_deref()).await;
    while seen.len() < all.len() {
        match tokio::time::timeout(PATIENCE, rest.next()).await.expect("there is more") {
            Some(event) => {
                last = event.id.clone().or(last);
                seen.extend(kept(&[event]));
            }
            // Eight are few for a machine that has much else to do: it may be cut off again.
            None => rest = Stream::open(&client, "/events", last.as_deref()).await,
        }
    }
    assert_eq!(sorted(seen), all);
}
