use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State as Shared},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{
    State,
    body::Fields,
    caller::admin,
    problem::Problem,
    query::{Query, page},
};
use crate::auth::{Caller, RevokeError, is_jti, store};

const PAGE: i64 = 50;
/// A token whose expiry nobody names is kept out for so long.
const A_YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
const TEN_YEARS: Duration = Duration::from_secs(3_660 * 24 * 3600);

/// `POST /revocations` with `{"jti": "…", "exp"?: 1893456000, "issuer"?: "main"}`: the token of that id is let in nowhere
/// any more. 201; saying it again changes nothing but the time, if that is later.
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin(&caller)?;
    let mut fields = Fields::read(&headers, body, &["jti", "exp", "issuer"]).await?;
    let jti: String = fields.take("jti")?.ok_or_else(|| Problem::field("/jti", "is missing"))?;
    if !is_jti(&jti) {
        return Err(Problem::field("/jti", "must have 1 to 255 bytes, none of them a control character"));
    }
    let issuer: Option<String> = fields.take("issuer")?;
    if issuer.as_ref().is_some_and(|issuer| !state.verifier.knows_issuer(issuer)) {
        return Err(Problem::field("/issuer", "is no issuer of this host (auth.issuers)"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let exp = match fields.take::<u64>("exp")? {
        None => now.saturating_add(A_YEAR).as_secs(),
        Some(exp) if exp <= now.as_secs() => {
            return Err(Problem::field("/exp", "is over: such a token is let in no more anyway"));
        }
        Some(exp) if exp > now.saturating_add(TEN_YEARS).as_secs() => {
            return Err(Problem::field("/exp", "is more than ten years ahead; it is in seconds since 1970"));
        }
        Some(exp) => exp,
    };
    let shown = state.verifier.revoke(&state.pool, &jti, issuer.as_deref(), exp, &caller.subject).await?;
    Ok((StatusCode::CREATED, Json(json!(shown))))
}

/// `GET /revocations?limit=&cursor=`: those that count, newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    admin(&caller)?;
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (limit, before) = (query.limit(PAGE)?, query.cursor_of("revocations", |place| place.parse().ok())?);
    let mut db = state.pool.read().await.map_err(|e| Problem::database(&e))?;
    let found = store::list(&mut db, before, limit + 1).await.map_err(|e| Problem::database(&e))?;
    Ok(Json(page("revocations", found, limit, |last| last.id.to_string())))
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::TooMany => Self::new(StatusCode::CONFLICT, "too-many-revocations", format!("{error}.")),
            RevokeError::Expiry => Self::field("/exp", "is no time"),
            RevokeError::Database(error) => Self::database(&error),
        }
    }
}
