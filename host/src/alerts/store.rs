//! All SQL of the room but the two statements of those who raise alerts where something happens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Look, Raised, Transition, Verdict};
use crate::{
    config::{Rule, RuleKind},
    ids::{AlertId, NodeId},
};

/// Takes or keeps the duty and looks at what these rules need, in one statement. `None`: another node has the duty.
pub async fn look(
    db: &mut PgConnection,
    node: NodeId,
    lease: Duration,
    rules: &[Rule],
    own_tenant: &str,
) -> sqlx::Result<Option<Look>> {
    let mut wants: Vec<_> = rules.iter().map(|rule| rule.kind.as_str().to_owned()).collect();
    wants.sort_unstable();
    wants.dedup();
    let counted: Vec<_> = rules
        .iter()
        .filter(|rule| matches!(rule.kind, RuleKind::DeadJobs | RuleKind::NodeLost))
        .map(|rule| {
            serde_json::json!({
                "kind": rule.kind.as_str(), "rule": rule.name, "within": rule.window.as_secs_f64(), "tier": rule.tier,
                "queue": rule.queue, "job_type": rule.job_type, "tenant": rule.tenant,
            })
        })
        .collect();
    let found = sqlx::query_scalar!(
        r#"SELECT usher_look($1, $2, $3, $4, $5) AS "look?""#,
        node.0,
        lease.as_secs_f64(),
        &wants,
        Value::Array(counted),
        own_tenant,
    )
    .fetch_one(db)
    .await?;
    found.map(serde_json::from_value).transpose().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Writes down what the rules said, in the caller's transaction, which holds the duty.
pub async fn apply(db: &mut PgConnection, verdict: &Verdict) -> sqlx::Result<()> {
    if !verdict.ends.is_empty() {
        sqlx::query!("DELETE FROM alert_conditions WHERE subject = ANY ($1)", &verdict.ends).execute(&mut *db).await?;
    }
    if !verdict.begins.is_empty() {
        sqlx::query!(
            "INSERT INTO alert_conditions (subject) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
            &verdict.begins,
        )
        .execute(&mut *db)
        .await?;
    }
    if !verdict.fires.is_empty() {
        fire(db, verdict).await?;
    }
    if !verdict.lasts.is_empty() {
        last(db, verdict).await?;
    }
    if !verdict.clears.is_empty() {
        sqlx::query!(
            "UPDATE alerts SET clear_since = now() WHERE id = ANY ($1) AND clear_since IS NULL AND state <> 'resolved'",
            &ids(&verdict.clears),
        )
        .execute(&mut *db)
        .await?;
    }
    if !verdict.resolves.is_empty() {
        sqlx::query!(
            r#"
            UPDATE alerts SET state = 'resolved', changed_at = now(), changed_by = 'usher', tell_at = NULL
            WHERE id = ANY ($1) AND state <> 'resolved'
            "#,
            &ids(&verdict.resolves),
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

fn ids(alerts: &[AlertId]) -> Vec<Uuid> {
    alerts.iter().map(|id| id.0).collect()
}

async fn fire(db: &mut PgConnection, verdict: &Verdict) -> sqlx::Result<()> {
    macro_rules! column {
        ($f:ident => $value:expr) => {
            verdict.fires.iter().map(|$f| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query!(
        r#"
        INSERT INTO alerts (kind, rule, subject, tenant, severity, value, message, detail, silenced_until)
        SELECT f.kind, f.rule, f.subject, f.tenant, f.severity, f.value, f.message, f.detail,
               -- What somebody silenced stays so when it comes again.
               (SELECT max(p.silenced_until) FROM alerts p
                WHERE p.kind = f.kind AND p.subject = f.subject AND p.silenced_until > now())
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::jsonb[])
             AS f (kind, rule, subject, tenant, severity, value, message, detail)
        ORDER BY f.kind, f.subject
        ON CONFLICT (kind, subject) WHERE state <> 'resolved' DO NOTHING
        "#,
        &column!(f => f.kind.to_owned()),
        &column!(f => f.rule.clone()),
        &column!(f => f.subject.clone()),
        &column!(f => f.tenant.clone()) as &[Option<String>],
        &column!(f => f.severity.as_str().to_owned()),
        &column!(f => f.value),
        &column!(f => f.message.clone()),
        &column!(f => f.detail.clone()),
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn last(db: &mut PgConnection, verdict: &Verdict) -> sqlx::Result<()> {
    macro_rules! column {
        ($l:ident => $value:expr) => {
            verdict.lasts.iter().map(|$l| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query!(
        r#"
        UPDATE alerts a SET value = l.value, message = l.message, detail = l.detail, last_at = now(), clear_since = NULL
        FROM unnest($1::uuid[], $2::float8[], $3::text[], $4::jsonb[]) AS l (id, value, message, detail)
        WHERE a.id = l.id AND a.state <> 'resolved'
        "#,
        &column!(l => l.id.0),
        &column!(l => l.value),
        &column!(l => l.message.clone()),
        &column!(l => l.detail.clone()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An alert that somebody is to be told of.
#[derive(Debug)]
pub struct Owed {
    pub id: AlertId,
    pub kind: String,
    pub subject: String,
    pub rule: Option<String>,
    pub tenant: Option<String>,
    pub severity: String,
    pub message: String,
    /// How often it was told before.
    pub told: i32,
}

/// Those that are to be told now, oldest first, at most so many; nobody changes them before the caller's end.
pub async fn owed(db: &mut PgConnection, most: i64) -> sqlx::Result<Vec<Owed>> {
    sqlx::query_as!(
        Owed,
        r#"
        SELECT id AS "id: AlertId", kind, subject, rule, tenant, severity, message, told
        FROM alerts
        WHERE tell_at <= now() AND state = 'firing' AND (silenced_until IS NULL OR silenced_until <= now())
        ORDER BY tell_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
        "#,
        most,
    )
    .fetch_all(db)
    .await
}

/// They are told, by what the caller commits with it; each again after its pause, where it has one.
pub async fn told(db: &mut PgConnection, alerts: &[(AlertId, Duration)]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE alerts a
        SET told = a.told + 1, tell_at = CASE WHEN t.pause > 0 THEN now() + make_interval(secs => t.pause) END
        FROM unnest($1::uuid[], $2::float8[]) AS t (id, pause) WHERE a.id = t.id
        "#,
        &alerts.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        &alerts.iter().map(|(_, pause)| pause.as_secs_f64()).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which alerts.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Its own only; `None`: all.
    pub tenant: Option<&'a str>,
    /// A state, or `open`: any but resolved.
    pub state: Option<&'a str>,
    pub severity: Option<&'a str>,
    pub rule: Option<&'a str>,
    pub kind: Option<&'a str>,
    /// Older than this one: when it was raised, and its id.
    pub before: Option<(DateTime<Utc>, AlertId)>,
}

/// Newest first.
pub async fn list(db: &mut PgConnection, filter: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Raised>> {
    sqlx::query_as!(
        Raised,
        r#"
        SELECT id AS "id: AlertId", kind, subject, rule, tenant, severity, message, detail, state, count, value, first_at,
               last_at, changed_at, changed_by,
               CASE WHEN silenced_until > now() THEN silenced_until END AS silenced_until
        FROM alerts
        WHERE ($1::text IS NULL OR tenant = $1)
          AND ($2::text IS NULL OR state = $2 OR ($2 = 'open' AND state <> 'resolved'))
          AND ($3::text IS NULL OR severity = $3) AND ($4::text IS NULL OR rule = $4) AND ($5::text IS NULL OR kind = $5)
          AND ($6::timestamptz IS NULL OR (first_at, id) < ($6, $7::uuid))
        ORDER BY first_at DESC, id DESC
        LIMIT $8
        "#,
        filter.tenant,
        filter.state,
        filter.severity,
        filter.rule,
        filter.kind,
        filter.before.map(|(at, _)| at),
        filter.before.map(|(_, id)| id.0),
        limit,
    )
    .fetch_all(db)
    .await
}

/// One; `tenant` restricts to its own.
pub async fn get(db: &mut PgConnection, id: AlertId, tenant: Option<&str>) -> sqlx::Result<Option<Raised>> {
    sqlx::query_as!(
        Raised,
        r#"
        SELECT id AS "id: AlertId", kind, subject, rule, tenant, severity, message, detail, state, count, value, first_at,
               last_at, changed_at, changed_by,
               CASE WHEN silenced_until > now() THEN silenced_until END AS silenced_until
        FROM alerts WHERE id = $1 AND ($2::text IS NULL OR tenant = $2)
        "#,
        id.0,
        tenant,
    )
    .fetch_optional(db)
    .await
}

/// What became of an alert, oldest first.
pub async fn history(db: &mut PgConnection, id: AlertId) -> sqlx::Result<Vec<Transition>> {
    sqlx::query_as!(
        Transition,
        r#"SELECT at, state, who AS by, until FROM alert_transitions WHERE alert = $1 ORDER BY n LIMIT 1000"#,
        id.0,
    )
    .fetch_all(db)
    .await
}

/// What a person's word needs to know. The row is the caller's until it ends.
#[derive(Debug)]
pub struct Locked {
    pub kind: String,
    pub subject: String,
    pub rule: Option<String>,
    pub tenant: Option<String>,
    pub state: String,
}

pub async fn lock(db: &mut PgConnection, id: AlertId) -> sqlx::Result<Option<Locked>> {
    sqlx::query_as!(Locked, "SELECT kind, subject, rule, tenant, state FROM alerts WHERE id = $1 FOR UPDATE", id.0,)
        .fetch_optional(db)
        .await
}

/// It is in another state, by a person's word; nobody is told of it any more.
pub async fn set_state(db: &mut PgConnection, id: AlertId, state: &str, by: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE alerts SET state = $2, changed_at = now(), changed_by = $3, tell_at = NULL WHERE id = $1",
        id.0,
        state,
        by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Nobody is told of it for so long; no time at all ends a silence.
pub async fn silence(db: &mut PgConnection, id: AlertId, time: Duration, by: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE alerts SET silenced_until = now() + make_interval(secs => $2), changed_at = now(), changed_by = $3
        WHERE id = $1
        "#,
        id.0,
        time.as_secs_f64(),
        by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What lasts is no news until it is over once.
pub async fn mute(db: &mut PgConnection, subject: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO alert_conditions (subject, muted) VALUES ($1, true) ON CONFLICT (subject) DO UPDATE SET muted = true",
        subject,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go alerts that have been over for so long, and nodes that no rule counts any more, at most `most` of each.
pub async fn clear_up(db: &mut PgConnection, keep: Duration, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH n AS (DELETE FROM lost_nodes WHERE lost_at < now() - interval '30 days')
        DELETE FROM alerts WHERE id IN (
            SELECT id FROM alerts WHERE state = 'resolved' AND changed_at < now() - make_interval(secs => $1)
            ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        "#,
        keep.as_secs_f64(),
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}
