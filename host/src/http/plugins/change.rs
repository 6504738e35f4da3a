use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{flags, known, refused};
use crate::{
    auth::Caller,
    http::{State, body::Fields, caller::admin, problem::Problem},
    ids::Digest,
    operate::{Asked, Changed, Mode, Target},
    releases::{
        Stored,
        store::{Reason, StoreError},
    },
    runtime::{Place, PublishError},
};

/// `POST /plugins/{name}/activate {"version" | "digest"}`. `?unverified=true`: it serves whatever `plugins.require_verify`
/// finds.
pub(in crate::http) async fn activate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let name = known(name)?;
    let mut unverified = false;
    flags(query.as_deref(), &mut [("unverified", &mut unverified)])?;
    let target = target(&mut Fields::read(&headers, body, &["version", "digest"]).await?)?
        .ok_or_else(|| Problem::field("/version", "is missing; say version or digest"))?;
    let release = state.operator.release(&name, &target).await?;
    change(&state, &release, Reason::Activate, unverified, &caller).await
}

/// `POST /plugins/{name}/rollback`: to the release that served before, or `{"version" | "digest"}`. `?unverified=true` as
/// above, for one that never served.
pub(in crate::http) async fn rollback(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let name = known(name)?;
    let mut unverified = false;
    flags(query.as_deref(), &mut [("unverified", &mut unverified)])?;
    let release = match target(&mut Fields::read_optional(&headers, body, &["version", "digest"]).await?)? {
        Some(target) => state.operator.release(&name, &target).await?,
        None => state.operator.release_before(&name).await?,
    };
    change(&state, &release, Reason::Rollback, unverified, &caller).await
}

/// 200 where it serves now, 202 where it waits for other nodes.
async fn change(
    state: &State,
    release: &Stored,
    reason: Reason,
    unverified: bool,
    caller: &Caller,
) -> Result<(StatusCode, Json<Value>), Problem> {
    // Nobody is sent to a release that cannot run.
    let ready = state.registry.by_digest(&state.pool, release.digest).await.map_err(|error| cannot_run(&error))?;
    let asked = state.registry.require_verified(&state.pool, &ready, unverified).await;
    let report = asked.map_err(|error| refused("Nothing was changed", &error, Place::default()))?;
    let asked = report.as_ref().map(|report| Asked { passed: report.vouches(), on_record: report.on_record() });
    let done = state.operator.activate(release, reason, asked, &caller.subject).await?;
    // This node swaps before it answers; the others hear of it.
    if let Err(error) = state.registry.refresh(&state.pool).await {
        tracing::warn!(error = %error, "this node could not swap at once; it will");
    }
    let code = if done.effective { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut shown = shown(&release.manifest.name, &done);
    shown["verified"] = report.map_or(Value::Null, |report| report.to_json());
    Ok((code, Json(shown)))
}

/// Nothing was changed, since the release cannot be had here: for now, or at all.
fn cannot_run(error: &PublishError) -> Problem {
    match error {
        PublishError::Store(StoreError::Database(error)) => Problem::database(error),
        error if error.is_passing() => Problem::busy("The release could not be loaded just now; nothing was changed."),
        error => {
            let told = error.told();
            let detail = format!("Nothing was changed: {}.", told.trim_end_matches('.'));
            Problem::new(StatusCode::CONFLICT, "release-cannot-run", detail)
        }
    }
}

fn shown(name: &str, done: &Changed) -> Value {
    json!({
        "name": name,
        "version": done.version,
        "digest": done.digest,
        "generation": done.generation,
        "state": if done.effective { "active" } else { "waiting" },
    })
}

fn target(fields: &mut Fields) -> Result<Option<Target>, Problem> {
    let (version, digest) = (fields.take::<String>("version")?, fields.take::<Digest>("digest")?);
    match (version, digest) {
        (Some(_), Some(_)) => Err(Problem::field("/digest", "say version or digest, not both")),
        (Some(version), None) if version.contains('\0') || version.len() > 64 => {
            Err(Problem::field("/version", "is no version such as 1.2.0"))
        }
        (Some(version), None) => Ok(Some(Target::Version(version))),
        (None, digest) => Ok(digest.map(Target::Digest)),
    }
}

/// `POST /plugins/{name}/retire {"mode": "drain" | "cancel"}`. 202: it goes on until the last job of its types is gone.
pub(in crate::http) async fn retire(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let name = known(name)?;
    let mut fields = Fields::read(&headers, body, &["mode"]).await?;
    let mode = match fields.take::<String>("mode")?.as_deref() {
        Some("drain") => Mode::Drain,
        Some("cancel") => Mode::Cancel,
        Some(_) => return Err(Problem::field("/mode", "is drain or cancel")),
        None => return Err(Problem::field("/mode", "is missing: drain lets waiting jobs go on, cancel ends them")),
    };
    let jobs = state.operator.retire(&name, mode, &caller.subject).await?;
    if let Err(error) = state.registry.refresh(&state.pool).await {
        tracing::warn!(error = %error, "this node hears of a retirement later");
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "name": name, "state": "retiring", "mode": mode.as_str(), "jobs": jobs }))))
}

/// `DELETE /plugins/{name}/releases/{digest}`: the bytes of a release that nothing names any more.
pub(in crate::http) async fn delete_release(
    Shared(state): Shared<State>,
    caller: Caller,
    Path((name, digest)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    admin(&caller)?;
    let name = known(name)?;
    let digest: Digest = digest.parse().map_err(|message: String| Problem::field("/digest", message))?;
    state.operator.delete_release(&name, digest, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /plugins/{name}/migrate {"from", "to"}`, digests or versions: jobs that are held to one release go to another.
/// `?unverified=true`: also to one that has never served.
pub(in crate::http) async fn migrate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let name = known(name)?;
    let mut unverified = false;
    flags(query.as_deref(), &mut [("unverified", &mut unverified)])?;
    let mut fields = Fields::read(&headers, body, &["from", "to"]).await?;
    let from = named(&state, &name, &mut fields, "from").await?;
    let to = named(&state, &name, &mut fields, "to").await?;
    if from.digest == to.digest {
        return Err(Problem::field("/to", "is the release that they are held to"));
    }
    state.registry.by_digest(&state.pool, to.digest).await.map_err(|error| cannot_run(&error))?;
    let done = state.operator.migrate(&from, &to, unverified, &caller.subject).await?;
    let left = done.running + done.in_doubt + done.refused + done.not_granted;
    Ok(Json(
        json!({ "name": name, "from": from.digest, "to": to.digest, "moved": done.moved, "left": left, "leftBecause": {
        "running": done.running, "inDoubt": done.in_doubt, "refused": done.refused, "notGranted": done.not_granted,
    } }),
    ))
}

/// The release whose version or digest a field says.
async fn named(state: &State, plugin: &str, fields: &mut Fields, field: &str) -> Result<Stored, Problem> {
    let pointer = format!("/{field}");
    let said: String =
        fields.take(field)?.ok_or_else(|| Problem::field(&pointer, "is missing: a version or a digest"))?;
    if said.len() > 80 || said.contains('\0') {
        return Err(Problem::field(&pointer, "is no version and no digest"));
    }
    let target = said.parse().map_or(Target::Version(said), Target::Digest);
    Ok(state.operator.release(plugin, &target).await?)
}
