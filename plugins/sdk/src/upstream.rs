//! HTTP services by the name that the operator gave them. Base URL, `Host` and credentials are the host's. The
//! manifest's `[grants] upstream` names them.
//!
//! Every answer of 2xx to 4xx comes back as a [`Response`], except 408, 425 and 429, which like 5xx and silence are the
//! host's business.
//!
//! ```no_run
//! # fn main() -> Result<(), usher_plugin::Failure> {
//! use usher_plugin::{Failure, upstream::Request};
//! let sent = Request::post("sms", "/messages").json(&["+49301234567", "Doors open at 7"])?.call()?;
//! if !sent.ok() {
//!     return Err(Failure::permanent(format_args!("the SMS service answered {}", sent.status)));
//! }
//! # Ok(()) }
//! ```

use serde::{Serialize, de::DeserializeOwned};

pub use crate::raw::usher::plugin::upstream::Method;
use crate::{Error, raw::usher::plugin::upstream};

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
        let upstream::Response { status, headers, body } = upstream::call(&self.0)?;
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
}
