use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{Scheduler, store};
use crate::{
    clock::Boottime,
    ids::{NodeId, Tier},
    queue,
};

/// Where we saw another node's beat, and since when it stands there by our own clock.
struct Seen {
    beat: i64,
    since: Boottime,
}

pub(super) async fn register(s: &Scheduler) -> sqlx::Result<()> {
    let asked = Boottime::now();
    let mut db = s.pool.acquire().await?;
    store::register(&mut db, s.node, &host_name()).await?;
    s.pulse.confirm(asked);
    Ok(())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) async fn run(s: Arc<Scheduler>) {
    let mut seen = HashMap::new();
    let mut generation = 0;
    // Jobs of nodes that left no row behind, e.g. after a restore.
    reap_orphans(&s).await;
    loop {
        tokio::select! {
            () = tokio::time::sleep(s.cluster.heartbeat) => {}
            () = s.lifecycle.ended() => return,
        }
        match beat(&s, &mut seen).await {
            Ok(newest) if newest != generation => {
                generation = newest;
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
    let mut db = s.pool.acquire().await?;
    let beat = store::beat(&mut db, s.node).await?;
    if beat.alive {
        s.pulse.confirm(asked);
        if !was_fresh {
            // The claimer stood still; there may be work.
            s.queues.0.keys().for_each(|queue| s.bell.heard(queue));
        }
    } else {
        // Our jobs run elsewhere by now. What still runs here cannot settle; new claims are ours again.
        tracing::error!(node.id = %s.node, "this node was declared dead and comes back");
        s.pulse.lose();
        store::register(&mut db, s.node, &host_name()).await?;
    }
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
    Ok(beat.generation)
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
            let mut db = s.pool.acquire().await?;
            queue::store::reap_orphans(&mut db, tier).await
        };
        match reaped.await {
            Ok(ready) => s.bell.ready(&ready),
            Err(error) => tracing::warn!(error = %error, "jobs of vanished nodes could not be looked for"),
        }
    }
}
