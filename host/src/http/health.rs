use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State as Shared, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::State;
use crate::db::Pool;

/// Longer than this is no answer.
const PROBE: Duration = Duration::from_secs(1);

/// The parts of a host, as last seen; the database is asked at the moment.
#[derive(Clone, Debug)]
pub struct Health {
    pub pool: Pool,
    pub parts: watch::Receiver<BTreeMap<String, Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = HealthPart)]
pub struct Part {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
pub enum Status {
    Ok,
    Degraded,
    Down,
}

impl Health {
    async fn look(&self) -> (Status, BTreeMap<String, Part>) {
        let mut parts = self.parts.borrow().clone();
        let asked = async {
            sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()").fetch_one(&mut *self.pool.read().await?).await
        };
        let down = |detail: &str| Part { status: Status::Down, detail: Some(detail.to_owned()) };
        let database = match tokio::time::timeout(PROBE, asked).await {
            Ok(Ok(false)) => Part { status: Status::Ok, detail: None },
            // In the midst of a failover the way may lead there too early.
            Ok(Ok(true)) => down("is a standby, which takes nothing"),
            Ok(Err(_)) | Err(_) => down("does not answer"),
        };
        parts.insert("database".to_owned(), database);
        let worst = parts.values().map(|part| part.status).max().unwrap_or(Status::Ok);
        (worst, parts)
    }
}

/// `GET /health/live`: this process runs. Never asks the database: a restart would not help it.
pub(super) async fn live() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 where nothing can be taken; a degraded host still takes submits.
pub(super) async fn ready(Shared(state): Shared<State>) -> impl IntoResponse {
    let (status, parts) = state.health.look().await;
    let code = if status == Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(json!({ "status": status, "parts": parts })))
}

/// `GET /health`: the same picture, always 200.
pub(super) async fn overview(Shared(state): Shared<State>) -> impl IntoResponse {
    let (status, parts) = state.health.look().await;
    Json(json!({ "status": status, "version": env!("CARGO_PKG_VERSION"), "parts": parts }))
}
