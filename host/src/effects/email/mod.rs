//! stub
use super::*;

/// `usher:plugin/email`: `send` and `send-template` are both requests of this kind.
#[derive(Debug)]
pub enum Request {
    Send { profile: String, to: Vec<String>, subject: String, text: String, html: Option<String>, reply_to: Option<String> },
    Template { profile: String, to: Vec<String>, template: String, data: String },
}
pub struct Message;
pub struct Smtp {}
impl Provider for Smtp {
    const NAME: &'static str = "email";
    type Request = Request;
    type Call = Message;
    fn prepare(&self, _grants: &GrantSet, _request: Request) -> Result<Prepared<Message>, Refused> {
        Err(Refused { function: "send", identity: serde_json::Value::Null, answer: Answer::Denied(String::new()) })
    }
    async fn call(&self, _id: EffectId, _call: &Message) -> CallEnd {
        CallEnd::Doubt(String::new())
    }
}
