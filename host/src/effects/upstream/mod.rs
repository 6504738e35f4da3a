//! stub
use super::*;
use crate::config::Method;

/// `usher:plugin/upstream`: `call`. The answer's value is `{"status": u16, "headers": [[name, value]…], "body": base64}`.
#[derive(Debug)]
pub struct Request {
    pub upstream: String,
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}
pub struct Outgoing;
pub struct Http {}
impl Provider for Http {
    const NAME: &'static str = "upstream";
    type Request = Request;
    type Call = Outgoing;
    fn prepare(&self, _grants: &GrantSet, _request: Request) -> Result<Prepared<Outgoing>, Refused> {
        Err(Refused { function: "call", identity: serde_json::Value::Null, answer: Answer::Denied(String::new()) })
    }
    async fn call(&self, _id: EffectId, _call: &Outgoing) -> CallEnd {
        CallEnd::Doubt(String::new())
    }
}
