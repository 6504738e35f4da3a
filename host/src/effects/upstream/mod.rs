//! Internal HTTP by name: the operator fixes base URL, methods, paths, fixed headers, credential or signature; the guest says
//! path, query, headers and body. A service that fails again and again is left alone for a while.

mod answer;
mod breaker;
mod google;
mod reply;
mod request;
mod target;
mod veil;

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

#[cfg(test)]
pub(super) use self::reply::Body;
pub use self::{answer::Response, target::Targets};
pub(super) use self::{
    reply::{Reply, Went},
    target::Target,
};
use super::{Admitted, Away, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending};
use crate::{
    config::{Method, OnDoubt},
    ids::EffectId,
    journal::{Answer, Class},
    ratelimit::Bucket,
};

/// `usher:plugin/upstream`. The answer's value is [`Response`]'s.
#[derive(Debug)]
pub struct Request {
    pub upstream: String,
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("upstreams.{name}: {message}")]
    Config { name: String, message: String },
}

/// A checked request and the service that takes it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    target: Arc<Target>,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Outgoing {
    /// A POST of the host's own, to a path that the configuration names. `Err`: what the job's tenant lacks.
    pub(super) fn post(
        target: &Arc<Target>,
        path: &str,
        content_type: &'static str,
        tenant: &str,
    ) -> Result<Self, String> {
        let url = request::url(&target.base, path, &[])?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        target.complete(&mut headers, tenant)?;
        Ok(Self { target: Arc::clone(target), method: Method::Post, url, headers, body: None })
    }

    pub(super) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) async fn admit(&self) -> Result<Admitted, Away> {
        self.target.admit().await
    }

    pub(super) async fn send(&self, id: EffectId) -> Went {
        self.target.send(id, self).await
    }
}

/// The provider.
pub struct Http {
    targets: Targets,
}

impl Http {
    pub fn new(targets: &Targets) -> Self {
        Self { targets: targets.clone() }
    }

    /// Whether a guest could be shown this answer. All else that a service says is the host's business.
    pub(super) fn can_show(&self, upstream: &str, answer: &serde_json::Value) -> Result<(), String> {
        let Some(Response { status, body, .. }) = Response::from_answer(answer.clone()) else { return Ok(()) };
        if !(200..500).contains(&status) || matches!(status, 408 | 425 | 429) {
            return Err(format!("/answer/status: no guest is shown {status} (200 to 499, and never 408, 425 or 429)"));
        }
        let most = self.targets.get(upstream).map_or(usize::MAX, |target| target.config.max_response);
        if body.len() > most {
            let length = body.len();
            return Err(format!(
                "/answer: {length} bytes are more than upstreams.{upstream}.max_response ({most}): a read of them is rejected, with the code response-too-large"
            ));
        }
        Ok(())
    }
}

impl Provider for Http {
    const NAME: &'static str = "upstream";
    type Request = Request;
    type Call = Outgoing;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Outgoing>, Refused> {
        let body_hash = request.body.as_ref().map(|body| hex::encode(Sha256::digest(body)));
        let method = request.method.as_str();
        let identity = json!({
            "upstream": request.upstream, "method": method, "path": request.path,
            "query": request.query, "headers": request.headers, "body": body_hash,
        });
        let redacted = json!({
            "upstream": request.upstream,
            "method": method,
            // A path that holds control characters is refused below, but journaled all the same.
            "path": request.path.chars().filter(|c| !c.is_control()).take(1_000).collect::<String>(),
            "bytes": request.body.as_ref().map_or(0, Vec::len),
        });
        let refuse = |answer| Refused { function: "call", identity: identity.clone(), answer };
        let target = match self.targets.get(&request.upstream) {
            Some(target) if who.grants.upstream.contains(&request.upstream) => Arc::clone(target),
            _ => {
                let message = format!("grants.upstream does not name \"{}\"", request.upstream);
                return Err(refuse(Answer::Denied(message)));
            }
        };
        if !target.config.methods.contains(&request.method) {
            let message = format!("the upstream \"{}\" does not take {method} from plugins", request.upstream);
            return Err(refuse(Answer::Denied(message)));
        }
        let url = request::url(&target.base, &request.path, &request.query);
        let headers = request::headers(&request.headers, |name| target.has_fixed(name));
        let (url, mut headers) = match (url, headers) {
            (Ok(url), Ok(headers)) => (url, headers),
            (Err(message), _) | (_, Err(message)) => return Err(refuse(Answer::Invalid(message))),
        };
        if !target.config.allows_path(&request.path) {
            let message = format!("the upstream \"{}\" does not take this path from plugins", request.upstream);
            return Err(refuse(Answer::Denied(message)));
        }
        if let Err(message) = target.complete(&mut headers, &who.tenant) {
            return Err(refuse(Answer::Denied(message)));
        }
        if request.body.as_ref().is_some_and(|body| body.len() > request::MAX_BODY) {
            return Err(refuse(Answer::Invalid(format!("a body has at most {} bytes", request::MAX_BODY))));
        }
        let class = match (request.method.is_read(), target.config.idempotent, target.config.on_doubt) {
            (true, _, _) => Class::Read,
            (false, true, _) => Class::Idempotent,
            (false, false, OnDoubt::Resend) => Class::Resend,
            (false, false, OnDoubt::Park) => Class::Once,
        };
        Ok(Prepared {
            function: "call",
            class,
            identity,
            redacted,
            timeout: target.config.timeout,
            remembers: target.config.remembers,
            bucket: Bucket::destination(Self::NAME, &request.upstream),
            call: Outgoing { target, method: request.method, url, headers, body: request.body },
        })
    }

    async fn admit(&self, call: &Outgoing) -> Result<Admitted, Away> {
        call.admit().await
    }

    async fn call(&self, sending: Sending, call: &Outgoing) -> CallEnd {
        match call.send(sending.id).await {
            Went::Reply(reply) => answer::meaning(call.method, reply, call.target.config.max_response),
            Went::NotSent(message) => CallEnd::Unreachable(message),
            Went::Lost(message) => answer::lost(call.method, &message),
        }
    }

    fn settles(&self, call: &Outgoing, answer: &Answer) -> bool {
        let status = match answer {
            Answer::Ok(value) => value["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
            Answer::Denied(_) | Answer::Invalid(_) | Answer::Rejected(_) => None,
        };
        call.method.is_read() || !status.is_some_and(answer::is_about_this_try)
    }
}

impl Method {
    fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

#[cfg(test)]
mod tests;
