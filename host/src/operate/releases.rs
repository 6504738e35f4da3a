use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{OperateError, Operator, bulk::begin_redrive};
use crate::{
    alerts::{self, Alert, Severity},
    audit,
    ids::Digest,
    queue::store::{self as queue, DeadFilter},
    releases::{
        Stored,
        store::{self, Activation, Owed, Reason, StoreError},
    },
};

/// Which release somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Digest(Digest),
    Version(String),
}

/// What serves now, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub version: String,
    pub digest: Digest,
    pub generation: i64,
    /// False: it waits until the live nodes have it ready.
    pub effective: bool,
}

/// What recorded jobs did with a release that is to serve, where `plugins.require_verify` asked them.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The same: nobody need ask again.
    pub passed: bool,
    /// For the audit log.
    pub on_record: Value,
}

/// In whose name a host does what nobody asked for.
const HOST: &str = "usher";
/// Jobs that died of a release come back so many a second.
const REDRIVE_RATE: i32 = 1_000;

impl From<StoreError> for OperateError {
    fn from(error: StoreError) -> Self {
        let slug = match &error {
            StoreError::VersionTaken { .. } => "version-taken",
            StoreError::TypeTaken { .. } => "job-type-taken",
            StoreError::Quarantined { .. } => "release-quarantined",
            StoreError::Retiring { .. } => "plugin-retiring",
            StoreError::Database(_) => "database",
        };
        match error {
            StoreError::Database(error) => Self::Database(error),
            error => Self::conflict(slug, format!("{error}.")),
        }
    }
}

impl Operator {
    /// The stored release that somebody means.
    pub async fn release(&self, plugin: &str, target: &Target) -> Result<Stored, OperateError> {
        let mut db = self.pool.read().await?;
        let found = match target {
            Target::Digest(digest) => store::get(&mut db, *digest).await?,
            Target::Version(version) => store::by_version(&mut db, plugin, version).await?,
        };
        if let Some(found) = found.filter(|found| found.manifest.name == plugin) {
            return Ok(found);
        }
        store::newest(&mut db, plugin).await?.ok_or_else(|| OperateError::NoPlugin(plugin.to_owned()))?;
        Err(OperateError::NoSuchRelease(match target {
            Target::Digest(digest) => digest.to_string(),
            Target::Version(version) => version.clone(),
        }))
    }

    /// The activation that makes this release the one that serves, or is about to; whether it is in effect.
    pub async fn generation(&self, plugin: &str, digest: Digest) -> Result<Option<(i64, bool)>, OperateError> {
        let mut db = self.pool.read().await?;
        let Some(served) = store::newest(&mut db, plugin).await? else { return Ok(None) };
        let waiting =
            served.waiting.filter(|(_, waiting)| *waiting == digest).map(|(generation, _)| (generation, false));
        let serving = served.serving.filter(|(_, serving)| *serving == Some(digest));
        Ok(waiting.or(serving.map(|(generation, _)| (generation, true))))
    }

    /// The release that a rollback goes back to if nobody names one: the one that served before. Where an activation
    /// waits for the nodes, that is the one which still serves, unless it is in quarantine.
    pub async fn release_before(&self, plugin: &str) -> Result<Stored, OperateError> {
        let mut db = self.pool.read().await?;
        let served = store::newest(&mut db, plugin).await?.ok_or_else(|| OperateError::NoPlugin(plugin.to_owned()))?;
        let current = served.serving.and_then(|(_, digest)| digest);
        let quarantined = store::quarantined(&mut db).await?;
        let stays = current.filter(|current| served.waiting.is_some() && !quarantined.contains(current));
        let digest = match stays {
            Some(digest) => Some(digest),
            None => store::before(&mut db, plugin, current).await?,
        };
        let before = match digest {
            Some(digest) => store::get(&mut db, digest).await?,
            None => None,
        };
        before.ok_or_else(|| {
            OperateError::conflict(
                "nothing-before",
                "No other release of this plugin has served that is neither in quarantine nor deleted.",
            )
        })
    }

