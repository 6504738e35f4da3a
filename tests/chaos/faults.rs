//! What goes wrong, in the order that the seed says. A fault counts when it acted, not when it was tried.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Method;
use tokio::{sync::Notify, task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::{
    load::answer,
    proxy::{Direction, Proxy},
    rig::{QUEUES, Rig},
    rng::Rng,
    support::place,
};

pub type Counts = BTreeMap<&'static str, u64>;

const KINDS: [&str; 9] = ["kill", "freeze", "terminate", "postgres", "cut", "delay", "drop", "pause", "cancel"];

/// Acts until told that the load is over; returns when all is well again.
pub async fn run(rig: Arc<Rig>, done: Arc<Notify>) -> Counts {
    let mut rng = Rng::new(rig.options.seed);
    let mut kinds = KINDS.to_vec();
    // Without two releases of one plugin there is nothing to swap.
    if rig.analytics.is_some() {
        kinds.push("swap");
    }
    let mut counts: Counts = kinds.iter().map(|kind| (*kind, 0)).collect();
    let (mut bag, mut ends) = (Vec::new(), JoinSet::new());
    loop {
        tokio::select! {
            () = sleep(Duration::from_millis(1000 + rng.below(2000))) => {}
            () = done.notified() => break,
        }
        if bag.is_empty() {
            // All of a round before any of the next, so that a run of two minutes has each several times.
            bag = kinds.clone();
            rng.shuffle(&mut bag);
        }
        let kind = bag.pop().unwrap();
        match act(&rig, kind, &mut rng, &mut ends).await {
            Some(what) => {
                rig.note(&format!("fault {kind}: {what}"));
                *counts.get_mut(kind).unwrap() += 1;
            }
            None => bag.insert(0, kind),
        }
    }
    while let Some(end) = ends.join_next().await {
        end.unwrap();
    }
    rig.proxies.iter().for_each(Proxy::calm);
    for queue in QUEUES {
        resume(&rig, queue).await;
    }
    rig.note("no more faults");
    counts
}

/// Says what it did, if it did.
async fn act(rig: &Arc<Rig>, kind: &'static str, rng: &mut Rng, ends: &mut JoinSet<()>) -> Option<String> {
    let n = rng.index(rig.hosts.len());
    match kind {
        "kill" => rig.hosts[n].kill9().then(|| format!("host {n}")),
        "freeze" => {
            // Beyond `dead_after`, which is 1 s here.
            let time = Duration::from_millis(1300 + rng.below(2200));
            let pid = rig.hosts[n].freeze()?;
            let host = Arc::clone(&rig.hosts[n]);
            ends.spawn(async move {
                sleep(time).await;
                host.thaw(pid);
            });
            Some(format!("host {n} for {time:?}"))
        }
        "terminate" => terminate(rig, 1 + rng.below(8)).await,
        "postgres" => {
            let down = Duration::from_millis(rng.below(800));
            rig.note("postgres is stopped, immediate");
            let began = Instant::now();
            rig.database.crash(down).await;
            Some(format!("back after {:?}", began.elapsed()))
        }
        "cut" => {
            let direction = if rng.below(2) == 0 { Direction::ToServer } else { Direction::ToClient };
            let hosts = some(rig, n, rng);
            let before = harmed(rig);
            hosts.iter().for_each(|n| rig.proxies[*n].cut(direction));
            harmed_since(rig, before).await.then(|| format!("hosts {hosts:?}, {direction:?}"))
        }
        "delay" => {
            let (each, hosts) = (Duration::from_millis(100 + rng.below(700)), some(rig, n, rng));
            hosts.iter().for_each(|n| rig.proxies[*n].delay(each));
            let (shared, all) = (Arc::clone(rig), hosts.clone());
            ends.spawn(async move {
                sleep(Duration::from_secs(1)).await;
                all.iter().for_each(|n| shared.proxies[*n].delay(Duration::ZERO));
            });
            Some(format!("hosts {hosts:?}, {each:?}"))
        }
        "drop" => {
            let hosts = some(rig, n, rng);
            let before = harmed(rig);
            hosts.iter().for_each(|n| rig.proxies[*n].drop_all(Duration::from_secs(1)));
            harmed_since(rig, before).await.then(|| format!("hosts {hosts:?}"))
        }
        "pause" => {
            let queue = QUEUES[n % QUEUES.len()];
            let status = admin(rig, Method::POST, &format!("/queues/{queue}/pause"), n).await;
            // It may have happened even so.
            let shared = Arc::clone(rig);
            ends.spawn(async move {
                sleep(Duration::from_secs(1)).await;
                resume(&shared, queue).await;
            });
            (status == Some(200)).then(|| queue.to_owned())
        }
        "cancel" => cancel(rig, rng).await,
        "swap" => swap(rig, n).await,
        _ => None,
    }
}

/// One host, or all of them in a third of the cases.
fn some(rig: &Rig, n: usize, rng: &mut Rng) -> Vec<usize> {
    if rng.below(3) == 0 { (0..rig.hosts.len()).collect() } else { vec![n] }
}

fn harmed(rig: &Rig) -> u64 {
    rig.proxies.iter().map(Proxy::harmed).sum()
}

/// Whether a connection met its fault within a second.
async fn harmed_since(rig: &Rig, before: u64) -> bool {
    for _ in 0..40 {
        sleep(Duration::from_millis(25)).await;
        if harmed(rig) > before {
            return true;
        }
    }
    false
}

async fn terminate(rig: &Rig, count: u64) -> Option<String> {
    let sql = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
               WHERE datname = 'usher' AND backend_type = 'client backend' AND application_name <> 'chaos' \
               ORDER BY state = 'idle', random() LIMIT $1) AS chosen";
    let count = i64::try_from(count).unwrap();
    let gone: i64 = sqlx::query_scalar(sql).bind(count).fetch_one(&rig.db).await.ok()?;
    (gone > 0).then(|| format!("{gone} backends"))
}

