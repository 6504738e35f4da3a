use super::{
    State, answered, unreadable,
    wit::{
        sms::{self, Message, Sent},
        types::Error,
    },
};
use crate::effects::sms as provider;

impl sms::Host for State {
    async fn send(&mut self, m: Message) -> wasmtime::Result<Result<Sent, Error>> {
        let request = provider::Request { profile: m.profile, to: m.to, text: m.text };
        let passed = self.world.call(|all| &all.sms, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => {
                let provider::Sent { id, status } =
                    provider::Sent::from_answer(value).ok_or_else(|| unreadable(self))?;
                Ok(Sent { id, status })
            }
            Err(error) => Err(error),
        })
    }
}
