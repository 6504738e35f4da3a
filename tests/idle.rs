//! What a host costs that has nothing to do. Measured with the product's own times.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{Db, Host, HostOptions};

const LOOK: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_host_asks_less_than_once_a_second_and_uses_less_than_a_hundredth_of_a_core() {
    let mut db = Db::new().await;
    let statements = Arc::new(AtomicU64::new(0));
    db.url = counted(&db.url, Arc::clone(&statements)).await;
    let options = HostOptions { cluster: Some(String::new()), filter: "info", ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    // Past the first round of everything.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, cpu) = (statements.load(Ordering::Relaxed), ticks(host.pid()));
    tokio::time::sleep(LOOK).await;
    let statements = statements.load(Ordering::Relaxed) - before;
    // Ticks of 10 ms, so the percentage of a core is ticks a second.
    let cpu = (ticks(host.pid()) - cpu) as f64 / LOOK.as_secs_f64();
    println!("idle host: {:.2} statements/s, {cpu:.2} % CPU", statements as f64 / LOOK.as_secs_f64());
    assert!((1..20).contains(&statements), "{statements} statements in {LOOK:?}");
    assert!(cpu < 1.0, "{cpu} % CPU");
}

/// The same database through a proxy that counts what the client executes: messages Query and Execute of the protocol.
async fn counted(url: &str, statements: Arc<AtomicU64>) -> String {
    let (user, rest) = url.rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let (server, listener) = (server.to_owned(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let statements = Arc::clone(&statements);
            tokio::spawn(async move {
                // The first message has no type; every other is one byte of type, then its length.
                let mut is_first = true;
                loop {
                    let mut kind = [0; 1];
                    if !is_first && from_client.read_exact(&mut kind).await.is_err() {
                        return;
                    }
                    let Ok(length) = from_client.read_u32().await else { return };
                    let mut body = vec![0; length as usize - 4];
                    if from_client.read_exact(&mut body).await.is_err() {
                        return;
                    }
                    if matches!(&kind, b"Q" | b"E") {
                        statements.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut message = if is_first { Vec::new() } else { kind.to_vec() };
                    message.extend(length.to_be_bytes());
                    message.extend(body);
                    is_first = false;
                    if to_server.write_all(&message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("{user}@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
