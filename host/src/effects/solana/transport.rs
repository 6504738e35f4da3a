//! The way to one RPC node, in place of the client library's own: that one repeats by itself after 429, waits for as long
//! as a node says, and reads answers of any length. Here a question is sent once.

use std::{future::Future, io, pin::Pin, time::Duration};

use reqwest::{Client, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use solana_client::{
    client_error::{ClientError, ClientErrorKind},
    rpc_request::RpcRequest,
    rpc_sender::{RpcSender, RpcTransportStats},
};

/// Longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Why a node gave no result. Never holds its URL, in which providers keep tokens.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// Nothing was sent.
    #[error("{0}")]
    Away(String),
    /// Our own limit for this node: nothing was sent.
    #[error("the rate limit of this node is used up")]
    Limited(Duration),
    /// It said "not now", or does not know us; it did nothing.
    #[error("{message}")]
    Busy { message: String, after: Option<Duration> },
    /// It was sent, and the answer was lost, or is none.
    #[error("{0}")]
    Lost(String),
    /// Its answer is an error.
    #[error("the node says {code}: {message}")]
    Said { code: i64, message: String, err: Value },
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        match *error.kind {
            ClientErrorKind::Io(error) => match error.downcast::<Self>() {
                Ok(fault) => fault,
                Err(_) => Self::Lost("the node's answer broke off".to_owned()),
            },
            _ => Self::Lost("the node's answer is none that belongs to the question".to_owned()),
        }
    }
}

/// One node, and nothing but it.
pub(super) struct Wire {
    client: Client,
    url: String,
}

impl Wire {
    pub fn new(client: Client, url: &str) -> Self {
        Self { client, url: url.to_owned() }
    }

    async fn ask(&self, request: RpcRequest, params: Value) -> Result<Value, Fault> {
        let sent = self
            .client
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(request.build_request_json(1, params).to_string())
            .send();
        let mut response = sent.await.map_err(|e| {
            if e.is_connect() { Fault::Away("the node cannot be reached".to_owned()) } else { lost(&e) }
        })?;
        let status = response.status();
        match status {
            s if s.is_success() => {}
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                let after = Duration::from_secs(seconds.unwrap_or(1));
                return Err(Fault::Busy { message: "the node answers 429".to_owned(), after: Some(after) });
            }
            // Not let in, or no such place: not read.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Fault::Busy { message: format!("the node answers {}", status.as_u16()), after: None });
            }
            _ => return Err(Fault::Lost(format!("the node answers {}", status.as_u16()))),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Fault::Lost(format!("the node's answer is longer than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        read(&bytes)
    }
}

/// JSON-RPC 2.0, section 5. What is not of that shape is no answer.
#[derive(Deserialize)]
struct Reply {
    result: Option<Value>,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
    #[serde(default)]
    message: String,
    /// Whatever a node likes to say.
    #[serde(default)]
    data: Value,
}

/// A result that is null is none: of what is asked here, nothing has one.
fn read(bytes: &[u8]) -> Result<Value, Fault> {
    let none = || Fault::Lost("the node's answer is none".to_owned());
    let reply: Reply = serde_json::from_slice(bytes).map_err(|_| none())?;
    match reply.error {
        Some(Error { code, message, mut data }) => Err(Fault::Said {
            code,
            message: message.chars().filter(|c| !c.is_control()).take(300).collect(),
            err: data.get_mut("err").map(Value::take).unwrap_or_default(),
        }),
        None => reply.result.ok_or_else(none),
    }
}

fn lost(error: &reqwest::Error) -> Fault {
    Fault::Lost(match error {
        e if e.is_timeout() => "the node did not answer in time".to_owned(),
        _ => "the connection to the node broke off".to_owned(),
    })
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Value, ClientError>> + Send + 'a>>;

impl RpcSender for Wire {
    fn send<'me, 'async_trait>(&'me self, request: RpcRequest, params: Value) -> Sending<'async_trait>
    where
        'me: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move { self.ask(request, params).await.map_err(|fault| io::Error::other(fault).into()) })
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    /// Whoever prints a client prints this.
    fn url(&self) -> String {
        "(a node of a profile)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(bytes: &str) -> (i64, Value) {
        match read(bytes.as_bytes()) {
            Err(Fault::Said { code, err, .. }) => (code, err),
            other => panic!("{bytes}: {other:?}"),
        }
    }

    #[test]
    fn what_is_no_answer_is_lost_whatever_its_shape() {
        for bytes in [
            "",
            "no json",
            "[]",
            "7",
            "\"text\"",
            "null",
            "{}",
            r#"{"result": null}"#,
            r#"{"error": "text"}"#,
            r#"{"error": ["text"]}"#,
            r#"{"error": 7}"#,
            r#"{"error": {}}"#,
            r#"{"error": {"code": "text", "message": "x"}}"#,
            r#"{"error": {"code": -1, "message": 7}}"#,
        ] {
            assert!(matches!(read(bytes.as_bytes()), Err(Fault::Lost(_))), "{bytes}");
        }
    }

    #[test]
    fn an_error_is_read_whatever_its_data_are() {
        for data in ["\"text\"", "[1]", "7", "null", "true", "{}", r#"{"err": null}"#] {
            let bytes = format!(r#"{{"error": {{"code": -32002, "message": "x", "data": {data}}}}}"#);
            assert_eq!(said(&bytes), (-32002, Value::Null), "{bytes}");
        }
        let bytes = r#"{"error": {"code": -32002, "message": "x", "data": {"err": {"InstructionError": [2, "X"]}}}}"#;
        assert_eq!(said(bytes), (-32002, json!({"InstructionError": [2, "X"]})));
        assert_eq!(said(r#"{"error": {"code": -32005}, "result": null}"#), (-32005, Value::Null));
        assert_eq!(read(br#"{"jsonrpc": "2.0", "id": 1, "result": "x", "error": null}"#), Ok(json!("x")));
    }
}