/// The other release, by the folder of one host; it acted when all hosts were told to serve it.
async fn swap(rig: &Rig, n: usize) -> Option<String> {
    let newest = "SELECT a.generation, r.version FROM activations a JOIN releases r USING (digest) \
                  WHERE a.plugin = 'analytics' ORDER BY a.generation DESC LIMIT 1";
    let look = async || sqlx::query_as::<_, (i64, String)>(newest).fetch_one(&rig.db).await.ok();
    let (before, version) = look().await?;
    let other = usize::from(version != "0.2.0");
    place(&rig.analytics.as_ref()?[other], &rig.hosts[n].dir.join("plugins/analytics.wasm"));
    for _ in 0..80 {
        sleep(Duration::from_millis(25)).await;
        if let Some((generation, after)) = look().await
            && generation > before
        {
            return Some(format!("{version} to {after} by host {n}"));
        }
    }
    None
}

/// One that is live and acknowledged; most are over before we ask.
async fn cancel(rig: &Rig, rng: &mut Rng) -> Option<String> {
    for _ in 0..40 {
        let mut chosen = rig.acks.latest(600);
        let sql = "SELECT id FROM jobs WHERE id = ANY($1) AND state <> 'dead'";
        let live: Vec<Uuid> = sqlx::query_scalar(sql).bind(&chosen).fetch_all(&rig.db).await.ok()?;
        chosen.retain(|id| live.contains(id));
        if !chosen.is_empty() {
            let id = chosen[rng.index(chosen.len())];
            rig.acks.will_cancel(id);
            let n = rng.index(rig.hosts.len());
            if let Some(status @ (200 | 202)) = admin(rig, Method::DELETE, &format!("/jobs/{id}"), n).await {
                return Some(format!("{id}: {status}"));
            }
        }
        sleep(Duration::from_millis(25)).await;
    }
    None
}

async fn resume(rig: &Rig, queue: &str) {
    for n in 0.. {
        if admin(rig, Method::POST, &format!("/queues/{queue}/resume"), n % rig.hosts.len()).await == Some(200) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn admin(rig: &Rig, method: Method, path: &str, host: usize) -> Option<u16> {
    let base = rig.hosts[host].base()?;
    let request = rig.http.request(method, format!("{base}{path}")).bearer_auth(&rig.admin);
    answer(request).await.ok().map(|(status, _)| status)
}
