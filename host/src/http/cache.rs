use std::collections::BTreeMap;

use axum::{Json, body::Body, extract::State as Shared, http::HeaderMap, response::Response};
use serde_json::{Value, json};

use super::{
    State,
    body::Fields,
    caller::{OptionalCaller, admin},
    problem::Problem,
};
use crate::{
    auth::{CacheStats, Caller, Role},
    operate::Flush,
};

/// `GET /cache/stats`: what this host keeps in memory and on disk, and of what use it is. A stranger is told counts; what
/// lies on disk is for callers, and the issuers by name for admins.
pub(super) async fn stats(Shared(state): Shared<State>, caller: OptionalCaller) -> Response {
    let auth = state.verifier.stats();
    let catalog = state.submitter.catalog();
    let (leases, config) = state.limiter.stats();
    // To look on disk is more than a stranger gets.
    let artifacts = state.registry.artifacts(caller.known().is_some()).await;
    let mut shown: BTreeMap<&str, Value> = BTreeMap::new();
    shown.insert("artifacts", json!({ "hits": artifacts.hits, "misses": artifacts.misses }));
    let mut show = |name, (hits, misses, entries): (u64, u64, usize)| {
        shown.insert(name, json!({ "hits": hits, "misses": misses, "entries": entries }));
    };
    let of_auth = |stats: CacheStats| (stats.hits, stats.misses, stats.entries);
    show("schemas", (catalog.looks().hits(), catalog.looks().misses(), catalog.known().len()));
    show("jwks", of_auth(auth.keys));
    show("rateLimitLeases", leases);
    show("config", config);
    show("tokens", of_auth(auth.tokens));
    show("revocations", of_auth(auth.revocations));
    if let (Some(_), Some(of_artifacts)) = (caller.known(), shown.get_mut("artifacts")) {
        of_artifacts["entries"] = artifacts.files.into();
        of_artifacts["bytes"] = artifacts.bytes.into();
    }
    if let (Some(Role::Admin), Some(of_keys)) = (caller.known().map(|known| known.role), shown.get_mut("jwks")) {
        of_keys["issuers"] = json!(state.verifier.sets());
    }
    caller.tell(Json(json!({ "caches": shown })))
}

/// `POST /cache/flush`, optionally `{"caches": ["schemas", "jwks", "config"]}`: all nodes read these anew. Never keys of
/// idempotency: they are no cache.
pub(super) async fn flush(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let mut fields = Fields::read_optional(&headers, body, &["caches"]).await?;
    let wanted = match fields.take::<Vec<String>>("caches")? {
        None => Flush::ALL.to_vec(),
        Some(names) => {
            let known = |(n, name): (usize, &String)| {
                Flush::parse(name).ok_or_else(|| {
                    let message = format!("must be one of {}", Flush::ALL.map(Flush::as_str).join(", "));
                    Problem::field(&format!("/caches/{n}"), message)
                })
            };
            names.iter().enumerate().map(known).collect::<Result<Vec<_>, _>>()?
        }
    };
    if wanted.is_empty() {
        return Err(Problem::field("/caches", "is empty; leave it out to flush all"));
    }
    state.operator.flush(&wanted, &caller.subject).await?;
    // The others hear of it; this node has it done when it answers, but for the keys, which are fetched.
    for cache in &wanted {
        let done = match cache {
            Flush::Schemas => state.registry.refresh(&state.pool).await.map(drop),
            Flush::Jwks => {
                state.verifier.flush();
                Ok(())
            }
            Flush::Config => read_config(&state).await,
        };
        done.map_err(|error| Problem::database(&error))?;
    }
    let names: Vec<_> = wanted.iter().map(|cache| cache.as_str()).collect();
    Ok(Json(json!({ "flushed": names })))
}

async fn read_config(state: &State) -> sqlx::Result<()> {
    state.limiter.refresh().await?;
    state.verifier.refresh(&state.pool).await?;
    state.services.refresh().await
}
