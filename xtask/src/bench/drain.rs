//! How fast jobs end once they are there. They are loaded by SQL into a paused queue; what counts is from the resume
//! to the last job's end, as the archive has it.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    host::{Host, TENANT},
    kit::{Kit, alternate},
    peers::{self, Peers},
    postgres::Database,
    report::{Row, median, say},
};
use crate::{
    json::Json,
    sh::{self, OrFail, Result},
};

const JOBS: u64 = 300_000;
/// Enough for a minute: only then has the held transaction kept many times the live rows from being cleaned away.
const JOBS_HELD: u64 = 3_000_000;
const HELD_SECONDS: f64 = 60.0;
const LEAST: u64 = 2_000;

/// What a run is like, beyond the jobs it drains.
#[derive(Clone, Copy, Default)]
struct Plan {
    name: &'static str,
    jobs: u64,
    more_hosts: usize,
    /// A transaction is open all along.
    held: bool,
    /// Jobs that are not due for long, and jobs in the archive.
    future: u64,
    archived: u64,
}

struct Drained {
    rate: f64,
    seconds: f64,
    /// Of enqueue and drain.
    wal_bytes: f64,
}

pub fn undisturbed(kit: &Kit) -> Result<Vec<Row>> {
    let plan = Plan { name: "usher", jobs: kit.scaled(JOBS, LEAST), ..Plan::default() };
    let peers = Peers::install()?;
    let ours = || drain(kit, plan).map(|d| (d.rate, d.wal_bytes));
    let peer = |script: &'static str| {
        let peers = &peers;
        move || peers.drain(kit, script, plan.jobs).map(|peers::Drained { rate, wal_bytes }| (rate, wal_bytes))
    };
    let (graphile, boss) = (peer("graphile.mjs"), peer("pgboss.mjs"));
    let mut runs: Vec<&dyn Fn() -> Result<(f64, f64)>> = vec![&ours, &graphile];
    if kit.wants("drain-pgboss") {
        runs.push(&boss);
    }
    let figures = alternate(&runs)?;
    let rate = |run: usize| figures.get(run).map_or(f64::NAN, |run| median(&firsts(run)));
    let wal = |run: usize| {
        let bytes: Vec<f64> = figures.get(run).into_iter().flatten().map(|(_, wal)| wal / plan.jobs as f64).collect();
        median(&bytes)
    };
    Ok(vec![
        Row { name: "drain", unit: "jobs/s", ours: rate(0), peer: Some(("graphile-worker", rate(1))), note: "" },
        Row { name: "drain-pgboss", unit: "jobs/s", ours: rate(0), peer: Some(("pg-boss", rate(2))), note: "" },
        Row {
            name: "wal-per-job",
            unit: "bytes, enqueue and drain",
            ours: wal(0),
            peer: Some(("graphile-worker", wal(1))),
            note: "",
        },
    ])
}

fn firsts(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(first, _)| *first).collect()
}

pub fn held(kit: &Kit) -> Result<Vec<Row>> {
    let plain = Plan { name: "undisturbed", jobs: kit.scaled(JOBS_HELD, LEAST), ..Plan::default() };
    // Once: each run takes minutes.
    let peer = drain(kit, plain)?.rate;
    let held = drain(kit, Plan { name: "held txn", held: true, ..plain })?;
    let long = held.seconds >= HELD_SECONDS;
    if !long && kit.full_size() {
        let seconds = held.seconds;
        kit.complain(format!("drain-held-txn: the run lasted {seconds:.0} s, not {HELD_SECONDS}: it needs more jobs"));
    }
    let note = if long { "one repeat, of more than a minute" } else { "one repeat, SHORTER than the minute wanted" };
    Ok(vec![Row { name: "drain-held-txn", unit: "jobs/s", ours: held.rate, peer: Some(("undisturbed", peer)), note }])
}

pub fn backlog(kit: &Kit) -> Result<Vec<Row>> {
    let (future, archived) = (kit.scaled(100_000, 1_000), kit.scaled(1_000_000, 1_000));
    against(kit, "drain-backlog", Plan { name: "backlog", future, archived, ..Plan::default() }, "undisturbed")
}

pub fn three_hosts(kit: &Kit) -> Result<Vec<Row>> {
    against(kit, "drain-3-hosts", Plan { name: "3 hosts", more_hosts: 2, ..Plan::default() }, "one host")
}

