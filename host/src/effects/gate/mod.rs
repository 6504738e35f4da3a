//! The gate: the same steps for every provider call, in one place and in a task of its own.
//!
//! Recorded answer? -> grant -> in doubt? -> known to be away? -> rate limit -> journal start and fence in one statement -> lease
//! deadline once more -> provider -> journal end -> answer to the guest. The task outlives a guest that is dropped (time-out,
//! cancel), so that no answer is lost.

mod doubt;
mod failpoint;
mod identity;
mod pass;
mod place;
mod write;

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

pub(super) use self::{
    identity::without_nul,
    place::{Asking, Known},
    write::{shortened, storable},
};
#[cfg(feature = "solana")]
use super::solana::Mints;
use super::{Attempt, PROVIDERS, Provider, Stop, email::Smtp, push::Push, sms::Sms, stripe::Stripe, upstream::Http};
use crate::{
    db::Pool,
    journal::{Answer, Writer},
    lifecycle::Pulse,
    ratelimit::Limiter,
    telemetry::metrics::{Collector, Effects},
};

/// All there are.
#[derive(Clone)]
pub struct Providers {
    pub email: Arc<Smtp>,
    pub sms: Arc<Sms>,
    pub push: Arc<Push>,
    pub upstream: Arc<Http>,
    pub stripe: Arc<Stripe>,
    #[cfg(feature = "solana")]
    pub solana: Arc<Mints>,
}

/// The gate, with the providers behind it. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    pub providers: Providers,
    pool: Pool,
    journal: Writer,
    pulse: Pulse,
    limiter: Limiter,
    metrics: Effects,
    /// The runtime that owns the sockets; guests run on another one.
    io: Handle,
}

impl Gate {
    /// Must be called on the runtime that shall do the I/O. `journal`: connections for starts and ends in batches.
    pub fn new(providers: Providers, pool: Pool, journal: &Pool, pulse: Pulse, limiter: Limiter) -> Self {
        let journal = Writer::start(journal, &pool);
        let metrics = Effects::new(&PROVIDERS);
        Self { providers, pool, journal, pulse, limiter, metrics, io: Handle::current() }
    }

    /// What is counted here and in the journal.
    pub fn metrics(&self) -> Vec<Box<dyn Collector>> {
        let mut all = self.metrics.collectors();
        all.extend(self.journal.metrics());
        all
    }

    /// One provider call, from the guest's request to its final answer. `gate.call(&gate.providers.email, &attempt, request)`.
    pub async fn call<P: Provider>(
        &self,
        provider: &Arc<P>,
        attempt: &Arc<Attempt>,
        request: P::Request,
    ) -> Result<Answer, Stop> {
        let seq = match attempt.take_seq() {
            Ok(seq) => seq,
            Err(denied) => return Ok(denied),
        };
        let prepared = provider.prepare(&attempt.who, request);
        let under_way = UnderWay::begin(attempt);
        let (gate, provider, shared) = (self.clone(), Arc::clone(provider), Arc::clone(attempt));
        let task = self.io.spawn(async move {
            let _under_way = under_way;
            gate.pass(&*provider, &shared, seq, prepared).await
        });
        match task.await {
            Ok(result) => {
                if let Ok(answer) = &result {
                    attempt.count_answer(answer);
                }
                result
            }
            // The journal knows how far it came; the next attempt goes on from there.
            Err(failed) => {
                tracing::error!(error = %failed, "an effect's task did not end by itself");
                Err(Stop::Snooze { message: "the host failed inside a provider call".to_owned(), after: None })
            }
        }
    }
}

/// Counts a call for as long as its task lives, panics included.
struct UnderWay(Arc<Attempt>);

impl UnderWay {
    fn begin(attempt: &Arc<Attempt>) -> Self {
        attempt.call_begins();
        Self(Arc::clone(attempt))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.call_ended();
    }
}

/// Beyond this between the journal's start and the first byte, the fence is asked again.
const FENCE_AGE: Duration = Duration::from_secs(2);
