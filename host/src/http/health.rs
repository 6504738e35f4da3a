use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::{State, caller::OptionalCaller};
use crate::{auth::Verifier, db::Pool};

/// Longer than this is no answer.
const PROBE: Duration = Duration::from_secs(1);

/// The parts of a host, as last seen; the database is asked at the moment.
#[derive(Clone, Debug)]
pub struct Health {
    pub pool: Pool,
    pub parts: watch::Receiver<BTreeMap<String, Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Degraded,
    Down,
}

impl Health {
    async fn look(&self, verifier: &Verifier) -> (Status, BTreeMap<String, Part>) {
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
        for set in verifier.sets() {
            let status = if set.trouble.is_some() { Status::Degraded } else { Status::Ok };
            parts.insert(format!("jwks.{}", set.issuer), Part { status, detail: set.trouble });
        }
        let worst = parts.values().map(|part| part.status).max().unwrap_or(Status::Ok);
        (worst, parts)
    }
}

/// `GET /health/live`: this process runs. Never asks the database: a restart would not help it.
pub(super) async fn live() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 where nothing can be taken; a degraded host still takes submits. What is wrong with a part is
/// for callers; a stranger hears that something is.
pub(super) async fn ready(Shared(state): Shared<State>, caller: OptionalCaller) -> Response {
    let (status, mut parts) = state.health.look(&state.verifier).await;
    if caller.known().is_none() {
        parts.values_mut().for_each(|part| part.detail = None);
    }
    let code = if status == Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    caller.tell((code, Json(json!({ "status": status, "parts": parts }))))
}

/// `GET /health`: the same picture with the version, always 200; for a stranger nothing but how it is.
pub(super) async fn overview(Shared(state): Shared<State>, caller: OptionalCaller) -> Response {
    let (status, parts) = state.health.look(&state.verifier).await;
    caller.tell(match caller.known() {
        Some(_) => Json(json!({ "status": status, "version": env!("CARGO_PKG_VERSION"), "parts": parts })),
        None => Json(json!({ "status": status })),
    })
}