/// A plan against the undisturbed drain of as many jobs.
fn against(kit: &Kit, name: &'static str, plan: Plan, peer: &'static str) -> Result<Vec<Row>> {
    let jobs = kit.scaled(JOBS, LEAST);
    let ours = || drain(kit, Plan { jobs, ..plan }).map(|d| d.rate);
    let plain = || drain(kit, Plan { name: peer, jobs, ..Plan::default() }).map(|d| d.rate);
    let figures = alternate(&[&ours, &plain])?;
    let rate = |run: usize| figures.get(run).map_or(f64::NAN, |rates| median(rates));
    Ok(vec![Row { name, unit: "jobs/s", ours: rate(0), peer: Some((peer, rate(1))), note: "" }])
}

fn drain(kit: &Kit, plan: Plan) -> Result<Drained> {
    let db = kit.postgres.fresh()?;
    let mut hosts = vec![Host::start(kit, &db, "host", Some(&kit.plugin), "")?];
    for n in 0..plan.more_hosts {
        hosts.push(Host::start(kit, &db, &format!("host-{}", n + 2), None, "")?);
    }
    let held = if plan.held { Some(db.hold()?) } else { None };
    hosts[0].post("/queues/money/pause")?;
    load_backlog(&db, plan)?;
    let before = db.wal()?;
    db.sql(&[&ready_jobs(plan.jobs)])?;
    let enqueued = db.wal()? - before;
    db.sql(&["ANALYZE jobs"])?;
    db.checkpoint()?;

    let cpu = |hosts: &[Host]| hosts.iter().map(Host::cpu_seconds).collect::<Result<Vec<_>>>();
    let cpu_before = cpu(&hosts)?;
    let before = db.wal()?;
    let resumed = db.sql(&["SELECT clock_timestamp()"])?;
    hosts[0].post("/queues/money/resume")?;
    wait_drained(&db, &mut hosts, plan.jobs)?;
    let cpu_after = cpu(&hosts)?;
    let wal_bytes = enqueued + db.wal()? - before;

    // Read only now: it walks over all of the archive.
    let done = db.sql(&[&format!(
        "SELECT count(*), extract(epoch FROM max(finished_at) - '{resumed}'), min(id::text)
         FROM jobs_archive WHERE subject = 'bench' AND state = 'completed'"
    )])?;
    let fields: Vec<_> = done.split('|').collect();
    let [count, seconds, id] = fields.as_slice() else { return sh::failed(format!("not three columns: {done}")) };
    if count.parse() != Ok(plan.jobs) {
        return sh::failed(format!("{count} of {} jobs were completed", plan.jobs));
    }
    check_over_http(&hosts[0], id)?;
    if held.is_some() && !db.is_held()? {
        return sh::failed("the held transaction ended during the run");
    }
    let seconds = seconds.parse::<f64>().or_fail("the time of the drain")?;
    let rate = plan.jobs as f64 / seconds;
    let used: Vec<_> =
        cpu_after.iter().zip(&cpu_before).map(|(after, before)| format!("{:.2}", after - before)).collect();
    let used = used.join(" + ");
    say(&format!(
        "   {:14} {rate:8.0} jobs/s in {seconds:.0} s, {:.0} MB, CPU {used} s",
        plan.name,
        hosts[0].rss_mb()?
    ));
    Ok(Drained { rate, seconds, wal_bytes })
}

/// A uuid v7 in the order of `g`, ten a millisecond, as hosts make them; `epoch_ms` keeps sets of them apart.
fn id_of_g(epoch_ms: u64) -> String {
    format!(
        "(lpad(to_hex({epoch_ms} + g / 10), 12, '0') || '7' || substr(md5(g::text), 1, 3)
          || '8' || substr(md5((g + 7)::text), 1, 15))::uuid"
    )
}

/// What `POST /jobs` would have written.
fn ready_jobs(jobs: u64) -> String {
    format!(
        "INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, ord, state, max_attempts, payload, subject,
                           accepted_by, expires_at)
         SELECT 1, {}, '{TENANT}', 'bench-noop', 'money', 5, 0, nextval('ready_seq'), 'ready', 11,
                '{{\"venueId\":\"v1\",\"n\":' || g || '}}', 'bench', (SELECT digest FROM releases),
                now() + interval '1 day'
         FROM generate_series(1, {jobs}) AS g",
        id_of_g(1_700_000_000_000)
    )
}

