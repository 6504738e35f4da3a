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
