//! `/jobs`: submit, get, list, cancel, retry.

mod bulk;
mod cancel;
mod get;
mod list;
mod resource;
mod retry;
mod submit;

pub(super) use self::{
    bulk::{bulk, bulk_retry},
    cancel::cancel,
    get::get,
    list::list,
    retry::retry,
    submit::submit,
};