    /// Makes a stored release the one that serves, by a person's word: also one in quarantine, and also where the plugin
    /// is being retired, which is called off. `asked`: `None` where nobody had to.
    pub async fn activate(
        &self,
        release: &Stored,
        reason: Reason,
        asked: Option<Asked>,
        by: &str,
    ) -> Result<Changed, OperateError> {
        let plugin = &release.manifest.name;
        let mut tx = self.pool.begin().await?;
        store::lock_plugin(&mut tx, plugin).await?;
        // Asked under the lock: it may have been deleted meanwhile.
        let quarantined = store::hold(&mut tx, release.digest).await?;
        let quarantined = quarantined.ok_or_else(|| OperateError::NoSuchRelease(release.digest.to_string()))?;
        let before = store::newest(&mut tx, plugin).await?.ok_or_else(|| OperateError::NoPlugin(plugin.clone()))?;
        let changed = |generation, effective| Changed {
            version: release.manifest.version.clone(),
            digest: release.digest,
            generation,
            effective,
        };
        let mut detail = json!({ "version": release.manifest.version, "digest": release.digest });
        if let Some(asked) = asked {
            detail["verify"] = asked.on_record;
            if asked.passed {
                store::verified(&mut tx, release.digest).await?;
            }
        }
        let called_off = reason == Reason::Activate && store::end_retirement(&mut tx, plugin, false).await?;
        if !called_off && store::retiring(&mut tx, plugin).await? {
            return Err(StoreError::Retiring { plugin: plugin.clone() }.into());
        }
        if quarantined && reason != Reason::Activate {
            let version = release.manifest.version.clone();
            return Err(StoreError::Quarantined { plugin: plugin.clone(), version }.into());
        }
        if store::forget_quarantine(&mut tx, release.digest).await? {
            detail["quarantineLifted"] = true.into();
            alerts::resolve(&mut tx, QUARANTINED, &format!("plugin/{plugin}")).await?;
        }
        let stays = before.serving.filter(|(_, digest)| *digest == Some(release.digest));
        let done = match (stays, before.waiting) {
            // What waits in its place is called off, and that is all.
            (Some((generation, _)), Some((waiting, _))) => {
                if !store::withdraw(&mut tx, waiting, &format!("{} by {by}", reason.as_str())).await? {
                    return Err(OperateError::conflict(
                        "just-changed",
                        "Another change came first; look, and ask again.",
                    ));
                }
                changed(generation, true)
            }
            (Some((generation, _)), None) if called_off => changed(generation, true),
            _ => {
                let activated = store::activate(&mut tx, release, reason, self.node, by).await?;
                let Activation { generation, effective } = activated.ok_or_else(|| {
                    OperateError::conflict(
                        "already-active",
                        format!("{} serves already, or is about to.", release.manifest.version),
                    )
                })?;
                changed(generation, effective)
            }
        };
        detail["generation"] = done.generation.into();
        audit::write(&mut tx, by, None, &format!("plugin.{}", reason.as_str()), &format!("plugin/{plugin}"), detail)
            .await?;
        tx.commit().await?;
        tracing::info!(plugin.name = plugin, plugin.version = done.version, plugin.digest = %done.digest, by, "another release is to serve");
        Ok(done)
    }

    /// Most of a release's last jobs trapped: no node runs it any more. The last good one serves in its place, or nothing,
    /// so that its jobs wait. The attempts that it burnt are given back, and those that died of it come back, at once
    /// or by `make_good`. False: somebody did it before.
    pub async fn quarantine(&self, digest: Digest, counted: &Value, kinds: &[String]) -> Result<bool, OperateError> {
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '2s'").await?;
        let Some(release) = store::get(&mut tx, digest).await? else { return Ok(false) };
        let (plugin, version) = (&release.manifest.name, &release.manifest.version);
        store::lock_plugin(&mut tx, plugin).await?;
        if !store::quarantine(&mut tx, digest, counted).await? {
            return Ok(false);
        }
        let served = store::newest(&mut tx, plugin).await?;
        let (mut now_serves, mut served_jobs) = (None, false);
        if let Some(mut served) = served {
            // Jobs that are held to a release stop it also before it serves.
            if let Some((waiting, _)) = served.waiting.filter(|(_, waiting)| *waiting == digest) {
                store::withdraw(&mut tx, waiting, "it went into quarantine").await?;
                served.waiting = None;
            }
            if served.serving.and_then(|(_, digest)| digest) == Some(digest) {
                served_jobs = true;
                now_serves = self.step_in(&mut tx, plugin, digest, served.waiting).await?;
                // One that waits for the nodes takes its place by itself.
                if now_serves.is_none() && served.waiting.is_none() {
                    store::stop_serving(&mut tx, plugin, Reason::Quarantine, HOST).await?;
                }
            }
        }
        let since = store::serves_since(&mut tx, digest).await?.unwrap_or_else(Utc::now);
        store::owe(&mut tx, digest, since).await?;
        begin_redrive(&mut tx, &died_of(digest, since), REDRIVE_RATE, HOST, true).await?;
        // Whatever is wrong with its jobs must not keep the release in service. `make_good` comes back for them.
        let mut part = tx.begin().await?;
        let given_back = match queue::give_back(&mut part, digest, since, kinds).await {
            Ok(given_back) => {
                part.commit().await?;
                given_back
            }
            Err(error) => {
                tracing::warn!(error = %error, plugin.digest = %digest, "victims of a release are made good a moment later");
                part.rollback().await?;
                0
            }
        };
        let detail = json!({
            "version": version, "digest": digest, "counted": counted, "nowServes": now_serves, "attemptsGivenBack": given_back,
        });
        let then = match &now_serves {
            Some(good) => format!("{good} serves again"),
            None if served_jobs => "nothing serves its job types, and jobs wait".to_owned(),
            None => "no job runs on it any more".to_owned(),
        };
        let message = format!("Most of the last jobs of {plugin} {version} trapped: {then}.");
        let alert = Alert {
            kind: QUARANTINED,
            subject: format!("plugin/{plugin}"),
            tenant: None,
            severity: Severity::Critical,
            message,
            detail: detail.clone(),
        };
        alerts::raise(&mut tx, &[alert]).await?;
        audit::write(&mut tx, HOST, None, "plugin.quarantine", &format!("plugin/{plugin}"), detail).await?;
        tx.commit().await?;
        tracing::error!(plugin.name = plugin, plugin.version = version, plugin.digest = %digest, serves = now_serves, "a release is in quarantine: most of its last jobs trapped");
        self.bell.due_in(Duration::ZERO);
        Ok(true)
    }

