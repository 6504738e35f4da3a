use sqlx::PgConnection;

use crate::queue::Ready;

/// A line of jobs that run one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub queue: String,
    pub tenant: String,
    pub key: String,
}

/// What a transaction has set free, or filled up.
#[derive(Debug, Default)]
pub struct Freed {
    pub lines: Vec<Line>,
    pub slots: bool,
}

impl Freed {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.slots
    }
}

/// Lets those go on that waited for it, in the transaction that set it free.
pub async fn go_on(db: &mut PgConnection, freed: &Freed) -> sqlx::Result<Vec<Ready>> {
    if freed.is_empty() {
        return Ok(Vec::new());
    }
    if !freed.lines.is_empty() {
        sqlx::query!(
            "SELECT usher_next_turns($1, $2, $3)",
            &freed.lines.iter().map(|line| line.queue.clone()).collect::<Vec<_>>(),
            &freed.lines.iter().map(|line| line.tenant.clone()).collect::<Vec<_>>(),
            &freed.lines.iter().map(|line| line.key.clone()).collect::<Vec<_>>(),
        )
        .execute(&mut *db)
        .await?;
    }
    sqlx::query_as!(
        Ready,
        r#"SELECT queue AS "queue!", priority AS "priority!", lane AS "lane!", ord AS "ord!" FROM usher_take_slots()"#
    )
    .fetch_all(db)
    .await
}

/// A limit, and how much of it is taken.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    pub scope: String,
    pub max: i32,
    /// Ready or running, in the cluster; of its queue or type.
    pub used: i64,
    pub waiting: i64,
}

pub async fn limits(db: &mut PgConnection) -> sqlx::Result<Vec<Limit>> {
    sqlx::query_as!(
        Limit,
        r#"
        SELECT l.scope, l.max,
               (SELECT count(*) FROM jobs j
                WHERE j.limited AND j.ord IS NOT NULL
                  AND CASE l.kind WHEN 'queue' THEN j.queue = l.name WHEN 'type' THEN j.job_type = l.name END) AS "used!",
               (SELECT count(*) FROM jobs j
                WHERE j.waits = 'slot'
                  AND CASE l.kind WHEN 'queue' THEN j.queue = l.name WHEN 'type' THEN j.job_type = l.name END) AS "waiting!"
        FROM (SELECT scope, max, (regexp_match(scope, '(queue|type)/'))[1] AS kind,
                     regexp_replace(scope, '^(node/)?(queue|type)/', '') AS name FROM limits) AS l
        ORDER BY l.scope
        "#
    )
    .fetch_all(db)
    .await
}

/// Sets a limit (`None`: takes it away). What is ready and not yet claimed steps back behind it; what runs, runs on.
pub async fn set_limit(db: &mut PgConnection, scope: &str, max: Option<i32>, by: &str) -> sqlx::Result<Vec<Ready>> {
    match max {
        Some(max) => {
            sqlx::query!(
                r#"
                INSERT INTO limits (scope, max, changed_by) VALUES ($1, $2, $3)
                ON CONFLICT (scope) DO UPDATE SET max = $2, changed_at = now(), changed_by = $3
                "#,
                scope,
                max,
                by,
            )
            .execute(&mut *db)
            .await?;
            if let Some((kind, name)) = cluster(scope) {
                step_back(db, kind, name).await?;
            }
        }
        None => {
            sqlx::query!("DELETE FROM limits WHERE scope = $1", scope).execute(&mut *db).await?;
        }
    }
    if cluster(scope).is_none() {
        return Ok(Vec::new());
    }
    let freed = Freed { lines: Vec::new(), slots: true };
    let mut ready = Vec::new();
    loop {
        let more = go_on(db, &freed).await?;
        let full = more.len() == 1_000;
        ready.extend(more);
        if !full {
            return Ok(ready);
        }
    }
}

/// What is ready and not yet claimed waits for a slot like all others. What runs is left alone, and what somebody has
/// locked too: settles lock jobs before limits, and this the other way round.
async fn step_back(db: &mut PgConnection, kind: &str, name: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE jobs j
        SET limited = true,
            state  = CASE WHEN j.state = 'ready' THEN 'blocked' ELSE j.state END,
            waits  = CASE WHEN j.state = 'ready' THEN 'slot' ELSE j.waits END,
            ord    = CASE WHEN j.state = 'ready' THEN NULL ELSE j.ord END,
            run_at = CASE WHEN j.state = 'ready' THEN 'infinity' ELSE j.run_at END
        FROM (
            SELECT tier, id FROM jobs
            WHERE CASE $1 WHEN 'queue' THEN queue = $2 ELSE job_type = $2 END
              AND state IN ('scheduled', 'blocked', 'ready') AND lane <> 99
            FOR UPDATE SKIP LOCKED
        ) AS own
        WHERE j.tier = own.tier AND j.id = own.id
        "#,
        kind,
        name,
    )
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// What of a limit the whole cluster counts, as kind and name: all but the limits that a node sees to by itself.
fn cluster(scope: &str) -> Option<(&str, &str)> {
    match scope.split_once('/')? {
        ("node", rest) => rest.split_once('/').filter(|(kind, _)| *kind == "type"),
        whole => Some(whole),
    }
}

/// Lets those go on for which there is room; a node that came brings more of it.
pub async fn take_slots(db: &mut PgConnection) -> sqlx::Result<Vec<Ready>> {
    go_on(db, &Freed { lines: Vec::new(), slots: true }).await
}
