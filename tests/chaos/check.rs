//! The reckoning: what was acknowledged against what the archive and the ledger hold.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use sqlx::FromRow;
use uuid::Uuid;

use crate::{acks::Ack, faults::Counts, rig::Rig, wrk};

/// How long the rest may take once nothing disturbs it any more. A host gives strays back within twice its minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// Evidence shown of each sort.
const SHOWN: usize = 20;
/// From this length on, a run must be thorough.
const FULL: u64 = 120;
const AT_LEAST_JOBS: u64 = 20_000;
const AT_LEAST_FAULTS: u64 = 3;

/// What came of it.
pub struct Report {
    pub line: String,
    pub faults: Vec<String>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

#[derive(Clone, Debug, FromRow)]
struct Row {
    id: Uuid,
    tier: i16,
    state: String,
    reason: Option<String>,
    attempt: i32,
    /// The job's number in the load.
    n: Option<i64>,
    result: Option<String>,
    errors: String,
    journal: Option<String>,
}

const LIVE: &str = "SELECT j.id, j.tier, j.state, j.reason, j.attempt, (j.metadata::jsonb ->> 'n')::bigint AS n, \
    NULL::text AS result, j.errors::text || ' ' || concat_ws(' ', 'lease', j.lease, 'node', j.node, 'run_at', j.run_at, \
    'snoozes', j.snoozes, 'reaps', j.reaps) AS errors, \
    (SELECT jsonb_agg(to_jsonb(e) - 'request' - 'answer')::text FROM effects e WHERE e.job_id = j.id) AS journal \
    FROM jobs j WHERE j.tenant <> $1";
const ARCHIVED: &str = "SELECT id, tier, state, reason, attempt, (metadata::jsonb ->> 'n')::bigint AS n, result, \
    errors::text AS errors, journal::text AS journal FROM jobs_archive WHERE tenant <> $1";
/// An analytics result of other code than the digest on its row.
const SWAPPED: &str = "SELECT a.id FROM jobs_archive a JOIN releases r ON r.digest = a.release \
    WHERE a.job_type = 'analytics-track' AND a.state = 'completed' \
    AND (a.result::json ->> 'release' = 'v2') <> (r.version = '0.2.0')";

/// Waits until nothing is left to do.
pub async fn settle(rig: &Rig) {
    let began = Instant::now();
    let mut rows = None;
    while began.elapsed() < PATIENCE {
        let sql = "SELECT count(*) FROM jobs WHERE state <> 'dead'";
        rows = sqlx::query_scalar::<_, i64>(sql).fetch_one(&rig.db).await.ok();
        if rows == Some(0) {
            return rig.note(&format!("all is settled after {:.1} s", began.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.note(&format!("not settled after {PATIENCE:?}: {rows:?} jobs are left"));
}

#[derive(Default)]
pub struct Findings {
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub stuck: Vec<String>,
    tier_allowed: u64,
}

/// `heard`: by wrk, where it was there.
pub async fn judge(rig: &Rig, counts: &Counts, heard: Option<&wrk::Seen>) -> Report {
    let live: Vec<Row> = sqlx::query_as(LIVE).bind(wrk::TENANT).fetch_all(&rig.db).await.unwrap();
    let archived: Vec<Row> = sqlx::query_as(ARCHIVED).bind(wrk::TENANT).fetch_all(&rig.db).await.unwrap();
    let swapped: Vec<Uuid> = sqlx::query_scalar(SWAPPED).fetch_all(&rig.db).await.unwrap();
    let acks = rig.acks.all();
    let mut found = Findings::default();
    for id in swapped {
        found.lost.push(format!("{id}: the result is of another release than the row's"));
    }
    acknowledged(rig, &acks, &live, &archived, &mut found);
    doubles(rig, &acks, &archived, &mut found);
    for row in live.iter().filter(|row| row.state != "dead") {
        found.stuck.push(shown(rig, row));
    }
    if let Some(heard) = heard {
        heard.account(rig, &mut found).await;
    }
    let is_parked = |row: &&Row| row.state == "dead" && row.reason.as_deref() == Some("unknown-outcome");
    let parked = live.iter().chain(&archived).filter(is_parked).count();
    for row in archived.iter().filter(|row| row.state == "dead" && !is_parked(row)) {
        // Nothing here asks for that: every job can be completed.
        found.stuck.push(shown(rig, row));
    }
    for host in &rig.hosts {
        let exits = host.exits.lock().unwrap();
        exits.iter().take(SHOWN).for_each(|exit| println!("ended by itself: {exit}"));
    }
    let (late, unanswered) = rig.ledger.moods();
    let steps = rig.ledger.steps();
    let repeats: u32 = steps.values().flat_map(HashMap::values).map(|count| count - 1).sum();
    let replays = acks.iter().filter(|ack| ack.tries > 1).count();
    let cancelled = archived.iter().filter(|row| row.state == "cancelled").count();
    println!(
        "ledger: {} steps, {repeats} repeats absorbed, {late} answers late, {unanswered} lost; submits retried: {replays}; \
         cancelled: {cancelled}",
        steps.len()
    );
    let mut faults = rig.acks.refused();
    faults.iter().take(SHOWN).for_each(|refused| println!("refused: {refused}"));
    for (name, list) in [("lost", &found.lost), ("doubled", &found.doubled), ("stuck", &found.stuck)] {
        list.iter().take(SHOWN).for_each(|one| println!("{name}: {one}"));
        faults.extend(list.iter().map(|one| format!("{name}: {one}")));
    }
    let completed = archived.iter().filter(|row| row.state == "completed").count();
    if rig.options.seconds >= FULL {
        for (kind, count) in counts.iter().filter(|(_, count)| **count < AT_LEAST_FAULTS) {
            faults.push(format!("the fault {kind} acted {count} times"));
        }
        let ran = (completed + cancelled + parked) as u64;
        if ran < AT_LEAST_JOBS.min(rig.options.jobs.unwrap_or(u64::MAX)) {
            faults.push(format!("only {ran} jobs ran"));
        }
        faults.iter().filter(|f| f.contains("acted") || f.contains("only")).for_each(|f| println!("thin: {f}"));
    }
    if let Some(heard) = heard {
        faults.extend(heard.faults(rig));
    }
    let kinds: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
    let line = format!(
        "chaos: submitted={} completed={completed} parked={parked} faults={} tier_allowed={} seed={} lost={} doubled={} stuck={}{}",
        acks.len(),
        kinds.join(","),
        found.tier_allowed,
        rig.options.seed,
        found.lost.len(),
        found.doubled.len(),
        found.stuck.len(),
        heard.map(wrk::Seen::line).unwrap_or_default(),
    );
    Report { line, faults }
}

/// Every acknowledged job is there, over, and did what it should.
fn acknowledged(rig: &Rig, acks: &[Ack], live: &[Row], archived: &[Row], found: &mut Findings) {
    let rows: HashMap<Uuid, &Row> = live.iter().chain(archived).map(|row| (row.id, row)).collect();
    let (steps, cancelled, crashes) = (rig.ledger.steps(), rig.acks.cancelled(), rig.database.crashes());
    for ack in acks {
        let Some(row) = rows.get(&ack.id) else {
            if rig.database.may_have_lost(ack.plan.tier, ack.sent, ack.answered) {
                found.tier_allowed += 1;
            } else {
                found.lost.push(missing(rig, ack, &crashes));
            }
            continue;
        };
        match row.state.as_str() {
            "completed" => {
                if !ack.plan.explains(row.result.as_deref()) {
                    found.lost.push(format!("its result is not its own: {}", shown(rig, row)));
                }
                for step in 0..ack.plan.steps {
                    if !steps.contains_key(&(ack.plan.n, step)) {
                        found.lost.push(format!("the ledger has no step {step} of {}", shown(rig, row)));
                    }
                }
            }
            "cancelled" if !cancelled.contains(&row.id) => {
                found.lost.push(format!("nobody cancelled {}", shown(rig, row)));
            }
            _ => {}
        }
        if row.tier != ack.plan.tier {
            found.lost.push(format!("expected in tier {}: {}", ack.plan.tier, shown(rig, row)));
        }
    }
}

/// One row a job, one job a key, one key an effect.
fn doubles(rig: &Rig, acks: &[Ack], archived: &[Row], found: &mut Findings) {
    for (step, keys) in rig.ledger.steps() {
        if keys.len() > 1 {
            let ids = acks.iter().filter(|ack| ack.plan.n == step.0).map(|ack| ack.id.to_string());
            let rows = archived.iter().filter(|row| row.n == i64::try_from(step.0).ok()).map(|row| shown(rig, row));
            let (ids, rows): (Vec<_>, Vec<_>) = (ids.collect(), rows.collect());
            found.doubled.push(format!("job {} step {} has the keys {keys:?}; {ids:?} {rows:?}", step.0, step.1));
        }
    }
    let (mut by_id, mut by_number) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
    for row in archived {
        by_id.entry(row.id).or_default().push(row);
        // A crash empties the keys of tier 3, and a cancel frees its key.
        if row.tier < 3 && row.state != "cancelled" {
            by_number.entry(row.n).or_default().push(row);
        }
    }
    let several = |rows: &&Vec<&Row>| rows.len() > 1;
    for rows in by_id.values().filter(several) {
        found.doubled.push(format!("{} rows in the archive: {}", rows.len(), shown(rig, rows[0])));
    }
    for rows in by_number.values().filter(several).filter(|rows| rows.iter().any(|row| row.id != rows[0].id)) {
        let all: Vec<_> = rows.iter().map(|row| shown(rig, row)).collect();
        found.doubled.push(format!("{} jobs under one key: {}", rows.len(), all.join(" | ")));
    }
}

fn missing(rig: &Rig, ack: &Ack, crashes: &[(Instant, Instant)]) -> String {
    let crashes: Vec<_> =
        crashes.iter().map(|(a, b)| format!("{:.3}-{:.3}", rig.seconds(*a), rig.seconds(*b))).collect();
    format!(
        "{} (number {}, {}, tier {}) is nowhere; sent at {:.3}, answered at {:.3} after {} tries; crashes {crashes:?}; {}",
        ack.id,
        ack.plan.n,
        ack.plan.job_type,
        ack.plan.tier,
        rig.seconds(ack.sent),
        rig.seconds(ack.answered),
        ack.tries,
        lines(rig, ack.id),
    )
}

fn shown(rig: &Rig, row: &Row) -> String {
    format!(
        "{} (number {:?}) tier {} {} {} attempt {} result {} errors {} journal {} {}",
        row.id,
        row.n,
        row.tier,
        row.state,
        row.reason.as_deref().unwrap_or("-"),
        row.attempt,
        row.result.as_deref().unwrap_or("-"),
        row.errors,
        row.journal.as_deref().unwrap_or("-"),
        lines(rig, row.id),
    )
}

/// What the hosts said of a job.
fn lines(rig: &Rig, id: Uuid) -> String {
    static LOOKS: AtomicUsize = AtomicUsize::new(0);
    if LOOKS.fetch_add(1, Ordering::Relaxed) > 3 * SHOWN {
        // Each look reads all logs.
        return String::new();
    }
    let id = id.to_string();
    let lines: Vec<_> = rig.hosts.iter().flat_map(|host| host.lines(&id)).take(8).collect();
    if lines.is_empty() { "no log lines".to_owned() } else { format!("log: {}", lines.join(" / ")) }
}