    /// The last good release before a bad one serves in its place; its version. Beneath an activation that waits for the
    /// nodes, which may never come: it waits on. `None`: there is none that could.
    async fn step_in(
        &self,
        db: &mut PgConnection,
        plugin: &str,
        bad: Digest,
        waiting: Option<(i64, Digest)>,
    ) -> Result<Option<String>, OperateError> {
        let good = match store::last_good(db, plugin, bad).await? {
            Some(good) => store::get(db, good).await?,
            None => None,
        };
        let Some(good) = good else { return Ok(None) };
        if let Some((waiting, _)) = waiting {
            store::withdraw(db, waiting, "the release that serves went into quarantine; it waits anew").await?;
        }
        let activated = match store::activate(db, &good, Reason::Quarantine, self.node, HOST).await {
            Ok(activated) => activated,
            Err(StoreError::Database(error)) => return Err(error.into()),
            // One of its types is another plugin's by now.
            Err(error) => {
                tracing::warn!(error = %error, "the release before cannot serve again");
                None
            }
        };
        if let Some((waiting, next)) = waiting {
            if let Some(Activation { generation, effective: false }) = activated {
                // Only the newest one may wait. Nodes that have it ready run it, and the others load it.
                store::serve_at_once(db, generation).await?;
            }
            if activated.is_none() || next != good.digest {
                store::wait_anew(db, waiting).await?;
            }
        }
        Ok(activated.map(|_| good.manifest.version))
    }

    /// What releases in quarantine still owe: to jobs that somebody held, and to those that ran on nodes which had not heard
    /// of it yet. `late`: after which time there are none of these any more.
    pub async fn make_good(&self, late: Duration, kinds: &[String]) -> Result<(), OperateError> {
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '5s'").await?;
        for Owed { release, since, is_late } in store::owed(&mut tx, late).await? {
            queue::give_back(&mut tx, release, since, kinds).await?;
            let is_done = is_late && !queue::is_owed(&mut tx, release, since, kinds).await?;
            // Some cannot be started again. They are asked about no oftener than this.
            if is_done || !is_late {
                let died = died_of(release, since);
                if !queue::next_dead(&mut tx, &died, kinds, Uuid::nil(), 1).await?.is_empty() {
                    begin_redrive(&mut tx, &died, REDRIVE_RATE, HOST, true).await?;
                }
            }
            if is_done {
                store::quits(&mut tx, release).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Deletes the bytes of a release that nothing names any more.
    pub async fn delete_release(&self, plugin: &str, digest: Digest, by: &str) -> Result<(), OperateError> {
        let release = self.release(plugin, &Target::Digest(digest)).await?;
        let gone = || OperateError::NoSuchRelease(digest.to_string());
        let mut tx = self.pool.begin_with("SET LOCAL lock_timeout = '5s'").await?;
        // The release only, not its plugin: counting those that name it may take a while, and nobody's rollback waits for it.
        if !store::lock_release(&mut tx, digest).await? {
            return Err(gone());
        }
        let served = store::newest(&mut tx, plugin).await?;
        let names = served.is_some_and(|served| {
            served.serving.and_then(|(_, digest)| digest) == Some(digest)
                || served.waiting.is_some_and(|(_, waiting)| waiting == digest)
        });
        if names {
            let message = format!("{} serves, or is about to; activate another one first.", release.manifest.version);
            return Err(OperateError::conflict("release-serves", message));
        }
        let (live, dead) = queue::naming(&mut tx, digest).await?;
        if live > 0 || dead > 0 {
            let message = format!(
                "{live} live jobs and {dead} dead ones that could be retried name it. Move those that are held to it by POST /plugins/{plugin}/migrate; the dead go with the archive."
            );
            return Err(OperateError::conflict("release-in-use", message));
        }
        if !store::delete(&mut tx, digest, by).await? {
            return Err(gone());
        }
        let detail = json!({ "version": release.manifest.version, "digest": digest });
        audit::write(&mut tx, by, None, "plugin.delete-release", &format!("plugin/{plugin}"), detail).await?;
        Ok(tx.commit().await?)
    }
}

/// Jobs that a release killed. They begin again as if they had not died: nobody asked that a provider's refusal be asked
/// about anew.
fn died_of(release: Digest, since: DateTime<Utc>) -> DeadFilter {
    DeadFilter {
        reason: Some("trapped".to_owned()),
        release: Some(release),
        finished_after: Some(since),
        ..DeadFilter::default()
    }
}

/// The kind of the alert.
const QUARANTINED: &str = "release-quarantined";
