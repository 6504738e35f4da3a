use chrono::NaiveDate;
use serde::Serialize;
use sqlx::PgConnection;

use crate::releases::Metered;

/// What a plugin used on a day, for one tenant or for all.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageDay)]
pub struct Used {
    pub day: NaiveDate,
    pub attempts: i64,
    pub failed: i64,
    pub cpu_ms: f64,
    /// Bytes, of the attempt that used most.
    pub memory_peak: i64,
    pub effects: i64,
    pub log_bytes: i64,
}

/// Adds what was metered to the day that it is now (UTC).
pub async fn add_usage(db: &mut PgConnection, metered: &Metered) -> sqlx::Result<()> {
    // By plugin and tenant: one order of locks for all nodes.
    let (mut plugins, mut tenants, mut numbers) = (Vec::new(), Vec::new(), [const { Vec::new() }; 6]);
    for ((plugin, tenant), used) in metered {
        plugins.push(plugin.clone());
        tenants.push(tenant.clone());
        let all = [used.attempts, used.failed, used.cpu_us, used.memory_peak, used.effects, used.log_bytes];
        for (column, value) in numbers.iter_mut().zip(all) {
            column.push(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
    let [attempts, failed, cpu_us, memory_peak, effects, log_bytes] = numbers;
    sqlx::query!(
        r#"
        INSERT INTO plugin_usage AS u (day, plugin, tenant, attempts, failed, cpu_us, memory_peak, effects, log_bytes)
        SELECT (now() AT TIME ZONE 'UTC')::date, n.* FROM
            unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS n
        ON CONFLICT (plugin, day, tenant) DO UPDATE
        SET attempts = u.attempts + excluded.attempts, failed = u.failed + excluded.failed,
            cpu_us = u.cpu_us + excluded.cpu_us, memory_peak = greatest(u.memory_peak, excluded.memory_peak),
            effects = u.effects + excluded.effects, log_bytes = u.log_bytes + excluded.log_bytes
        "#,
        &plugins,
        &tenants,
        &attempts,
        &failed,
        &cpu_us,
        &memory_peak,
        &effects,
        &log_bytes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The last `days`, newest first; `tenant` restricts to its own.
pub async fn usage(db: &mut PgConnection, plugin: &str, tenant: Option<&str>, days: i32) -> sqlx::Result<Vec<Used>> {
    sqlx::query_as!(
        Used,
        r#"
        SELECT day, sum(attempts)::bigint AS "attempts!", sum(failed)::bigint AS "failed!",
               sum(cpu_us)::float8 / 1000 AS "cpu_ms!", max(memory_peak) AS "memory_peak!",
               sum(effects)::bigint AS "effects!", sum(log_bytes)::bigint AS "log_bytes!"
        FROM plugin_usage
        WHERE plugin = $1 AND day > (now() AT TIME ZONE 'UTC')::date - $3::int AND ($2::text IS NULL OR tenant = $2)
        GROUP BY day ORDER BY day DESC
        "#,
        plugin,
        tenant,
        days,
    )
    .fetch_all(db)
    .await
}

/// Drops what is older than so many days, at most `most` rows of it.
pub async fn clear_usage(db: &mut PgConnection, days: i32, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM plugin_usage WHERE (plugin, day, tenant) IN
            (SELECT plugin, day, tenant FROM plugin_usage WHERE day < (now() AT TIME ZONE 'UTC')::date - $1::int LIMIT $2)
        "#,
        days,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}
