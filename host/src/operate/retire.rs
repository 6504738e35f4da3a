use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{CANCEL, OperateError, Operator, notify};
use crate::{
    audit,
    config::GrantSet,
    ids::{JobId, Tier},
    queue::{
        Settlement, Verdict,
        store::{self as queue, Pinned},
    },
    releases::{
        Stored, manifest,
        store::{self, Reason},
    },
};

/// What becomes of the jobs of a plugin that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They go on to their end.
    Drain,
    /// Those without an effect are cancelled, the others as soon as no effect is under way.
    Cancel,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
        }
    }
}

/// What a migration came to: jobs that were moved, and why the others were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    pub moved: u64,
    /// They run now, or wait for a person.
    pub running: u64,
    /// An effect is under way or in doubt: who began it must end it.
    pub in_doubt: u64,
    /// The release has no such job type, or its schema refuses the payload.
    pub refused: u64,
    /// The release asks for no grant that an effect so far needed.
    pub not_granted: u64,
}

/// Jobs of one transaction.
const BATCH: i64 = 500;

impl Operator {
    /// Submits of the plugin's types are refused from now on; once no job of them is left, the types are free.
    pub async fn retire(&self, plugin: &str, mode: Mode, by: &str) -> Result<i64, OperateError> {
        let mut tx = self.pool.begin().await?;
        store::lock_plugin(&mut tx, plugin).await?;
        let served = store::newest(&mut tx, plugin).await?.ok_or_else(|| OperateError::NoPlugin(plugin.to_owned()))?;
        let types = store::types_of(&mut tx, plugin).await?;
        if types.is_empty() {
            return Err(OperateError::conflict("already-retired", "The plugin owns no job types any more."));
        }
        if let Some((waiting, _)) = served.waiting
            && !store::withdraw(&mut tx, waiting, &format!("retired by {by}")).await?
        {
            return Err(OperateError::conflict("just-changed", "Another change came first; look, and ask again."));
        }
        store::begin_retirement(&mut tx, plugin, mode.as_str(), by).await?;
        audit::write(&mut tx, by, None, "plugin.retire", &format!("plugin/{plugin}"), json!({ "mode": mode.as_str() }))
            .await?;
        let left = queue::live_of(&mut tx, &types, COUNTED).await?;
        tx.commit().await?;
        Ok(left)
    }

    /// Goes on with every retirement. `settled`: how long ago it must have been asked for before it may end, so that every
    /// node has heard of it. True: there is one that has not ended.
    pub async fn go_on_retiring(&self, settled: Duration) -> Result<bool, OperateError> {
        let retirements = store::retirements(&mut *self.pool.read().await?, settled).await?;
        let mut left = false;
        for retirement in retirements {
            let types = store::types_of(&mut *self.pool.read().await?, &retirement.plugin).await?;
            if retirement.mode == Mode::Cancel.as_str() {
                self.cancel_types(&types, &retirement.asked_by).await?;
            }
            left |= !self.end_retirement(&retirement, &types).await?;
        }
        Ok(left)
    }

