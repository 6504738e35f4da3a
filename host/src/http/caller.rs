use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};

use super::{State, problem::Problem};
use crate::auth::{AuthError, Caller, Role, is_tenant};

/// An argument of this type is the proof that somebody was let in.
impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(AuthError::Missing.into()) };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(AuthError::Missing)?;
        Ok(state.verifier.verify(token)?)
    }
}

/// Only admins.
pub(super) fn admin(caller: &Caller) -> Result<(), Problem> {
    match caller.role {
        Role::Admin => Ok(()),
        Role::VenueAdmin | Role::User => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may do this."))
        }
    }
}

/// Admins, and venue admins for their own tenant: the tenant that the change is limited to.
pub(super) fn changes(caller: &Caller) -> Result<Option<&str>, Problem> {
    match caller.role {
        Role::Admin | Role::VenueAdmin => reads(caller),
        Role::User => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin or a venue admin may do this."))
        }
    }
}

/// The tenant that a read is limited to: `None` for an admin, who sees all.
pub(super) fn reads(caller: &Caller) -> Result<Option<&str>, Problem> {
    match (caller.role, &caller.tenant) {
        (Role::Admin, _) => Ok(None),
        (_, Some(tenant)) => Ok(Some(tenant)),
        // The verifier lets nobody in like this; if it did, they would see nothing.
        (_, None) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token names no tenant.")),
    }
}

/// Users act for the tenant of their token. An admin may name one, and must if the token does not.
pub(super) fn acts_for(caller: &Caller, named: Option<String>) -> Result<String, Problem> {
    match (caller.role, named, &caller.tenant) {
        (Role::Admin, Some(named), _) if is_tenant(&named) => Ok(named),
        (Role::Admin, Some(_), _) => Err(Problem::field("/tenant", "must have 1 to 128 characters")),
        (Role::Admin, None, None) => Err(Problem::field("/tenant", "is missing, and the token names none")),
        (_, Some(_), _) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "Only an admin may name a tenant.")),
        (_, None, Some(own)) => Ok(own.clone()),
        (_, None, None) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token names no tenant.")),
    }
}
