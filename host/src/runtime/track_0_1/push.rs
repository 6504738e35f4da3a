use super::{
    State, answered, unreadable,
    wit::{
        push::{self, Notification, Sent, Target},
        types::Error,
    },
};
use crate::effects::push as provider;

impl push::Host for State {
    async fn send(&mut self, n: Notification) -> wasmtime::Result<Result<Sent, Error>> {
        let target = match n.target {
            Target::Token(token) => provider::To::Token(token),
            Target::Topic(topic) => provider::To::Topic(topic),
        };
        let request = provider::Request { profile: n.profile, target, title: n.title, body: n.body, data: n.data };
        let passed = self.world.call(|all| &all.push, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => {
                let provider::Sent { id } = provider::Sent::from_answer(value).ok_or_else(|| unreadable(self))?;
                Ok(Sent { id })
            }
            Err(error) => Err(error),
        })
    }
}
