//! What goes wrong, in the order that the seed says: in one line what happens to hosts and PostgreSQL, in another what happens
//! on the way to the providers and at them.
//!
//! The account that ignores keys meets only what the rules can see through by asking: a host that dies or freezes at a point,
//! a lost answer, an error. Not what is held up on its way and arrives after the question (`hold-before`): against that there
//! is nothing but the key.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::sleep};
use uuid::Uuid;

use super::{plan::LOCAL, points::POINTS, rig::Rig};
use crate::{
    rng::Rng,
    support::{Fault, FaultProxy, Say},
};

/// How often each kind acted, and how often it hit an effect that was under way.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<&'static str, (u64, u64)>);

impl Counts {
    fn add(&mut self, kind: &'static str, is_open: bool) {
        let (acted, open) = self.0.entry(kind).or_default();
        *acted += 1;
        *open += u64::from(is_open);
    }
}

/// To hosts and PostgreSQL, in the order of `POINTS`.
const KILLS: [&str; 4] = ["kill-before-start", "kill-after-start", "kill-after-reply", "kill-after-end"];
const STOPS: [&str; 4] = ["stop-before-start", "stop-after-start", "stop-after-reply", "stop-after-end"];
/// By the names of [`Fault`].
const WIRE: [&str; 8] = ["cut-before", "cut-after", "409", "429", "500", "sticky", "delay", "hold-before"];
const MAIL: [&str; 3] = ["mail-drop", "mail-later", "mail-slow"];
/// At Solana's nodes: a transaction that is taken and never lands; the same until its blockhash has expired; the answer lost
/// after it landed; held up on its way; an error; too many calls. And one node that is behind, all the time.
const CHAIN: [&str; 6] = ["chain-drop", "chain-expire", "chain-lost", "chain-hold", "chain-broken", "chain-busy"];
const BEHIND: &str = "chain-behind";
const HOOK: [&str; 3] = ["hook-500", "hook-slow", "hook-cut"];

pub fn kinds() -> Vec<&'static str> {
    [&KILLS[..], &STOPS, &["postgres"], &WIRE, &MAIL, &CHAIN, &[BEHIND], &HOOK].concat()
}

/// A call of the account that ignores keys counts as alive for 8.5 s: a host that was frozen behind the fence must have sent by
/// then, or be dead.
const FROZEN_AT_MOST: Duration = Duration::from_secs(7);

/// Acts until told that the load is over; returns when all is well again.
pub async fn run(rig: Arc<Rig>, done: watch::Receiver<bool>) -> Counts {
    let processes = tokio::spawn(processes(Arc::clone(&rig), done.clone()));
    let wires = tokio::spawn(wires(Arc::clone(&rig), done));
    let mut counts = processes.await.unwrap();
    counts.0.extend(wires.await.unwrap().0);
    rig.proxies().for_each(|proxy| {
        proxy.clear();
        proxy.release();
    });
    rig.receiver.clear();
    rig.cluster.calm().await;
    rig.cluster.release().await;
    for kind in kinds() {
        counts.0.entry(kind).or_default();
    }
    rig.note("no more faults");
    counts
}

/// All of a round before any of the next.
struct Bag {
    kinds: Vec<&'static str>,
    left: Vec<&'static str>,
}

impl Bag {
    fn draw(&mut self, rng: &mut Rng) -> &'static str {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            rng.shuffle(&mut self.left);
        }
        self.left.pop().unwrap()
    }

    /// It did not act.
    fn again(&mut self, kind: &'static str) {
        self.left.insert(0, kind);
    }
}

async fn processes(rig: Arc<Rig>, done: watch::Receiver<bool>) -> Counts {
    let mut rng = Rng::fork(rig.options.seed, 0xd1e);
    let mut bag = Bag { kinds: [&KILLS[..], &STOPS, &["postgres"]].concat(), left: Vec::new() };
    let (mut counts, mut ends) = (Counts::default(), JoinSet::new());
    while !*done.borrow() {
        sleep(Duration::from_millis(500 + rng.below(1500))).await;
        while ends.try_join_next().is_some() {}
        let kind = bag.draw(&mut rng);
        let acted = match kind {
            "postgres" => Some(crash(&rig, &mut rng).await),
            _ => hit(&rig, kind, &mut rng, &mut ends).await,
        };
        match acted {
            Some((what, is_open)) => {
                rig.note(&format!("fault {kind}: {what}"));
                counts.add(kind, is_open);
            }
            None => bag.again(kind),
        }
        // Most of the load wants a host to run on.
        let began = Instant::now();
        while rig.hosts.iter().filter(|host| host.base().is_some()).count() < 2 && began.elapsed().as_secs() < 10 {
            sleep(Duration::from_millis(50)).await;
        }
    }
    while let Some(end) = ends.join_next().await {
        end.unwrap();
    }
    counts
}

