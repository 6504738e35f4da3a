//! HTTP services by the name that the operator gave them. Base URL, `Host` and credentials are the host's. The
//! manifest's `[grants] upstream` names them.
//!
//! Every answer of 2xx to 4xx comes back as a [`Response`], except 408, 425 and 429, which like 5xx and silence are the
//! host's business.
//!
//! ```no_run
//! # fn main() -> Result<(), usher_plugin::Failure> {
//! use serde::Deserialize;
//! use usher_plugin::upstream::{self, Request};
//! #[derive(Deserialize)]
//! struct Sent { id: String }
//! let sent: Sent = upstream::post_json("sms", "/messages", &["+49301234567", "Doors open at 7"])?;
//! // Or step by step, where the answer's status matters:
//! let known = Request::get("sms", "/messages").query("id", sent.id).call()?.status == 200;
//! # Ok(()) }
//! ```

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use crate::raw::usher::plugin::upstream::Method;
use crate::{Error, host, raw::usher::plugin::upstream};

/// What a `GET` answers with 2xx, read as JSON. Anything else is an error, which `?` makes permanent.
pub fn get_json<T: DeserializeOwned>(upstream: &str, path: &str) -> Result<T, Unexpected> {
    Request::get(upstream, path).call()?.expect_json()
}

/// The same of a `POST` of JSON.
pub fn post_json<T: DeserializeOwned>(upstream: &str, path: &str, body: &impl Serialize) -> Result<T, Unexpected> {
    Request::post(upstream, path).json(body)?.call()?.expect_json()
}

/// One call of JSON-RPC 2.0. `id` should say what is asked for (the ticket, not the attempt): it is the same when the host sends
/// the call again. The service's own error is [`Unexpected::Rpc`]; it is final like any answer.
pub fn json_rpc<T: DeserializeOwned>(
    upstream: &str,
    path: &str,
    method: &str,
    id: &str,
    params: &impl Serialize,
) -> Result<T, Unexpected> {
    let call = RpcCall { jsonrpc: "2.0", id, method, params };
    Request::post(upstream, path).json(&call)?.call()?.rpc_result()
}

#[derive(Serialize)]
struct RpcCall<'a, P> {
    jsonrpc: &'static str,
    id: &'a str,
    method: &'a str,
    params: &'a P,
}

/// What a JSON-RPC service says in place of a result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RpcError {
    pub code: i64,
    pub message: String,
}

/// An answer that is not the one that was hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unexpected {
    /// The host sent nothing, or could not pass the answer on.
    Refused(Error),
    /// Not 2xx.
    Status(Response),
    /// 2xx, and not the JSON that was expected.
    Unreadable(String),
    /// JSON-RPC's own error.
    Rpc(RpcError),
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Status(response) => write!(f, "the upstream answered {}", response.status),
            Self::Unreadable(message) => write!(f, "the upstream's answer can't be read: {message}"),
            Self::Rpc(error) => write!(f, "the upstream answered with error {}: {}", error.code, error.message),
        }
    }
}

impl std::error::Error for Unexpected {}

impl From<Error> for Unexpected {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A request to an upstream.
#[derive(Clone, Debug)]
#[must_use = "call call()"]
pub struct Request(upstream::Request);

impl Request {
    /// `path` starts with `/` and is appended to the base URL of `upstream`.
    pub fn new(method: Method, upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self(upstream::Request {
            upstream: upstream.into(),
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
        })
    }

    pub fn get(upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::Get, upstream, path)
    }

    pub fn post(upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::Post, upstream, path)
    }

    pub fn put(upstream: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::Put, upstream, path)
    }

    /// One more query parameter, given as it means; the host encodes it.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.query.push((name.into(), value.into()));
        self
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = Some(body.into());
        self
    }

    /// The body as JSON, with its content type.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|e| Error::unwritable("the body", &e))?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    pub fn call(self) -> Result<Response, Error> {
        let upstream::Response { status, headers, body } = host::call(&self.0)?;
        Ok(Response { status, headers, body })
    }
}

/// What an upstream answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Itself, if it is 2xx.
    pub fn expect_ok(self) -> Result<Self, Unexpected> {
        if self.ok() { Ok(self) } else { Err(Unexpected::Status(self)) }
    }

    /// Its JSON, if it is 2xx.
    pub fn expect_json<T: DeserializeOwned>(self) -> Result<T, Unexpected> {
        self.expect_ok()?.json().map_err(unreadable)
    }

    /// What JSON-RPC answered, whatever the status: services differ in which one an error has.
    fn rpc_result<T: DeserializeOwned>(self) -> Result<T, Unexpected> {
        let mut answer: Map<String, Value> = match self.json() {
            Ok(answer) => answer,
            Err(_) if !self.ok() => return Err(Unexpected::Status(self)),
            Err(error) => return Err(Unexpected::Unreadable(error.to_string())),
        };
        if let Some(error) = answer.remove("error").filter(|error| !error.is_null()) {
            return Err(serde_json::from_value(error).map_or_else(unreadable, Unexpected::Rpc));
        }
        // A result may be null.
        match answer.remove("result") {
            _ if !self.ok() => Err(Unexpected::Status(self)),
            Some(result) => serde_json::from_value(result).map_err(unreadable),
            None => Err(Unexpected::Unreadable("it has neither result nor error".to_owned())),
        }
    }
}

fn unreadable(error: serde_json::Error) -> Unexpected {
    Unexpected::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_body_brings_its_content_type() {
        let Request(request) = Request::post("sms", "/messages").json(&[1, 2]).expect("JSON");
        assert_eq!(request.body.as_deref(), Some(&b"[1,2]"[..]));
        assert_eq!(request.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let response = Response { status: 204, headers: vec![("X-Id".to_owned(), "7".to_owned())], body: Vec::new() };
        assert!(response.ok());
        assert_eq!(response.header("x-id"), Some("7"));
        assert_eq!(response.header("x-other"), None);
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn json_is_read_of_2xx_only() {
        assert_eq!(answer(201, "[1]").expect_json(), Ok(vec![1]));
        assert!(matches!(answer(201, "{").expect_json::<Vec<u8>>(), Err(Unexpected::Unreadable(_))));
        let gone = answer(410, "[1]").expect_json::<Vec<u8>>().expect_err("not 2xx");
        assert_eq!(gone.to_string(), "the upstream answered 410");
    }

    #[test]
    fn an_error_of_json_rpc_is_told_from_a_result() {
        assert_eq!(answer(200, r#"{"jsonrpc":"2.0","id":"t","result":[1],"error":null}"#).rpc_result(), Ok(vec![1]));
        assert_eq!(answer(200, r#"{"result":null}"#).rpc_result(), Ok(None::<u8>));
        for status in [200, 500] {
            let body = r#"{"jsonrpc":"2.0","id":"t","error":{"code":-32000,"message":"no"}}"#;
            let Err(Unexpected::Rpc(error)) = answer(status, body).rpc_result::<Vec<u8>>() else { panic!("an error") };
            assert_eq!((error.code, error.message.as_str()), (-32000, "no"));
        }
        for body in ["{}", r#"{"result":"x"}"#, ""] {
            assert!(matches!(answer(200, body).rpc_result::<Vec<u8>>(), Err(Unexpected::Unreadable(_))), "{body}");
            assert!(matches!(answer(404, body).rpc_result::<Vec<u8>>(), Err(Unexpected::Status(_))), "{body}");
        }
    }
}
