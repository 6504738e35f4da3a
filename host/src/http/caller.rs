use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};

use super::{State, problem::Problem};
use crate::auth::{AuthError, Caller, Role};

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

/// The tenant that a read is limited to: `None` for an admin, who sees all.
pub(super) fn reads(caller: &Caller) -> Result<Option<&str>, Problem> {
    match (caller.role, &caller.tenant) {
        (Role::Admin, _) => Ok(None),
        (_, Some(tenant)) => Ok(Some(tenant)),
        // The verifier lets nobody in like this; if it did, they would see nothing.
        (_, None) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The token names no tenant.")),
    }
}