/// With effects under way, if there are any within two seconds.
async fn crash(rig: &Rig, rng: &mut Rng) -> (String, bool) {
    let sql = "SELECT count(*) FROM effects WHERE state = 'started'";
    let (began, mut open) = (Instant::now(), 0);
    while open == 0 && began.elapsed() < Duration::from_secs(2) {
        open = sqlx::query_scalar::<_, i64>(sql).fetch_one(&rig.database.pool).await.unwrap_or(0);
    }
    let down = Duration::from_millis(rng.below(800));
    rig.database.crash(down).await;
    (format!("{open} effects were under way; back after {:?}", began.elapsed()), open > 0)
}

async fn hit(rig: &Arc<Rig>, kind: &'static str, rng: &mut Rng, ends: &mut JoinSet<()>) -> Option<(String, bool)> {
    let (action, point) = kind.split_once('-')?;
    let point = POINTS.into_iter().find(|known| *known == point)?;
    // Behind the fence and before it, what no key protects is the likeliest to be done twice: localstripe, a service that
    // knows no keys, mails.
    let whose = match point {
        "before-start" => &["", "stripe/local", "stripe/local", "stripe/local", "upstream/", "email/", "email/"][..],
        "after-start" => &["", "stripe/local", "stripe/local", "stripe/local", "solana/"],
        _ => &["", "stripe/", "stripe/local", "upstream/", "email/", "solana/"],
    };
    let whose = whose[rng.index(whose.len())];
    // Past the lease (1 s) in any case; mostly past the time when doubt may be settled (2.5 s), but for local's (8.5 s).
    let is_short = whose != "stripe/local" && rng.below(4) == 0;
    let frozen = Duration::from_millis(if is_short { 1200 + rng.below(1300) } else { 2500 + rng.below(2000) });
    let hit = rig.points.hit(point, action, whose, Duration::from_secs(3)).await?;
    let began = Instant::now();
    let state = state(rig, hit.effect).await;
    let host = rig.hosts.iter().find(|host| host.pid() == Some(hit.pid)).cloned();
    let name = host.as_ref().map_or("gone".to_owned(), |host| host.index.to_string());
    let what =
        format!("host {name} at effect {} ({whose}; {})", hit.effect, state.as_deref().unwrap_or("not in the journal"));
    if action == "stop" {
        let host = host?;
        ends.spawn(async move {
            sleep(frozen.saturating_sub(began.elapsed())).await;
            // On a machine that was busy with something else we may be late.
            if began.elapsed() > FROZEN_AT_MOST {
                host.kill9();
            }
            host.thaw(hit.pid);
        });
    }
    Some((what, state.as_deref() == Some("started")))
}

async fn state(rig: &Rig, effect: Uuid) -> Option<String> {
    let sql = "SELECT state FROM effects WHERE effect_id = $1";
    sqlx::query_scalar(sql).bind(effect).fetch_optional(&rig.database.pool).await.ok().flatten()
}

/// The counts are the receiver's and the chain's; the others are taken from what the providers saw, see [`count`].
async fn wires(rig: Arc<Rig>, done: watch::Receiver<bool>) -> Counts {
    let mut rng = Rng::fork(rig.options.seed, 0x317e);
    let mut bag = Bag { kinds: [&WIRE[..], &MAIL, &CHAIN, &HOOK].concat(), left: Vec::new() };
    let (mut counts, mut ends) = (Counts::default(), JoinSet::new());
    // What waits for its turn: one at a time, so that none is left over when all is to be well.
    let (mut mails, mut hook, mut chain) = (0, None, Chain::default());
    while !*done.borrow() {
        sleep(Duration::from_millis(200 + rng.below(500))).await;
        while ends.try_join_next().is_some() {}
        if rig.receiver.planned() == 0 {
            // A delivery is under way by its nature.
            hook.take().into_iter().for_each(|kind| counts.add(kind, true));
        }
        chain.look(&rig, &mut counts).await;
        let kind = bag.draw(&mut rng);
        match kind {
            _ if CHAIN.contains(&kind) && chain.wanted.is_none() => chain.ask(&rig, kind).await,
            _ if WIRE.contains(&kind) => wire(&rig, kind, &mut rng, &mut ends),
            _ if HOOK.contains(&kind) && hook.is_none() => {
                hook = Some(kind);
                rig.receiver.plan([match kind {
                    "hook-500" => Say::Status(500),
                    "hook-slow" => Say::Nothing,
                    _ => Say::Cut,
                }]);
            }
            _ if MAIL.contains(&kind) && rig.sink.met().await.len() == mails => {
                mails += 1;
                rig.sink.faults(&[mail_fault(kind)]).await;
            }
            _ => bag.again(kind),
        }
    }
    while let Some(end) = ends.join_next().await {
        end.unwrap();
    }
    if rig.receiver.planned() == 0 {
        hook.take().into_iter().for_each(|kind| counts.add(kind, true));
    }
    chain.look(&rig, &mut counts).await;
    let port = u64::from(rig.behind);
    let asked = rig.cluster.callers("getSignatureStatuses").await.into_iter().filter(|caller| *caller == port).count();
    counts.0.insert(BEHIND, (asked as u64, asked as u64));
    counts
}