    async fn end_retirement(&self, r: &store::Retirement, types: &[String]) -> Result<bool, OperateError> {
        if !r.settled || queue::live_of(&mut *self.pool.read().await?, types, 1).await? > 0 {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        store::lock_plugin(&mut tx, &r.plugin).await?;
        // Asked again when nobody can add one any more: a submit by SQL may have begun before, and a child is committed with
        // its parent.
        if !store::lock_types(&mut tx, &r.plugin).await? || queue::live_of(&mut tx, types, 1).await? > 0 {
            return Ok(false);
        }
        // Called off meanwhile, or done by another node.
        if store::end_retirement(&mut tx, &r.plugin, true).await? {
            store::stop_serving(&mut tx, &r.plugin, Reason::Retire, &r.asked_by).await?;
            audit::write(
                &mut tx,
                &r.asked_by,
                None,
                "plugin.retired",
                &format!("plugin/{}", r.plugin),
                json!({ "types": types }),
            )
            .await?;
            tx.commit().await?;
            tracing::info!(plugin.name = r.plugin, "a plugin is retired; its job types are free");
        }
        Ok(true)
    }

    async fn cancel_types(&self, types: &[String], by: &str) -> Result<(), OperateError> {
        let error = json!({
            "kind": "cancelled", "message": format!("its plugin was retired by {by}"), "at": chrono::Utc::now(),
        });
        for tier in Tier::ALL {
            loop {
                let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '2s'").await?;
                let ids = queue::lock_waiting(&mut tx, tier, types, BATCH).await?;
                if ids.is_empty() {
                    break;
                }
                let settlement = |id: &Uuid| Settlement {
                    id: JobId(*id),
                    tier,
                    lease: None,
                    verdict: Verdict::Cancelled,
                    error: Some(error.clone()),
                    release: None,
                    cpu: Duration::ZERO,
                    base_ms: None,
                    place: None,
                    journaled: false,
                };
                let settlements: Vec<_> = ids.iter().map(settlement).collect();
                let settled = queue::settle(&mut tx, tier, &settlements.iter().collect::<Vec<_>>()).await?;
                tx.commit().await?;
                self.bell.settled(&settled);
            }
        }
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '2s'").await?;
        let (ids, ready) = queue::request_cancels(&mut tx, types, BATCH).await?;
        for id in &ids {
            notify(&mut tx, CANCEL, &id.to_string()).await?;
        }
        tx.commit().await?;
        self.bell.ready(&ready);
        Ok(())
    }

    /// Moves jobs that are held to `from` (by an effect in their journal, or by a redrive) to `to`. A job moves that nobody
    /// runs, none of whose effects is under way or in doubt, whose payload `to` accepts, and whose effects so far are of
    /// kinds that `to` asks for. Whether they replay shows when it runs: the check for nondeterminism guards. `unverified`: also
    /// to a release that has never served.
    pub async fn migrate(
        &self,
        from: &Stored,
        to: &Stored,
        unverified: bool,
        by: &str,
    ) -> Result<Migrated, OperateError> {
        if !unverified && !store::has_served(&mut *self.pool.read().await?, to.digest).await? {
            let message = format!("{} has never served; activate it first.", to.manifest.version);
            return Err(OperateError::conflict("release-never-served", message));
        }
        let schemas: BTreeMap<_, _> = to
            .manifest
            .jobs
            .iter()
            .filter_map(|job| Some((job.job_type.as_str(), manifest::validator(&job.schema).ok()?)))
            .collect();
        let (mut done, mut after) = (Migrated::default(), Uuid::nil());
        loop {
            let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '5s'").await?;
            match store::hold(&mut tx, to.digest).await? {
                Some(false) => {}
                Some(true) => {
                    let message =
                        format!("{} is in quarantine and runs nowhere; activate it first.", to.manifest.version);
                    return Err(OperateError::conflict("release-quarantined", message));
                }
                None => return Err(OperateError::NoSuchRelease(to.digest.to_string())),
            }
            let pinned = queue::lock_pinned(&mut tx, from.digest, after, BATCH).await?;
            let Some(last) = pinned.last() else { break };
            after = last.id;
            let mut moving = Vec::new();
            for job in &pinned {
                let count = match movable(job, &schemas, &to.manifest.grants) {
                    Moves::Yes => {
                        moving.push(job.id);
                        continue;
                    }
                    Moves::Running => &mut done.running,
                    Moves::InDoubt => &mut done.in_doubt,
                    Moves::Refused => &mut done.refused,
                    Moves::NotGranted => &mut done.not_granted,
                };
                *count += 1;
            }
            let moved = queue::pin(&mut tx, &moving, to.digest).await?;
            if moved > 0 {
                // With each part: what was moved before an error is moved.
                let detail = json!({ "from": from.digest, "to": to.digest, "moved": moved, "unverified": unverified });
                let target = format!("plugin/{}", from.manifest.name);
                audit::write(&mut tx, by, None, "plugin.migrate", &target, detail).await?;
            }
            done.moved += moved;
            tx.commit().await?;
        }
        Ok(done)
    }
}

/// How far live jobs are counted for an answer.
const COUNTED: i64 = 100_000;

#[derive(Debug, PartialEq, Eq)]
enum Moves {
    Yes,
    Running,
    InDoubt,
    Refused,
    NotGranted,
}

fn movable(job: &Pinned, schemas: &BTreeMap<&str, jsonschema::Validator>, grants: &GrantSet) -> Moves {
    let accepts = || {
        let payload = serde_json::from_str::<Value>(&job.payload).ok();
        schemas.get(job.job_type.as_str()).zip(payload).is_some_and(|(schema, payload)| schema.is_valid(&payload))
    };
    let granted = |effect: &String| match effect.split_once(' ') {
        Some(("email", _)) => !grants.email.is_empty(),
        Some(("sms", _)) => !grants.sms.is_empty(),
        Some(("push", _)) => !grants.push.is_empty(),
        Some(("upstream", _)) => !grants.upstream.is_empty(),
        Some(("stripe", function)) => grants.stripe.iter().any(|granted| granted == function),
        Some(("solana", function)) => grants.solana.iter().any(|granted| granted == function),
        _ => false,
    };
    match job {
        job if !job.waits => Moves::Running,
        job if job.in_doubt => Moves::InDoubt,
        _ if !accepts() => Moves::Refused,
        job if !job.effects.iter().all(granted) => Moves::NotGranted,
        _ => Moves::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_moves_where_its_journal_allows_it() {
        let schema = manifest::validator(&json!({ "required": ["a"] })).expect("a schema");
        let schemas = BTreeMap::from([("x", schema)]);
        let grants = GrantSet { stripe: vec!["create-refund".to_owned()], ..GrantSet::default() };
        let job = |payload: &str, effect: &str, waits, in_doubt| Pinned {
            tier: Tier::Money,
            id: Uuid::nil(),
            job_type: "x".to_owned(),
            payload: payload.to_owned(),
            waits,
            in_doubt,
            effects: vec![effect.to_owned()],
        };
        let say = |job: &Pinned| movable(job, &schemas, &grants);
        let good = "stripe create-refund";
        assert_eq!(say(&job("{\"a\":1}", good, true, false)), Moves::Yes);
        assert_eq!(say(&job("{\"a\":1}", good, false, false)), Moves::Running);
        assert_eq!(say(&job("{\"a\":1}", good, true, true)), Moves::InDoubt);
        assert_eq!(say(&job("{}", good, true, false)), Moves::Refused);
        assert_eq!(say(&Pinned { job_type: "y".to_owned(), ..job("{\"a\":1}", good, true, false) }), Moves::Refused);
        for other in ["stripe create-payout", "email send", "sms send", "push send", "solana mint-nft", "other f"] {
            assert_eq!(say(&job("{\"a\":1}", other, true, false)), Moves::NotGranted, "{other}");
        }
        let some = || vec!["main".to_owned()];
        let messages = GrantSet { email: some(), sms: some(), push: some(), upstream: some(), ..GrantSet::default() };
        for asked in ["email send", "sms send", "push send", "upstream call"] {
            assert_eq!(movable(&job("{\"a\":1}", asked, true, false), &schemas, &messages), Moves::Yes, "{asked}");
        }
    }
}
