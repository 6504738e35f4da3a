//! What the author of a plugin uses: a job comes in as a typed payload, a result goes out, and between them are calls
//! to the host.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use usher_plugin::{Failure, Job, log};
//!
//! #[derive(Deserialize)]
//! struct Order { name: String }
//!
//! #[derive(Serialize)]
//! struct Receipt { greeting: String }
//!
//! fn process(job: Job<Order>) -> Result<Receipt, Failure> {
//!     log::info("greeting", &[("job.attempt", &job.attempt)]);
//!     Ok(Receipt { greeting: format!("Hello, {}", job.payload.name) })
//! }
//!
//! usher_plugin::plugin!(process);
//! # fn main() {}
//! ```
//!
//! A plugin is a straight line without retry loops. The host journals each call that has an effect; an attempt that comes
//! back after a crash gets the recorded answers, byte for byte, and goes on behind them. Two things follow for the author:
//! the same payload must lead to the same calls in the same order (time and randomness from [`context`] are replayed too,
//! [`Job::attempt`] isn't), and a provider that is down, slow or limited is never seen here: the host ends the
//! attempt inside the call and tries again later.

pub mod context;
pub mod email;
#[cfg(all(target_arch = "wasm32", feature = "getrandom"))]
mod entropy;
mod error;
mod failure;
#[cfg(target_arch = "wasm32")]
mod heap;
mod host;
mod job;
pub mod jobs;
pub mod log;
pub mod money;
mod plugin;
pub mod progress;
pub mod push;
pub mod raw;
pub mod sms;
pub mod solana;
pub mod stripe;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod upstream;
pub mod webhook;

pub use error::{Error, Rejection};
pub use failure::Failure;
pub use job::Job;
pub use money::Money;
#[doc(hidden)]
pub use plugin::__private;
