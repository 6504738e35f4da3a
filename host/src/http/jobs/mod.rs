//! `/jobs`: submit, one or many, get, list, cancel, retry.

mod admission;
mod batch;
mod bulk;
mod cancel;
mod get;
mod list;
mod resource;
mod retry;
mod submit;
mod wait;

pub(super) use self::resource::Job;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::submit::idempotency_key;
pub(super) use self::{
    batch::{MAX_BODY as MAX_BATCH, batch},
    bulk::{bulk, bulk_retry},
    cancel::cancel,
    get::get,
    list::list,
    retry::retry,
    submit::submit,
};
