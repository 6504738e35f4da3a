//! `/jobs`: submit, get, list.

mod body;
mod get;
mod list;
mod resource;
mod submit;

pub(super) use self::{get::get, list::list, submit::submit};
