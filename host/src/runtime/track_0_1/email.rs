use super::{
    State, answered, unreadable,
    wit::{
        email::{self, Message},
        types::Error,
    },
};
use crate::effects::email::Request;

impl email::Host for State {
    async fn send(&mut self, m: Message) -> wasmtime::Result<Result<String, Error>> {
        let Message { profile, to, subject, text, html, reply_to } = m;
        self.mail(Request::Send { profile, to, subject, text, html, reply_to }).await
    }

    async fn send_template(
        &mut self,
        profile: String,
        to: Vec<String>,
        template: String,
        data: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        self.mail(Request::Template { profile, to, template, data }).await
    }
}

impl State {
    async fn mail(&mut self, request: Request) -> wasmtime::Result<Result<String, Error>> {
        let passed = self.gate.call(&self.gate.email, &self.attempt, request).await;
        Ok(match answered(self, passed)? {
            Ok(value) => Ok(serde_json::from_value(value).map_err(|_| unreadable(self))?),
            Err(error) => Err(error),
        })
    }
}
