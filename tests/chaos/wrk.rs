//! `--wrk`: beside the campaign's own load, wrk at the doors of its hosts. No 5xx may come of it but the 503 that the served
//! document names, and each job that it heard a 202 for is there at the end.
//!
//! Each life of a host has a port of its own, so it has a wrk of its own, which ends when its host is gone. Until it hears of
//! that it knocks at a closed door, some ten thousand times: connections that break or are refused are counted, and are no
//! fault.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use sqlx::FromRow;
use tokio::{process::Command, sync::watch, task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::{
    check::Findings,
    hosts::Host,
    load::answer,
    rig::Rig,
    support::{env, postgres::signal, token},
};

/// Whose jobs the campaign's own accounting leaves out.
pub const TENANT: &str = "wrk";
/// Of all hosts together.
const CONNECTIONS: usize = 64;
const SCRIPT: &str = include_str!("wrk.lua");
/// Between two looks at a host.
const LOOK: Duration = Duration::from_millis(50);
/// Beyond the campaign; it ends by our signal, and by itself only where nobody is left to give one.
const LONGER: u64 = 120;
/// What the mix of the script hears of a host that is well.
const EXPECTED: [u16; 5] = [200, 202, 400, 404, 422];
/// What it asks for, of the operations whose 503 is a problem.
const ASKED: [(&str, &str); 3] = [("/jobs", "post"), ("/jobs", "get"), ("/jobs/{id}", "get")];
const READY: &str = "/health/ready";

/// Tier 1 only: none of it may be gone with a crash.
const ROWS: &str = "WITH mine AS ( \
    SELECT id, state, payload, NULL::text AS result, errors FROM jobs WHERE tenant = $1 \
    UNION ALL SELECT id, state, payload, result, errors FROM jobs_archive WHERE tenant = $1) \
    SELECT id, state, payload::jsonb #>> '{echo,key}' AS key, \
    coalesce(result::jsonb = payload::jsonb -> 'echo', false) AS is_own, errors::text AS errors FROM mine";

#[derive(Clone, Debug, FromRow)]
struct Row {
    id: Uuid,
    state: String,
    /// The submit's key, which its payload repeats.
    key: Option<String>,
    /// Whether the result is what this payload asks for.
    is_own: bool,
    errors: String,
}

/// One wrk after the other at each host.
pub struct Wrk {
    over: watch::Sender<bool>,
    running: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What all of them heard.
#[derive(Debug, Default)]
pub struct Seen {
    /// The 5xx that are documented, in the script's words.
    documented: BTreeSet<String>,
    runs: u64,
    /// Of all runs together.
    micros: u64,
    requests: u64,
    broken: u64,
    refused: u64,
    late: u64,
    statuses: BTreeMap<u16, u64>,
    /// All 5xx: `STATUS TYPE RETRY`.
    troubles: BTreeMap<String, u64>,
    /// One body of each.
    samples: BTreeMap<String, String>,
}

impl Wrk {
    pub async fn start(rig: &Arc<Rig>) -> Self {
        let script = rig.dir.join("wrk.lua");
        std::fs::write(&script, SCRIPT).unwrap();
        let seen = Arc::new(Mutex::new(Seen { documented: documented(&document(rig).await), ..Seen::default() }));
        let (over, is_over) = watch::channel(false);
        let (mut running, all) = (JoinSet::new(), rig.hosts.len());
        for host in &rig.hosts {
            let door = Door {
                rig: Arc::clone(rig),
                host: Arc::clone(host),
                connections: CONNECTIONS / all + usize::from(host.index < CONNECTIONS % all),
                script: script.clone(),
                over: is_over.clone(),
                seen: Arc::clone(&seen),
            };
            running.spawn(door.run());
        }
        Self { over, running, seen }
    }

    /// Returns when none of them runs any more.
    pub async fn stop(mut self) -> Seen {
        self.over.send_replace(true);
        while let Some(end) = self.running.join_next().await {
            end.unwrap();
        }
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// One host's.
struct Door {
    rig: Arc<Rig>,
    host: Arc<Host>,
    connections: usize,
    script: PathBuf,
    over: watch::Receiver<bool>,
    seen: Arc<Mutex<Seen>>,
}

impl Door {
    async fn run(self) {
        let mut life = 0;
        while !*self.over.borrow() {
            if let Some(base) = self.host.base() {
                life += 1;
                self.knock(&base, life).await;
            }
            sleep(LOOK).await;
        }
    }

    /// Until the host is gone, or all is over.
    async fn knock(&self, base: &str, life: u32) {
        let mut wrk = Command::new(env("USHER_TEST_WRK"));
        wrk.args(["-t1", &format!("-c{}", self.connections)])
            .arg(format!("-d{}s", self.rig.options.seconds + LONGER))
            .arg("-s")
            .arg(&self.script)
            .arg(base)
            .env("CHAOS_TOKEN", token("user", Some(TENANT)))
            .env("CHAOS_KEYS", format!("wrk-{}-{}-{life}", self.rig.options.seed, self.host.index))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = wrk.spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output();
        tokio::pin!(output);
        let output = loop {
            tokio::select! {
                output = &mut output => break output.unwrap(),
                () = sleep(LOOK) => {
                    let is_gone = *self.over.borrow() || self.host.base().as_deref() != Some(base);
                    // Again until it ends: one that comes just before wrk falls asleep does not wake it.
                    if let Some(pid) = pid.filter(|_| is_gone) {
                        signal(pid, "INT");
                    }
                }
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        std::fs::write(self.host.dir.join(format!("wrk-{life:03}")), said.as_bytes()).unwrap();
        if !self.seen.lock().unwrap().read(&said) {
            let why = String::from_utf8_lossy(&output.stderr);
            self.rig.note(&format!("wrk at host {}: {}: {said} {why}", self.host.index, output.status));
        }
    }
}

impl Seen {
    /// What the script says at its end; `false`: it has not come so far, as where its host was gone before it began.
    fn read(&mut self, said: &str) -> bool {
        let mut is_whole = false;
        for line in said.lines() {
            let Some((what, rest)) = line.strip_prefix("chaos-wrk ").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            match what {
                "status" => {
                    let (status, count) = counted(rest);
                    *self.statuses.entry(status.parse().unwrap()).or_default() += count;
                }
                "trouble" => {
                    let (trouble, count) = counted(rest);
                    *self.troubles.entry(trouble.to_owned()).or_default() += count;
                }
                "sample" => {
                    let (trouble, body) = rest.split_once(": ").unwrap_or((rest, ""));
                    self.samples.entry(trouble.to_owned()).or_insert_with(|| body.to_owned());
                }
                "sums" => {
                    let numbers: Vec<u64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
                    let [micros, requests, broken, refused, late] = numbers.as_slice() else {
                        panic!("wrk's script said {line:?}");
                    };
                    self.runs += 1;
                    self.micros += micros;
                    self.requests += requests;
                    self.broken += broken;
                    self.refused += refused;
                    self.late += late;
                    is_whole = true;
                }
                _ => panic!("wrk's script said {line:?}"),
            }
        }
        is_whole
    }

    fn acknowledged(&self) -> u64 {
        self.statuses.get(&202).copied().unwrap_or_default()
    }

    /// Its jobs, as the campaign judges its own.
    pub async fn account(&self, rig: &Rig, found: &mut Findings) {
        let rows: Vec<Row> = sqlx::query_as(ROWS).bind(TENANT).fetch_all(&rig.db).await.unwrap();
        let mut by_key = HashMap::<_, Vec<_>>::new();
        for row in &rows {
            by_key.entry(row.key.as_deref()).or_default().push(row.id);
            let Row { id, state, errors, .. } = row;
            match state.as_str() {
                "completed" if row.is_own => {}
                "completed" => found.lost.push(format!("its result is not its own: wrk's {id}")),
                "cancelled" => found.lost.push(format!("nobody cancelled wrk's {id}")),
                _ => found.stuck.push(format!("wrk's {id} is {state}: {errors}")),
            }
        }
        for (key, ids) in by_key.iter().filter(|(_, ids)| ids.len() > 1) {
            found.doubled.push(format!("wrk's key {key:?} has the jobs {ids:?}"));
        }
        // Answers that wrk did not wait for make more of them, and nothing makes fewer.
        let there = by_key.len() as u64;
        if there < self.acknowledged() {
            found.lost.push(format!("wrk heard {} times 202, and {there} of its jobs are there", self.acknowledged()));
        }
        println!("wrk: {} acknowledged, {there} jobs of it", self.acknowledged());
    }

    /// What is wrong, or proves too little; all of it is printed.
    pub fn faults(&self, rig: &Rig) -> Vec<String> {
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{status}:{count}")).collect();
        // Each host's, in the mean.
        let seconds = self.micros / rig.hosts.len() as u64 / 1_000_000;
        println!(
            "wrk: {} runs, {seconds} s at each host, {} answers, {} late; connections: {} broken, {} refused; {}",
            self.runs,
            self.requests,
            self.late,
            self.broken,
            self.refused,
            statuses.join(",")
        );
        let mut faults = Vec::new();
        for (trouble, count) in &self.troubles {
            let is_documented = self.documented.contains(trouble);
            let sample = self.samples.get(trouble).map(String::as_str).unwrap_or_default();
            println!("wrk: {trouble}: {count}{}", if is_documented { ", as documented" } else { "" });
            if !is_documented {
                faults.push(format!("wrk heard {count} times {trouble}, for one: {sample}"));
            }
        }
        for status in EXPECTED.iter().filter(|status| !self.statuses.contains_key(*status)) {
            faults.push(format!("wrk never heard {status}"));
        }
        // Half of the time a host may be down.
        if seconds < rig.options.seconds / 2 && rig.options.jobs.is_none() {
            faults.push(format!("wrk was at each host for {seconds} s only"));
        }
        faults.iter().for_each(|fault| println!("wrk: {fault}"));
        faults
    }

    /// The end of the campaign's last line. `wrk_5xx` are those that are not documented.
    pub fn line(&self) -> String {
        let sum = |is_documented: bool| {
            let all = self.troubles.iter();
            let of_it = all.filter(|(trouble, _)| self.documented.contains(*trouble) == is_documented);
            of_it.map(|(_, count)| count).sum::<u64>()
        };
        format!(
            " wrk_requests={} wrk_5xx={} wrk_503={} wrk_errors={}",
            self.requests,
            sum(false),
            sum(true),
            self.broken + self.refused
        )
    }
}

fn counted(line: &str) -> (&str, u64) {
    let (what, count) = line.rsplit_once(' ').unwrap();
    (what, count.parse().unwrap())
}

/// As a host serves it.
async fn document(rig: &Rig) -> Value {
    let base = rig.hosts[0].base().expect("all hosts are ready");
    let request = rig.http.get(format!("{base}/openapi.json")).bearer_auth(&rig.user);
    let (status, document) = answer(request).await.unwrap();
    assert_eq!(status, 200, "/openapi.json: {document}");
    document
}

/// The 503s that the document names for what the script asks, in its words.
fn documented(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, method) in ASKED {
        let refused = &document["paths"][path][method]["responses"]["503"]["content"]["application/problem+json"];
        let examples = refused["examples"].as_object().into_iter().flatten();
        let types = examples.filter_map(|(_, example)| example["value"]["type"].as_str());
        all.extend(types.map(|name| format!("503 {name} retry-after")));
    }
    assert!(!all.is_empty(), "the document names no 503 of {ASKED:?}");
    // Readiness says it with its parts, and promises no time.
    let ready = &document["paths"][READY]["get"]["responses"]["503"];
    if ready["content"]["application/json"].is_object() {
        all.insert("503 readiness retry-after".to_owned());
        if ready["headers"]["Retry-After"].is_null() {
            all.insert("503 readiness -".to_owned());
        }
    }
    all
}
