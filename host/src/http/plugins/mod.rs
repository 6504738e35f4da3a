//! `/plugins`: publish, activate, roll back, retire, and what was and is.

mod change;
mod history;
mod list;
mod publish;
mod usage;

pub(super) use self::{
    change::{activate, delete_release, migrate, retire, rollback},
    history::history,
    list::{list, one},
    publish::publish,
    usage::usage,
};

use axum::http::StatusCode;

use super::problem::Problem;
use crate::{
    operate::OperateError,
    releases::store::StoreError,
    runtime::{Place, PublishError, compile::CompileError},
};

/// A plugin's name as it stands in a path. One that Postgres would not take is nobody's.
fn known(name: String) -> Result<String, Problem> {
    if name.contains('\0') {
        return Err(OperateError::NoPlugin(name.replace('\0', "\u{fffd}")).into());
    }
    Ok(name)
}

/// Flags of a query, each true or false.
fn flags(query: Option<&str>, known: &mut [(&str, &mut bool)]) -> Result<(), Problem> {
    let bad = |parameter: &str, message: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-query", format!("{parameter}: {message}"))
            .with("parameter", parameter)
    };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some((_, flag)) = known.iter_mut().find(|(known, _)| *known == name) else {
            return Err(bad(&name, "there is no such parameter"));
        };
        **flag = value.parse().map_err(|_| bad(&name, "is true or false"))?;
    }
    Ok(())
}

/// What is wrong, and where: the line of the manifest, or the import's name. `not`: how the sentence begins.
fn refused(not: &str, error: &PublishError, place: Place) -> Problem {
    let slug = error.slug();
    let status = match error {
        PublishError::Store(StoreError::Database(error)) => return Problem::database(error),
        PublishError::Missing | PublishError::Crowded | PublishError::Compile(CompileError::Child(_)) => {
            return Problem::busy("The component could not be compiled or tried just now; nothing was written.");
        }
        PublishError::Rehearsal(_) => {
            return Problem::busy("Recorded jobs could not be run with it just now; nothing was written.");
        }
        PublishError::Store(_) | PublishError::Unverified(_) => StatusCode::CONFLICT,
        PublishError::Signing(_) => StatusCode::FORBIDDEN,
        PublishError::Compile(CompileError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut problem =
        Problem::new(status, slug, format!("{not}: {}.", error.told().trim_end_matches('.'))).with("reason", slug);
    if let PublishError::Unverified(report) = error {
        problem = problem.with("verify", report.to_json());
    }
    if let Some(line) = place.line {
        problem = problem.with("line", line);
    }
    if let Some(import) = place.import {
        problem = problem.with("import", import);
    }
    problem
}
