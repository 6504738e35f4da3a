use super::{
    State, answered, unreadable,
    wit::{
        email::{self, Message, Refusal, Sent},
        types::Error,
    },
};
use crate::effects::email::{Attachment, Request, Sent as Journaled};

type Answered = wasmtime::Result<Result<Sent, Error>>;

impl email::Host for State {
    async fn send(&mut self, m: Message) -> Answered {
        let Message { profile, to, subject, text, html, reply_to, attachments } = m;
        let attachments = attachments
            .into_iter()
            .map(|email::Attachment { name, content_type, content }| Attachment { name, content_type, content })
            .collect();
        let request = Request::Send { profile, to: to.clone(), subject, text, html, reply_to, attachments };
        self.mail(to, request).await
    }

    async fn send_template(&mut self, profile: String, to: Vec<String>, template: String, data: String) -> Answered {
        self.mail(to.clone(), Request::Template { profile, to, template, data }).await
    }
}

impl State {
    /// The journal names a refused recipient by its place among those that the guest gave.
    async fn mail(&mut self, mut to: Vec<String>, request: Request) -> Answered {
        let passed = self.world.call(|all| &all.email, &self.attempt, request).await;
        let value = match answered(self, passed)? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let Journaled { message_id, refused } = Journaled::from_answer(value).ok_or_else(|| unreadable(self))?;
        let refused = refused
            .into_iter()
            .map(|no| {
                let recipient = to.get_mut(no.recipient).map(std::mem::take)?;
                Some(Refusal { recipient, code: no.code, message: no.message })
            })
            .collect::<Option<_>>()
            .ok_or_else(|| unreadable(self))?;
        Ok(Ok(Sent { message_id, refused }))
    }
}
