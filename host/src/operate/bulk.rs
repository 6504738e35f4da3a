use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{OperateError, Operator, REDRIVE, notify, redrive::Again};
use crate::{
    audit,
    ids::JobId,
    queue::store::{self, DeadFilter},
};

/// What a bulk redrive would do.
#[derive(Debug)]
pub struct Preview {
    pub matches: i64,
    pub sample: Vec<Uuid>,
}

/// A bulk redrive, under way or done.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bulk {
    pub id: Uuid,
    pub filter: serde_json::Value,
    pub rate: i32,
    pub state: String,
    pub redriven: i64,
    pub refused: i64,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub ended_at: Option<DateTime<Utc>>,
}

const SAMPLE: i64 = 20;

/// In the caller's transaction. `as_it_was`: journals are not reopened.
pub(super) async fn begin_redrive(
    db: &mut PgConnection,
    filter: &DeadFilter,
    rate: i32,
    by: &str,
    as_it_was: bool,
) -> sqlx::Result<Uuid> {
    let id = sqlx::query_scalar!(
        "INSERT INTO redrives (filter, rate, created_by, as_it_was) VALUES ($1, $2, $3, $4) RETURNING id",
        serde_json::json!(filter),
        rate,
        by,
        as_it_was,
    )
    .fetch_one(&mut *db)
    .await?;
    notify(db, REDRIVE, &id.to_string()).await?;
    Ok(id)
}

impl Operator {
    pub async fn preview(&self, filter: &DeadFilter) -> Result<Preview, OperateError> {
        let mut db = self.pool.read().await?;
        let (matches, sample) = store::count_dead(&mut db, filter, SAMPLE).await?;
        Ok(Preview { matches, sample })
    }

    /// Begins one; some node's scheduler carries it out, at most `rate` jobs a second.
    pub async fn redrive(&self, filter: &DeadFilter, rate: i32, by: &str) -> Result<Uuid, OperateError> {
        let mut tx = self.pool.begin().await?;
        let id = begin_redrive(&mut tx, filter, rate, by, false).await?;
        let detail = serde_json::json!({ "filter": filter, "rate": rate });
        audit::write(&mut tx, by, filter.tenant.as_deref(), "jobs.redrive", &format!("redrive/{id}"), detail).await?;
        tx.commit().await?;
        Ok(id)
    }

    pub async fn bulk(&self, id: Uuid) -> Result<Option<Bulk>, OperateError> {
        let mut db = self.pool.read().await?;
        let bulk = sqlx::query_as!(
            Bulk,
            r#"
            SELECT id, filter, rate, state, redriven, refused, created_at, created_by, ended_at
            FROM redrives WHERE id = $1
            "#,
            id,
        )
        .fetch_optional(&mut *db)
        .await?;
        Ok(bulk)
    }

    /// One second's worth of one bulk redrive. Returns whether there is more to do. The row's lock keeps two nodes from
    /// doing the same; a node that dies in between has committed nothing of it. `traps`: kinds of errors that are a release's
    /// fault.
    pub async fn step(&self, traps: &[String]) -> Result<bool, OperateError> {
        let mut tx = self.pool.begin_durable("SET LOCAL lock_timeout = '2s'").await?;
        let Some(next) = sqlx::query!(
            r#"
            SELECT id, filter, rate, cursor, created_by, as_it_was FROM redrives WHERE state = 'running'
            -- Any of them: one that cannot go on must not stand before the others.
            ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED
            "#
        )
        .fetch_optional(&mut *tx)
        .await?
        else {
            return Ok(false);
        };
        let filter: DeadFilter = serde_json::from_value(next.filter).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        // A job that trapped under more than one release comes back by a person's word only.
        let but = if next.as_it_was { traps } else { &[] };
        let ids = store::next_dead(&mut tx, &filter, but, next.cursor, i64::from(next.rate)).await?;
        let (mut ready, mut redriven, mut refused) = (Vec::new(), 0_i64, 0_i64);
        for id in &ids {
            // A job that cannot be retried is counted and passed; its half-done changes go with the savepoint.
            let mut one = tx.begin().await?;
            let again = Again { release: None, as_it_was: next.as_it_was };
            match self.retry_in(&mut one, JobId(*id), None, again, &next.created_by).await {
                Ok(place) => {
                    one.commit().await?;
                    ready.extend(place);
                    redriven += 1;
                }
                Err(OperateError::Database(error)) => return Err(error.into()),
                Err(error) => {
                    one.rollback().await?;
                    tracing::info!(job.id = %id, error = %error, "a bulk redrive passes a job");
                    refused += 1;
                }
            }
        }
        let done = ids.len() < usize::try_from(next.rate).unwrap_or(usize::MAX);
        sqlx::query!(
            r#"
            UPDATE redrives
            SET cursor = $2, redriven = redriven + $3, refused = refused + $4,
                state = CASE WHEN $5 THEN 'done' ELSE state END, ended_at = CASE WHEN $5 THEN now() END
            WHERE id = $1
            "#,
            next.id,
            ids.last().copied().unwrap_or(next.cursor),
            redriven,
            refused,
            done,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.bell.ready(&ready);
        Ok(!done)
    }
}
