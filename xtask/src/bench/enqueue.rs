//! Jobs in bulk: `POST /jobs/batch`, a thousand at a time and durable before its answer, against what the peers have
//! for it in their own process, which is one statement of 10,000 or 5,000.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{
    host::Host,
    kit::{Kit, alternate},
    peers::Peers,
    report::{Row, median, say},
};
use crate::sh::{self, OrFail, Result};

const JOBS: u64 = 300_000;
/// The most that one request may have.
const BATCH: u64 = 1_000;
/// More gain nothing on two cores; fewer leave the host waiting for the next request.
const CLIENTS: u64 = 4;

pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let peers = Peers::install()?;
    // A whole number of batches for each client.
    let jobs = kit.scaled(JOBS, 1).next_multiple_of(BATCH * CLIENTS);
    let ours = || ours(kit, jobs);
    let graphile = || peers.enqueue(kit, "graphile.mjs", jobs);
    let boss = || peers.enqueue(kit, "pgboss.mjs", jobs);
    let figures = alternate(&[&ours, &graphile, &boss])?;
    let rate = |run: usize| figures.get(run).map_or(f64::NAN, |rates| median(rates));
    let (graphile, boss) = (rate(1), rate(2));
    let peer = if boss > graphile { ("pg-boss", boss) } else { ("graphile-worker", graphile) };
    let note = "batches of 1,000 by 4 clients; graphile-worker addJobs of 10,000, pg-boss insert of 5,000";
    Ok(vec![Row { name: "enqueue", unit: "jobs/s", ours: rate(0), peer: Some(peer), note }])
}

/// The host runs no jobs, so that what was accepted can be counted in its table.
fn ours(kit: &Kit, jobs: u64) -> Result<f64> {
    let db = kit.postgres.fresh()?;
    let host = Host::start(kit, &db, "host", Some(&kit.plugin), "[worker]\nconcurrency = 0\n")?;
    let clients = (0..CLIENTS).map(|_| Client::connect(&host)).collect::<Result<Vec<_>>>()?;
    db.checkpoint()?;
    let began = Instant::now();
    thread::scope(|scope| {
        let batches = jobs / BATCH / CLIENTS;
        let clients: Vec<_> = (0..CLIENTS)
            .zip(clients)
            .map(|(n, client)| scope.spawn(move || client.post_all(n * batches..(n + 1) * batches)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().unwrap_or_else(|_| sh::failed("a client of the batch route panicked")))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let rows = db.number("SELECT count(*) FROM jobs WHERE job_type = 'bench-noop'")?;
    if rows != jobs as f64 {
        return sh::failed(format!("{jobs} jobs were accepted in batches, but there are {rows}"));
    }
    let rate = rows / seconds;
    say(&format!("   {:14} {rate:8.0} jobs/s, CPU {:.2} s", "usher", host.cpu_seconds()?));
    Ok(rate)
}

/// A client that costs little beside what it measures, on the same two cores: it reads no JSON.
struct Client {
    stream: BufReader<TcpStream>,
    /// All of a request's head but its length.
    head: String,
}

impl Client {
    fn connect(host: &Host) -> Result<Self> {
        let address = host.base.trim_start_matches("http://");
        let stream = TcpStream::connect(address).or_fail(format!("connect to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).or_fail("set a time-out")?;
        stream.set_nodelay(true).or_fail("set an option")?;
        let head = format!(
            "POST /jobs/batch HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: ",
            host.token
        );
        Ok(Self { stream: BufReader::new(stream), head })
    }

    /// Makes and sends its batches one after another, as the peers' scripts do.
    fn post_all(mut self, batches: std::ops::Range<u64>) -> Result<()> {
        for batch in batches {
            let answer = self.post(&body(batch)).or_fail("POST /jobs/batch")?;
            // The rows are counted in the end; here only that no job was refused.
            let created = answer.matches("\"created\"").count();
            if created as u64 != BATCH {
                let start: String = answer.chars().take(300).collect();
                return sh::failed(format!("{created} of a batch of {BATCH} jobs were created: {start}"));
            }
        }
        Ok(())
    }

    fn post(&mut self, body: &str) -> std::io::Result<String> {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        let mut line = String::new();
        while self.stream.read_line(&mut line)? > 0 && line.trim_end() != "" {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn body(batch: u64) -> String {
    let mut body = String::with_capacity(BATCH as usize * 80);
    for n in batch * BATCH..(batch + 1) * BATCH {
        let before = if body.is_empty() { "{\"jobs\":[" } else { "," };
        let _ = write!(body, "{before}{{\"type\":\"bench-noop\",\"payload\":{{\"venueId\":\"v1\",\"n\":{n}}}}}");
    }
    body.push_str("]}");
    body
}
