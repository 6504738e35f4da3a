use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::watch;

use super::{State, caller::OptionalCaller};
use crate::{
    auth::Verifier,
    db::{self, Pool},
};

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
    async fn look(&self, verifier: &Verifier) -> (Status, BTreeMap<String, Part>) {
        let mut parts = self.parts.borrow().clone();
        parts.insert("pool".to_owned(), self.connections());
        let asked = async { seen(&mut *self.pool.read().await?).await };
        let down = |detail: &str| Part { status: Status::Down, detail: Some(detail.to_owned()) };
        let database = match tokio::time::timeout(PROBE, asked).await {
            Ok(Ok(seen)) => {
                parts.insert("schema".to_owned(), seen.schema());
                parts.extend(seen.paused.iter().map(|name| (format!("provider.{name}"), degraded("is paused"))));
                // In the midst of a failover the way may lead there too early.
                if seen.is_standby { down("is a standby, which takes nothing") } else { OK }
            }
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

    fn connections(&self) -> Part {
        let load = self.pool.load();
        if load.is_exhausted() {
            return degraded(&format!(
                "all {} connections are in use, and {} tasks wait for one",
                load.most, load.waiting
            ));
        }
        OK
    }
}

/// What the database says of itself, and what is paused in it, in one look.
struct Seen {
    is_standby: bool,
    newest_migration: i64,
    /// Providers that are paused for everybody.
    paused: Vec<String>,
}

impl Seen {
    fn schema(&self) -> Part {
        let ours = db::newest_migration();
        if self.newest_migration > ours {
            return degraded(&format!(
                "a newer Usher has migrated the database to {}, and this one knows {ours}: update it",
                self.newest_migration
            ));
        }
        OK
    }
}

async fn seen(db: &mut PgConnection) -> sqlx::Result<Seen> {
    let (is_standby, newest_migration, paused): (bool, i64, Vec<String>) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), (SELECT coalesce(max(version), 0) FROM _sqlx_migrations), \
         ARRAY(SELECT provider FROM provider_pauses WHERE tenant = '' ORDER BY provider)",
    )
    .fetch_one(db)
    .await?;
    Ok(Seen { is_standby, newest_migration, paused })
}

const OK: Part = Part { status: Status::Ok, detail: None };

fn degraded(detail: &str) -> Part {
    Part { status: Status::Degraded, detail: Some(detail.to_owned()) }
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
