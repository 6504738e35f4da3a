use super::{State, wit::context};

impl context::Host for State {
    async fn now_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.attempt.now_ms())
    }

    async fn random(&mut self) -> wasmtime::Result<u64> {
        Ok(self.attempt.random())
    }
}
