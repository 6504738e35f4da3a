//! stub: written by the lead
use std::sync::Arc;

use super::{Attempt, Provider, Stop, email::Smtp, upstream::Http};
use crate::journal::Answer;

/// The gate, with the providers behind it.
#[derive(Clone)]
pub struct Gate {
    pub email: Arc<Smtp>,
    pub upstream: Arc<Http>,
}

impl Gate {
    /// One provider call, from the guest's request to its final answer. `gate.call(&gate.email, &attempt, request)`.
    pub async fn call<P: Provider>(
        &self,
        _provider: &Arc<P>,
        _attempt: &Arc<Attempt>,
        _request: P::Request,
    ) -> Result<Answer, Stop> {
        Err(Stop::LeaseLost)
    }
}