/// One fault of the chain at a time.
#[derive(Default)]
struct Chain {
    wanted: Option<&'static str>,
    met: usize,
    held: Option<Instant>,
}

impl Chain {
    async fn ask(&mut self, rig: &Rig, kind: &'static str) {
        let (fault, times) = match kind {
            "chain-drop" => ("drop", 1),
            // The host sends it again every other second.
            "chain-expire" => ("drop", 3),
            "chain-lost" => ("lost", 1),
            "chain-hold" => ("hold-before", 1),
            "chain-broken" => ("broken", 1),
            _ => ("busy", 1),
        };
        rig.cluster.fault("sendTransaction", fault, times).await;
        self.wanted = Some(kind);
    }

    /// Whether it acted. Only what has an effect under way sends.
    async fn look(&mut self, rig: &Rig, counts: &mut Counts) {
        let met = rig.cluster.met().await.len();
        let Some(kind) = self.wanted.filter(|_| met > self.met) else { return };
        // Longer than a call may take.
        if kind == "chain-hold" && self.held.get_or_insert_with(Instant::now).elapsed() < Duration::from_secs(4) {
            return;
        }
        match kind {
            // Beyond the 150 blocks of its hash and as many again, and what is finalized beyond them, too.
            "chain-expire" => rig.cluster.warp(450).await,
            "chain-hold" => rig.cluster.release().await,
            _ => {}
        }
        rig.cluster.calm().await;
        self.met = rig.cluster.met().await.len();
        (self.wanted, self.held) = (None, None);
        counts.add(kind, true);
        rig.note(&format!("fault {kind}"));
    }
}

fn wire(rig: &Arc<Rig>, kind: &'static str, rng: &mut Rng, ends: &mut JoinSet<()>) {
    let ways: Vec<&FaultProxy> = rig.proxies().collect();
    let (mint, once) = (LOCAL + 1, LOCAL + 2);
    let all = [0, 1, 2, LOCAL, LOCAL, mint, mint, once];
    let chosen = match kind {
        "hold-before" => [0, 1, 2, mint][rng.index(4)],
        "409" => rng.index(LOCAL + 1),
        _ => all[rng.index(all.len())],
    };
    let fault = match kind {
        "cut-before" => Fault::CutBefore,
        "cut-after" => Fault::CutAfter,
        "409" => Fault::conflict(),
        "429" => Fault::too_many(1),
        "500" => Fault::broken(),
        "sticky" => Fault::broken_for_good(rng.below(2) == 0),
        "delay" => Fault::Delay(Duration::from_millis(300 + rng.below(3000))),
        _ => Fault::HoldBefore,
    };
    // A question may go wrong as well; what is held is a write, which then comes late.
    let on = if rng.below(4) == 0 && ["cut-before", "429", "500", "delay"].contains(&kind) { "GET " } else { "POST " };
    ways[chosen].on(on, 1, fault);
    if kind == "hold-before" {
        let (rig, wait) = (Arc::clone(rig), Duration::from_millis(1500 + rng.below(4000)));
        ends.spawn(async move {
            sleep(wait).await;
            if let Some(way) = rig.proxies().nth(chosen) {
                way.release();
            }
        });
    }
}

fn mail_fault(kind: &str) -> &'static str {
    match kind {
        "mail-drop" => "drop",
        "mail-later" => "451 4.3.0 later",
        _ => "silence 4",
    }
}

/// Adds what acted on the way to the providers and at them. `is_open`: an effect by that id was in the journal, which a call
/// under way is from its start on.
pub async fn count(rig: &Rig, counts: &mut Counts, is_open: impl Fn(&str) -> bool) {
    for seen in rig.proxies().flat_map(FaultProxy::seen) {
        if let Some(kind) = seen.fault {
            counts.add(kind, seen.request.header("idempotency-key").is_some_and(&is_open));
        }
    }
    for met in rig.sink.met().await {
        let text = |name: &str| met[name].as_str().unwrap_or_default().to_owned();
        let kind = MAIL.into_iter().find(|kind| mail_fault(kind) == text("fault"));
        let id = text("id");
        let effect = id.trim_start_matches('<').split('@').next().unwrap_or_default();
        kind.into_iter().for_each(|kind| counts.add(kind, is_open(effect)));
    }
}
