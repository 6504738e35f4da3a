use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{State, pressure::Held, problem::Problem};
use crate::auth::{AuthError, Caller, Role, Scope, is_tenant};

/// An argument of this type is the proof that somebody was let in.
impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = identify(parts, state).await?;
        if let Some(held) = parts.extensions.get::<Held>() {
            held.is_of(&caller);
        }
        Ok(caller)
    }
}

/// Who asks where strangers may ask, too.
pub(super) struct OptionalCaller(Result<Caller, Stranger>);

/// Why nobody is known.
enum Stranger {
    /// There was nothing to be known by.
    Anonymous,
    /// There was, and it was no good.
    Invalid,
}

/// Tells who the answer is for.
const AUTHENTICATION: &str = "usher-authentication";

impl FromRequestParts<State> for OptionalCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        if !["authorization", "signature", "signature-input"].iter().any(|name| parts.headers.contains_key(*name)) {
            return Ok(Self(Err(Stranger::Anonymous)));
        }
        match identify(parts, state).await {
            Ok(caller) => Ok(Self(Ok(caller))),
            Err(problem) if state.verifier.is_strict() => Err(problem),
            Err(_) => Ok(Self(Err(Stranger::Invalid))),
        }
    }
}

impl OptionalCaller {
    /// `None`: a stranger.
    pub fn known(&self) -> Option<&Caller> {
        self.0.as_ref().ok()
    }

    /// The answer, with a header that says for whom it is: less is in it for a stranger, who may not know to be one.
    pub fn tell(&self, answer: impl IntoResponse) -> Response {
        let who = match self.0 {
            Ok(_) => "caller",
            Err(Stranger::Anonymous) => "anonymous",
            Err(Stranger::Invalid) => "invalid",
        };
        ([(HeaderName::from_static(AUTHENTICATION), HeaderValue::from_static(who))], answer).into_response()
    }
}

async fn identify(parts: &Parts, state: &State) -> Result<Caller, Problem> {
    // A service signed the request; `signed` has checked it.
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return Err(AuthError::Missing.into()) };
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(AuthError::Missing)?;
    Ok(state.verifier.admit(token).await?)
}

/// Only admins.
pub(super) fn admin(caller: &Caller) -> Result<(), Problem> {
    match caller.role {
        Role::Admin => Ok(()),
        Role::VenueAdmin | Role::User | Role::Service => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may do this."))
        }
    }
}

/// Admins, and venue admins for their own tenant: the tenant that the change is limited to.
pub(super) fn changes(caller: &Caller) -> Result<Option<&str>, Problem> {
    match caller.role {
        Role::Admin | Role::VenueAdmin => reads(caller),
        Role::User | Role::Service => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin or a venue admin may do this."))
        }
    }
}

/// Who may submit many at once.
pub(super) fn submits_many(caller: &Caller) -> Result<(), Problem> {
    match caller.role {
        Role::Admin | Role::VenueAdmin | Role::Service => Ok(()),
        Role::User => {
            let message = "Only an admin, a venue admin or a service may do this.";
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message))
        }
    }
}

/// Whether the caller may submit jobs of this type: all may, but services whose key names others.
pub(super) fn may_submit(caller: &Caller, job_type: &str) -> Result<(), Problem> {
    match &caller.scope {
        Some(scope) if !scope.has_type(job_type) => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "This key is not for jobs of this type."))
        }
        _ => Ok(()),
    }
}

/// The tenant that a read is limited to: `None` for an admin, who sees all. A key of several tenants says which by a header.
pub(super) fn reads(caller: &Caller) -> Result<Option<&str>, Problem> {
    match (caller.role, &caller.tenant) {
        (Role::Admin, _) => Ok(None),
        (_, Some(tenant)) => Ok(Some(tenant)),
        (_, None) if caller.scope.is_some() => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "tenant-needed",
            "This key is for more than one tenant: say which by X-Tenant-ID, and sign it.",
        )),
        // The verifier lets nobody in like this; if it did, they would see nothing.
        (_, None) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token names no tenant.")),
    }
}

/// Users act for the tenant of their token. An admin may name one, and must if the token does not. A service names one of its
/// key's, unless there is only one.
pub(super) fn acts_for(caller: &Caller, named: Option<String>) -> Result<String, Problem> {
    if let Some(scope) = &caller.scope {
        return within(scope, caller.tenant.as_deref(), named);
    }
    match (caller.role, named, &caller.tenant) {
        (Role::Admin, Some(named), _) if is_tenant(&named) => Ok(named),
        (Role::Admin, Some(_), _) => Err(Problem::field("/tenant", "must have 1 to 128 characters")),
        (Role::Admin, None, None) => Err(Problem::field("/tenant", "is missing, and the token names none")),
        (_, Some(_), _) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may name a tenant.")),
        (_, None, Some(own)) => Ok(own.clone()),
        (_, None, None) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token names no tenant.")),
    }
}

/// `own`: what the request's header names, or the key's only tenant.
fn within(scope: &Scope, own: Option<&str>, named: Option<String>) -> Result<String, Problem> {
    match (named, own) {
        (Some(named), _) if !is_tenant(&named) => Err(Problem::field("/tenant", "must have 1 to 128 characters")),
        (Some(named), _) if !scope.has_tenant(&named) => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "This key is not for this tenant."))
        }
        (Some(named), Some(own)) if named != own => Err(Problem::field("/tenant", "contradicts X-Tenant-ID")),
        (Some(named), _) => Ok(named),
        (None, Some(own)) => Ok(own.to_owned()),
        (None, None) => {
            Err(Problem::field("/tenant", "is missing: this key is for more than one, and X-Tenant-ID names none"))
        }
    }
}
