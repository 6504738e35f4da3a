//! The reckoning: what was acknowledged and journaled, against what the providers have.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    faults::{self, Counts},
    plan::{Done, Step},
    provider::Shown,
    rig::{Accepted, Rig},
};
use crate::check::Report;

/// How long the rest may take once nothing disturbs it any more.
const PATIENCE: Duration = Duration::from_secs(150);
/// Evidence shown of each sort.
const SHOWN: usize = 20;
/// From this length on a run must be thorough; shorter ones by their share of it.
const FULL: u64 = 180;
const AT_LEAST_EFFECTS: u64 = 500;
const AT_LEAST_OF_A_CALL: u64 = 20;
const AT_LEAST_FAULTS: u64 = 3;
/// What the load calls of the providers. (Neither Stripe here has transfers.)
const CALLS: [(&str, &str); 10] = [
    ("stripe", "create-payment-intent"),
    ("stripe", "get-payment-intent"),
    ("stripe", "capture-payment-intent"),
    ("stripe", "cancel-payment-intent"),
    ("stripe", "create-refund"),
    ("stripe", "create-payout"),
    ("solana", "mint-nft"),
    ("upstream", "call"),
    ("email", "send"),
    ("email", "send-template"),
];
/// These have a line in the ledger.
const MONEY: [&str; 6] = [
    "create-payment-intent",
    "capture-payment-intent",
    "cancel-payment-intent",
    "create-refund",
    "create-payout",
    "mint-nft",
];

/// As the archive keeps it, and as `LIVE` makes it of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    seq: usize,
    effect_id: Uuid,
    provider: String,
    function: String,
    state: String,
    tries: i32,
    #[serde(default)]
    doubted: bool,
    answer: Option<serde_json::Value>,
    note: Option<String>,
}

impl Entry {
    fn kind(&self) -> &str {
        self.answer.as_ref().and_then(|answer| answer["kind"].as_str()).unwrap_or("-")
    }

    fn is_open(&self) -> bool {
        self.state == "started" || self.state == "doubt" || self.doubted && self.state != "ended"
    }
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    state: String,
    reason: Option<String>,
    attempt: i32,
    order: String,
    errors: String,
    journal: Option<String>,
}

impl Row {
    fn journal(&self) -> Vec<Entry> {
        self.journal.as_deref().map_or_else(Vec::new, |text| serde_json::from_str(text).unwrap())
    }

    /// It was running on five hosts when they died, and no host runs it again. With so many kills that happens.
    fn is_poison(&self) -> bool {
        let last = serde_json::from_str::<serde_json::Value>(&self.errors).ok();
        let last = last.as_ref().and_then(|errors| errors.as_array()?.last()).map(|error| &error["kind"]);
        self.state == "dead" && last.is_some_and(|kind| kind == "host-lost")
    }

    fn is_parked(&self) -> bool {
        self.state == "dead" && self.reason.as_deref() == Some("unknown-outcome")
    }
}

const LIVE: &str = r#"SELECT j.id, j.state, j.reason, j.attempt, j.metadata::jsonb ->> 'order' AS "order", j.errors::text AS errors,
    (SELECT jsonb_agg(jsonb_build_object('seq', e.seq, 'effectId', e.effect_id, 'provider', e.provider, 'function', e.function,
        'state', e.state, 'tries', e.tries, 'doubted', e.doubted, 'answer', e.answer, 'note', e.note) ORDER BY e.seq)
     FROM effects e WHERE e.job_id = j.id)::text AS journal FROM jobs j"#;
const ARCHIVED: &str = r#"SELECT id, state, reason, attempt, metadata::jsonb ->> 'order' AS "order", errors::text AS errors,
    journal::text AS journal FROM jobs_archive"#;

