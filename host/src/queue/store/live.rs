use sqlx::PgConnection;

/// How many live jobs a tenant has in a queue, for each pair of them, in their order; none is counted beyond its `most`.
pub async fn live(
    db: &mut PgConnection,
    queues: &[String],
    tenants: &[String],
    most: &[i64],
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"
        SELECT (
            -- By the index of a tenant's jobs.
            SELECT count(*) FROM (
                SELECT FROM jobs j WHERE j.tenant = u.tenant AND j.queue = u.queue LIMIT u.most
            ) AS first
        ) AS "live!"
        FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS u (queue, tenant, most, n)
        ORDER BY u.n
        "#,
        queues,
        tenants,
        most,
    )
    .fetch_all(db)
    .await
}
