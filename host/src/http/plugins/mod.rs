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

use super::problem::Problem;
use crate::operate::OperateError;

/// A plugin's name as it stands in a path. One that Postgres would not take is nobody's.
fn known(name: String) -> Result<String, Problem> {
    if name.contains('\0') {
        return Err(OperateError::NoPlugin(name.replace('\0', "\u{fffd}")).into());
    }
    Ok(name)
}