/// Waits until nothing is left to do.
pub async fn settle(rig: &Rig) {
    let (began, mut open) = (Instant::now(), None);
    while began.elapsed() < PATIENCE {
        open = rig.open().await;
        if open == Some((0, 0)) {
            return rig.note(&format!("all is settled after {:.1} s", began.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.note(&format!("not settled after {PATIENCE:?}: {open:?} jobs and events are left"));
}

#[derive(Default)]
struct Findings {
    lost: Vec<String>,
    doubled: Vec<String>,
}

pub async fn judge(rig: &Rig, mut counts: Counts) -> Report {
    let shown = Shown::by(rig).await;
    let mut rows: Vec<Row> = sqlx::query_as(LIVE).fetch_all(&rig.database.pool).await.unwrap();
    rows.extend(sqlx::query_as::<_, Row>(ARCHIVED).fetch_all(&rig.database.pool).await.unwrap());
    let mut found = Findings::default();
    let tier_allowed = jobs(rig, &rows, &shown, &mut found);
    let entries: Vec<Entry> = rows.iter().flat_map(Row::journal).collect();
    ledger(rig, &entries, &mut found).await;

    // The journal is written first: what a provider was told of must be in it.
    let journaled: HashSet<Uuid> = entries.iter().map(|entry| entry.effect_id).collect();
    for effect in shown.effects.iter().filter(|effect| !journaled.contains(effect)) {
        found.lost.push(format!("a provider was told of effect {effect}, and no journal has it"));
    }
    let orphans = "SELECT count(*) FROM effects e WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = e.job_id)";
    let orphans: i64 = sqlx::query_scalar(orphans).fetch_one(&rig.database.pool).await.unwrap();
    if orphans > 0 {
        found.lost.push(format!("{orphans} rows of the journal belong to no job"));
    }

    faults::count(rig, &mut counts, |id| id.parse().is_ok_and(|id| journaled.contains(&id))).await;
    let ran = entries.iter().filter(|entry| entry.tries > 0).count();
    let parked = rows.iter().filter(|row| row.is_parked()).count();
    let mut bad = thin(rig, &entries, &counts, ran as u64);
    bad.iter().for_each(|thin| println!("thin: {thin}"));
    let refused = rig.refused.lock().unwrap().clone();
    for (name, list) in [("refused", &refused), ("lost", &found.lost), ("doubled", &found.doubled)] {
        list.iter().take(SHOWN).for_each(|one| println!("{name}: {one}"));
        bad.extend(list.iter().map(|one| format!("{name}: {one}")));
    }
    let tries: i32 = entries.iter().map(|entry| entry.tries).sum();
    println!(
        "{} jobs accepted, {} completed, {} taken for poison, {tier_allowed} gone as their tier allows; {ran} effects in {tries} \
         tries; open when hit: {}",
        rig.accepted.lock().unwrap().len(),
        rows.iter().filter(|row| row.state == "completed").count(),
        rows.iter().filter(|row| row.is_poison()).count(),
        named(&counts, |(_, open)| *open),
    );
    let line = format!(
        "chaos-effects: effects={ran} parked={parked} faults={} seed={} lost={} doubled={}",
        named(&counts, |(acted, _)| *acted),
        rig.options.seed,
        found.lost.len(),
        found.doubled.len(),
    );
    Report { line, faults: bad }
}

fn named(counts: &Counts, which: impl Fn(&(u64, u64)) -> u64) -> String {
    counts.0.iter().map(|(kind, both)| format!("{kind}:{}", which(both))).collect::<Vec<_>>().join(",")
}

/// Each acknowledged job and what became of it. Returns how many a crash may have taken, and took.
fn jobs(rig: &Rig, rows: &[Row], shown: &Shown, found: &mut Findings) -> u64 {
    let by_key = rig.by_key();
    let mut places: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in rows {
        places.entry(&row.order).or_default().push(row);
    }
    let mut tier_allowed = 0;
    for accepted in by_key.values() {
        let rows = places.get(accepted.plan.key.as_str()).map_or(&[][..], Vec::as_slice);
        match rows {
            [] => {
                let anything = shown.keys().contains(accepted.plan.key.as_str());
                let plan = &accepted.plan;
                if rig.database.may_have_lost(plan.tier, accepted.sent, accepted.answered) && !anything {
                    tier_allowed += 1;
                } else {
                    found.lost.push(format!("job {} ({}, tier {}) is nowhere", accepted.id, plan.key, plan.tier));
                }
            }
            [row] => steps(rig, accepted, row, shown, found),
            several => {
                let ids: Vec<_> = several.iter().map(|row| row.id).collect();
                found.doubled.push(format!("{}: {} jobs under one key: {ids:?}", accepted.plan.key, several.len()));
            }
        }
    }
    for key in shown.keys().into_iter().filter(|key| !by_key.contains_key(*key)) {
        // Nobody heard that it was accepted; even so it may only have been done once, and by a job that is there.
        if !places.contains_key(key) {
            found.lost.push(format!("{key}: something was done, and no job is there that did it"));
        }
    }
    tier_allowed
}

/// A job, step by step: what its journal says against what the provider has.
fn steps(rig: &Rig, accepted: &Accepted, row: &Row, shown: &Shown, found: &mut Findings) {
    let (plan, journal) = (&accepted.plan, row.journal());
    let is_completed = row.state == "completed";
    if !is_completed && !row.is_parked() && !row.is_poison() {
        let live = row.state != "dead";
        let what = if live { "neither settled nor parked" } else { "dead, and nothing asked for that" };
        found.lost.push(format!("{what}: {}", told(rig, row)));
    }
    let mut seq = 0;
    for step in &plan.steps {
        let entry = step.is_call().then(|| journal.iter().find(|entry| entry.seq == seq)).flatten();
        seq += usize::from(step.is_call());
        let Some(done) = step.done() else { continue };
        let times = shown.times(&plan.key, done);
        let must = match (step, entry) {
            (Step::Does(Done::Event), _) => is_completed.then_some(1).or(Some(0)),
            (Step::Declined, Some(entry)) if entry.kind() == "rejected" => Some(0),
            (Step::Declined, Some(entry)) if entry.is_open() => Some(0),
            (Step::Declined, Some(_)) => None,
            (_, Some(entry)) if entry.kind() == "ok" => Some(1),
            // Nobody says; but never twice.
            (_, Some(entry)) if entry.is_open() => None,
            (_, Some(_) | None) => Some(0),
        };
        let ended_well = entry.is_some_and(|entry| entry.state == "ended" && entry.kind() != "-");
        if is_completed && step.is_call() && !ended_well {
            found.lost.push(format!("completed, and {done:?} has no answer in the journal: {}", told(rig, row)));
        }
        match must {
            _ if times > 1 => found.doubled.push(format!("{done:?} {times} times: {}", told(rig, row))),
            Some(0) if times > 0 => {
                found.doubled.push(format!("{done:?} was done, and its journal does not say so: {}", told(rig, row)));
            }
            Some(1) if times == 0 => {
                found.lost.push(format!("the provider has no {done:?} of {}", told(rig, row)));
            }
            _ => {}
        }
    }
}

/// One line for each effect that moved money, and none for any other.
async fn ledger(rig: &Rig, entries: &[Entry], found: &mut Findings) {
    let lines: Vec<(Uuid, i64)> = sqlx::query_as("SELECT effect_id, count(*) FROM ledger GROUP BY 1")
        .fetch_all(&rig.database.pool)
        .await
        .unwrap();
    let mut lines: HashMap<Uuid, i64> = lines.into_iter().collect();
    for entry in entries {
        let must = i64::from(entry.kind() == "ok" && MONEY.contains(&entry.function.as_str()));
        let count = lines.remove(&entry.effect_id).unwrap_or(0);
        let list = if count < must { &mut found.lost } else { &mut found.doubled };
        if count != must {
            list.push(format!("{count} lines in the ledger, in place of {must}: {entry:?}"));
        }
    }
    for (effect, count) in lines {
        found.doubled.push(format!("{count} lines in the ledger of effect {effect}, which no journal has"));
    }
}

/// What a run must have seen to prove anything.
fn thin(rig: &Rig, entries: &[Entry], counts: &Counts, ran: u64) -> Vec<String> {
    let share = |full: u64| (full * rig.options.seconds / FULL).clamp(1, full);
    let mut thin = Vec::new();
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, (acted, open)) in &counts.0 {
        if *acted < share(AT_LEAST_FAULTS) {
            thin.push(format!("the fault {kind} acted {acted} times"));
        }
        // A host is hit at several points; at two of them nothing is open.
        let class =
            kind.split_once('-').filter(|(action, _)| ["kill", "stop"].contains(action)).map_or(*kind, |(a, _)| a);
        *classes.entry(class).or_default() += open;
    }
    for (class, _) in classes.iter().filter(|(_, open)| **open == 0) {
        thin.push(format!("the fault {class} never hit an effect that was under way"));
    }
    if ran < share(AT_LEAST_EFFECTS) {
        thin.push(format!("only {ran} effects ran"));
    }
    for (provider, function) in CALLS {
        let is_it = |entry: &&Entry| entry.provider == provider && entry.function == function && entry.tries > 0;
        let count = entries.iter().filter(is_it).count() as u64;
        if count < share(AT_LEAST_OF_A_CALL) {
            thin.push(format!("only {count} effects of {provider}.{function} ran"));
        }
    }
    thin
}

fn told(rig: &Rig, row: &Row) -> String {
    let journal: Vec<_> = row
        .journal()
        .iter()
        .map(|entry| {
            format!(
                "{}: {}.{} {} {} {} in {} tries, note {:?}",
                entry.seq,
                entry.provider,
                entry.function,
                entry.effect_id,
                entry.state,
                entry.kind(),
                entry.tries,
                entry.note
            )
        })
        .collect();
    let lines = rig.lines(&row.id.to_string());
    format!(
        "{} ({}) {} {} attempt {} journal {journal:?} errors {} log {lines:?}",
        row.id,
        row.order,
        row.state,
        row.reason.as_deref().unwrap_or("-"),
        row.attempt,
        row.errors,
    )
}
