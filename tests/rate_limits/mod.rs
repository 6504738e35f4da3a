//! How often providers are called, over all nodes: the counting itself, in SQL, then hosts that call an upstream.

mod counting;
mod over_http;
mod through_the_gate;

use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Client, Db};

/// A bucket as a node asks for it: name, rate, burst, tokens wanted ahead.
pub type Asked<'a> = (&'a str, f64, i32, i32);

#[derive(Debug)]
pub struct Taken {
    /// Passes, and after how long; or not, and when to come back.
    pub calls: Vec<(bool, f64)>,
    pub tokens: Vec<i32>,
}

/// The hosts' statement; every call needs all of the buckets.
pub async fn take(pool: &PgPool, buckets: &[Asked<'_>], effects: &[Uuid], patience: f64) -> Taken {
    let pairs = (1..=effects.len()).flat_map(|e| (1..=buckets.len()).map(move |b| (e as i32, b as i32)));
    let (of_effect, of_bucket): (Vec<_>, Vec<_>) = pairs.unzip();
    let (goes, waits, tokens): (Vec<bool>, Vec<f64>, Vec<i32>) =
        sqlx::query_as("SELECT goes, waits, tokens FROM usher_rate_take($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(buckets.iter().map(|b| b.0.to_owned()).collect::<Vec<_>>())
            .bind(buckets.iter().map(|b| b.1).collect::<Vec<_>>())
            .bind(buckets.iter().map(|b| b.2).collect::<Vec<_>>())
            .bind(buckets.iter().map(|b| b.3).collect::<Vec<_>>())
            .bind(effects)
            .bind(of_effect)
            .bind(of_bucket)
            .bind(patience)
            .fetch_one(pool)
            .await
            .unwrap();
    Taken { calls: goes.into_iter().zip(waits).collect(), tokens }
}

pub async fn hold(db: &Db, bucket: &str, seconds: f64, burst: Option<i32>) {
    sqlx::query("SELECT usher_rate_hold($1, $2, $3)")
        .bind(bucket)
        .bind(seconds)
        .bind(burst)
        .execute(&db.pool)
        .await
        .unwrap();
}

pub fn effects(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

pub async fn put(client: &Client, bucket: &str, body: Value) -> (u16, Value) {
    let answer = client.send(Method::PUT, &format!("/rate-limits/{bucket}"), Some(body)).await;
    (answer.status.as_u16(), answer.body)
}

pub fn shown<'a>(list: &'a Value, bucket: &str) -> &'a Value {
    list["rateLimits"].as_array().unwrap().iter().find(|limit| limit["bucket"] == bucket).unwrap_or(&Value::Null)
}
