//! `/jobs`: submit, one or many, get, list, cancel, retry.

mod batch;
mod bulk;
mod cancel;
mod get;
mod list;
mod resource;
mod retry;
mod submit;

pub(super) use self::{
    batch::batch,
    bulk::{bulk, bulk_retry},
    cancel::cancel,
    get::get,
    list::list,
    retry::retry,
    submit::submit,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::submit::idempotency_key;
