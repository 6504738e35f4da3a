//! What a host holds while a thousand guests wait for an answer that does not come.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use super::{
    host::Host,
    kit::{Kit, alternate},
    report::{Row, median, say},
};
use crate::sh::{self, OrFail, Result};

const JOBS: u64 = 1_000;

pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let plugin = kit.test_guests()?.join("guest-effects.wasm");
    let figures = alternate(&[&|| run(kit, &plugin)])?;
    let ours = figures.first().map_or(f64::NAN, |all| median(all));
    let note = "RSS with 1,000 guests that each wait for an upstream";
    Ok(vec![Row { name: "memory", unit: "MB", ours, peer: None, note }])
}

fn run(kit: &Kit, plugin: &std::path::Path) -> Result<f64> {
    let port = start_silence()?;
    let db = kit.postgres.fresh()?;
    let mut host = Host::start(kit, &db, "host", Some(plugin), &config(port))?;
    let idle = host.rss_mb()?;
    let mut http = host.http()?;
    // Over HTTP, not by SQL: what the submits leave in memory belongs to it.
    for _ in 0..JOBS {
        http.submit("guest-mail", r#"{"do":"upstream","method":"get","path":"/"}"#)?;
    }
    let began = Instant::now();
    loop {
        let waiting = db.number("SELECT count(*) FROM effects WHERE state = 'started'")?;
        if waiting == JOBS as f64 {
            break;
        }
        host.check_alive()?;
        if began.elapsed() > Duration::from_secs(60) {
            return sh::failed(format!("{waiting} of {JOBS} jobs are in flight after a minute"));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let full = host.rss_mb()?;
    say(&format!("   {full:.0} MB; {idle:.0} MB before the first job"));
    // They would wait for minutes.
    host.kill()?;
    Ok(full)
}

/// Room for all at once, and what the plugin asks for. One queue has at most two thirds of a node's jobs.
fn config(port: u16) -> String {
    format!(
        "[worker]\nconcurrency = {}\n\n[runtime]\nslots = {}\n\n\
         [plugins.policy.guest-effects]\nemail = [\"default\"]\nupstream = [\"rig\"]\njobs = [\"guest-mail\"]\n\n\
         [email.profiles.default]\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"none\"\nfrom = \"a@example.com\"\n\n\
         [upstreams.rig]\nbase_url = \"http://127.0.0.1:{port}\"\nmethods = [\"GET\"]\ntimeout = \"5m\"\n",
        JOBS * 2,
        JOBS * 2
    )
}

/// An upstream that takes connections and says nothing. Lives as long as xtask: its thread waits for the next one.
fn start_silence() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).or_fail("start an upstream")?;
    let port = listener.local_addr().or_fail("start an upstream")?.port();
    thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept() {
            open.push(connection);
        }
        // Most likely out of file descriptors; then the jobs' connections break and the row fails.
        eprintln!("xtask: the silent upstream has {} connections and takes no more", open.len());
    });
    Ok(port)
}