fn load_backlog(db: &Database, plan: Plan) -> Result<()> {
    if plan.future > 0 {
        db.sql(&[&format!(
            "INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, run_at, state, max_attempts, payload,
                               subject, accepted_by, expires_at)
             SELECT 1, {}, '{TENANT}', 'bench-noop', 'money', 5, 0, now() + interval '1 day', 'scheduled', 11,
                    '{{\"venueId\":\"v1\",\"n\":' || g || '}}', 'later', (SELECT digest FROM releases),
                    now() + interval '2 days'
             FROM generate_series(1, {}) AS g",
            id_of_g(1_600_000_000_000),
            plan.future
        )])?;
    }
    if plan.archived > 0 {
        // Vacuumed, as an archive that grew over days would be.
        let insert = format!(
            "INSERT INTO jobs_archive (keep, finished_at, tier, id, tenant, job_type, queue, priority, state, attempt,
                                       max_attempts, payload, subject, accepted_by, release, result, created_at, run_at,
                                       expires_at)
             SELECT 'd30', now(), 1, {}, '{TENANT}', 'bench-noop', 'money', 5, 'completed', 1, 11,
                    '{{\"venueId\":\"v1\",\"n\":' || g || '}}', 'earlier', r.digest, r.digest, '{{\"atMs\":1}}', now(),
                    now(), now() + interval '1 day'
             FROM generate_series(1, {}) AS g, releases AS r",
            id_of_g(1_500_000_000_000),
            plan.archived
        );
        db.sql(&[&insert, "VACUUM (ANALYZE) jobs_archive"])?;
    }
    Ok(())
}

/// Until no job is ready or running. Cheap looks: the server's counters say when it may be so; the table itself, full
/// of dead rows, is asked then and every five seconds.
fn wait_drained(db: &Database, hosts: &mut [Host], jobs: u64) -> Result<()> {
    let patience = Duration::from_secs(90 + jobs / 300);
    let began = Instant::now();
    let mut asked = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(200));
        let gone =
            db.number("SELECT coalesce(sum(n_tup_del), 0) FROM pg_stat_user_tables WHERE relname = 'jobs_t1'")?;
        if gone >= jobs as f64 || asked.elapsed() > Duration::from_secs(5) {
            if db.sql(&["SELECT EXISTS (SELECT FROM jobs WHERE ord IS NOT NULL)"])? == "f" {
                return Ok(());
            }
            asked = Instant::now();
        }
        for host in &mut *hosts {
            host.check_alive()?;
        }
        if began.elapsed() > patience {
            return sh::failed(format!("{jobs} jobs were not drained within {patience:?}; {}", left(db)?));
        }
    }
}

/// What a drain that stands still looks like, while its database is still there to be asked.
fn left(db: &Database) -> Result<String> {
    let jobs = "SELECT 'jobs ' || state || ' on node ' || coalesce(node::text, '-') || ': ' || count(*) || ', ord '
        || coalesce(min(ord) || ' to ' || max(ord), '-') || ', attempt at most ' || max(attempt) || ', claimed '
        || coalesce(min(claimed_at) || ' to ' || max(claimed_at), '-') FROM jobs GROUP BY state, node";
    let archive = "SELECT 'archive ' || state || ': ' || count(*) || ', last ' || max(finished_at) FROM jobs_archive
        WHERE subject = 'bench' GROUP BY state";
    let rest = "SELECT 'queue ' || name || CASE WHEN paused THEN ' paused' ELSE ' runs' END FROM queues
        UNION ALL SELECT 'cursor at ' || ord FROM claim_cursors
        UNION ALL SELECT 'node ' || id || ', beat ' || beat_at FROM nodes
        UNION ALL SELECT 'alert ' || kind || ' ' || subject FROM alerts
        UNION ALL SELECT 'now ' || now()";
    db.sql(&[jobs, archive, rest])
}

/// A caller sees what was counted: the job, completed, with what its guest answered.
fn check_over_http(host: &Host, id: &str) -> Result<()> {
    let answer = host.http()?.get(&format!("/jobs/{id}"))?;
    let result = answer.body.get("result").and_then(|result| result.get("atMs"));
    if answer.status == 200 && answer.body.text("state") == "completed" && matches!(result, Some(Json::Number(_))) {
        return Ok(());
    }
    sh::failed(format!("GET /jobs/{id}: {}: {:?}", answer.status, answer.body))
}
