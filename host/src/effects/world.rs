use std::sync::Arc;

use super::{Attempt, Gate, Provider, Script, Stop, gate::Providers};
use crate::journal::Answer;

/// What is on the other side of a guest's calls.
#[derive(Clone)]
pub enum World {
    /// The providers, by way of the gate.
    Live(Gate),
    /// Answers that are there already: nothing leaves, nothing is written.
    Scripted(Script),
}

impl World {
    /// One provider call, from the guest's request to its final answer.
    pub async fn call<P: Provider>(
        &self,
        provider: fn(&Providers) -> &Arc<P>,
        attempt: &Arc<Attempt>,
        request: P::Request,
    ) -> Result<Answer, Stop> {
        match self {
            Self::Live(gate) => gate.call(provider(&gate.providers), attempt, request).await,
            Self::Scripted(script) => script.call(&**provider(script.providers()), attempt, request),
        }
    }

    pub fn is_scripted(&self) -> bool {
        matches!(self, Self::Scripted(_))
    }
}
