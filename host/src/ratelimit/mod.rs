//! How often providers are called and jobs are submitted: buckets by name, which all nodes share.
//!
//! Owns: which bucket has which limit (set at run time, or by the configuration), who passes when, the places in line of
//! those that wait, and the tokens that this node has ahead.
//! Refuses: a call whose buckets do not all let it pass; it gets a place in line, and the time to come back. A submit gets the
//! time only.
//! Invariant: over any time, all nodes together let pass no more than rate × time + burst; nothing passes a bucket that
//! a provider's Retry-After holds; a place that was given is kept.
//! Tables: rate_limits, rate_buckets, rate_slots, rate_news.

mod ask;
mod book;
mod bucket;
mod entry;
mod limiter;
mod limits;
mod pots;
pub mod store;
mod terms;

pub use self::{
    book::Source,
    bucket::Bucket,
    entry::{Entry, Standing},
    limiter::Limiter,
    limits::Shown,
};

/// Channel: a limit was changed, or a bucket is held.
pub const NEWS: &str = "usher_rates";

/// What a call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It may be made now. A short wait is over.
    Go,
    /// Not before that long; its place in line is kept until then.
    Later(std::time::Duration),
}
