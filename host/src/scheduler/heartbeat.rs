use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use super::{
    Scheduler,
    store::{self, Told},
};
use crate::{
    clock::Boottime,
    ids::{NodeId, Tier},
    queue,
    worker::NodeLimits,
};

/// Where we saw another node's beat, and since when it stands there by our own clock.
struct Seen {
    beat: i64,
    since: Boottime,
}

pub(super) async fn register(s: &Scheduler) -> sqlx::Result<()> {
    let asked = Boottime::now();
    let mut db = s.pool.write().await?;
    store::register(&mut db, s.node, &host_name()).await?;
    let ready = queue::store::take_slots(&mut db).await?;
    db.done().await?;
    s.pulse.confirm(asked);
    s.bell.ready(&ready);
    Ok(())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) async fn run(s: Arc<Scheduler>) {
    let mut seen = HashMap::new();
    let mut releases = 0;
    let mut missed = false;
    // Jobs of nodes that left no row behind, e.g. after a restore.
    reap_orphans(&s).await;
    loop {
        tokio::select! {
            () = tokio::time::sleep(s.cluster.heartbeat) => {}
            () = s.lifecycle.ended() => return,
        }
        let beat = beat(&s, &mut seen).await;
        if beat.is_ok() && missed {
            // A crash or a failover may have taken back claims, and places in the queue: they lie behind our cursors.
            s.bell.cursors().from_the_front();
            s.bell.wake();
        }
        missed = beat.is_err();
        match beat {
            Ok(newest) if newest != releases => {
                releases = newest;
                s.releases_changed.notify_one();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "the heartbeat failed"),
        }
    }
}

/// One beat: count up, compare the others' counters with what we saw, reap those that stand still for too long.
async fn beat(s: &Scheduler, seen: &mut HashMap<NodeId, Seen>) -> sqlx::Result<i64> {
    let asked = Boottime::now();
    let was_fresh = s.pulse.is_fresh();
    let mut db = s.pool.write().await?;
    let (ready, unready) = s.registry.readiness();
    let told = Told {
        running: &s.running.by_queue(),
        ready: &ready,
        unready: &unready,
        outcomes: &s.registry.outcomes(),
        leaving: s.lifecycle.is_stopping(),
    };
    let beat = store::beat(&mut db, s.node, &told).await?;
    if !beat.alive {
        // Our jobs run elsewhere by now. What still runs here cannot settle; new claims are ours again.
        tracing::error!(node.id = %s.node, "this node was declared dead and comes back");
        s.pulse.lose();
        store::register(&mut db, s.node, &host_name()).await?;
    }
    // What follows has transactions of its own.
    db.done().await?;
    if beat.alive {
        s.pulse.confirm(asked);
        if !was_fresh {
            // The claimer stood still; there may be work.
            s.queues.0.keys().for_each(|queue| s.bell.heard(queue));
        }
    }
    s.running.set_limits(limits(&beat.limits));
    if beat.rates != s.limiter.version() {
        s.rates_changed.notify_one();
    }
    if beat.revocations != s.verifier.version() {
        s.revocations_changed.notify_one();
    }
    if beat.keys != s.services.version() {
        s.keys_changed.notify_one();
    }
    s.submitter.imported().replace(beat.imported);
    s.registry.ended_elsewhere(&beat.outcomes);
    s.peers.store(beat.others.len(), Ordering::Relaxed);

    seen.retain(|node, _| beat.others.iter().any(|(other, _)| other == node));
    for (node, count) in beat.others {
        let entry = seen.entry(node).or_insert(Seen { beat: count, since: asked });
        if entry.beat != count {
            *entry = Seen { beat: count, since: asked };
        } else if entry.since.elapsed() >= s.cluster.dead_after {
            reap(s, node, count).await?;
        }
    }
    Ok(beat.releases)
}

fn limits(of_nodes: &BTreeMap<String, i32>) -> NodeLimits {
    let mut limits = NodeLimits::default();
    for (scope, max) in of_nodes {
        let max = usize::try_from(*max).unwrap_or(0);
        match scope.splitn(3, '/').collect::<Vec<_>>().as_slice() {
            ["node"] => limits.all = Some(max),
            ["node", "queue", name] => drop(limits.queues.insert((*name).to_owned(), max)),
            ["node", "type", name] => drop(limits.types.insert((*name).to_owned(), max)),
            _ => {}
        }
    }
    limits
}

/// The row goes and the jobs come back in one transaction, so that nobody can do half of it.
async fn reap(s: &Scheduler, node: NodeId, beat: i64) -> sqlx::Result<()> {
    let mut tx = s.pool.begin().await?;
    if !store::declare_dead(&mut tx, node, beat).await? {
        return Ok(());
    }
    let mut ready = Vec::new();
    for tier in Tier::ALL {
        ready.extend(queue::store::reap_node(&mut tx, tier, node).await?);
    }
    tx.commit().await?;
    tracing::warn!(node.id = %node, jobs = ready.len(), "a node is dead; its jobs are ready again");
    s.bell.ready(&ready);
    Ok(())
}

async fn reap_orphans(s: &Scheduler) {
    for tier in Tier::ALL {
        let reaped = async {
            let mut db = s.pool.write().await?;
            let ready = queue::store::reap_orphans(&mut db, tier).await?;
            db.done().await.map(|()| ready)
        };
        match reaped.await {
            Ok(ready) => s.bell.ready(&ready),
            Err(error) => tracing::warn!(error = %error, "jobs of vanished nodes could not be looked for"),
        }
    }
}
