//! Internal HTTP by name: the operator fixes base URL, methods and credential; the guest says path, query, headers and
//! body. Signing and the circuit breaker are not here yet.

mod answer;
mod request;

use std::{collections::BTreeMap, fmt, sync::Arc};

use reqwest::Client;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

pub use self::answer::Response;
use super::{CallEnd, OnBehalf, Prepared, Provider, Refused, client};
use crate::{
    config::{Method, OnDoubt, Upstream, Upstreams},
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
#[derive(Debug)]
pub struct Outgoing {
    target: Arc<Target>,
    method: Method,
    url: Url,
    headers: reqwest::header::HeaderMap,
    body: Option<Vec<u8>>,
}

/// One configured service.
struct Target {
    config: Upstream,
    base: Url,
    client: Client,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The provider.
pub struct Http {
    targets: BTreeMap<String, Arc<Target>>,
}

impl Http {
    pub fn new(config: &Upstreams) -> Result<Self, UpstreamError> {
        let mut targets = BTreeMap::new();
        for (name, upstream) in config {
            let failed = |message: String| UpstreamError::Config { name: name.clone(), message };
            let base = Url::parse(&upstream.base_url).map_err(|e| failed(format!("base_url: {e}")))?;
            let client = client(upstream.timeout).map_err(|e| failed(e.to_string()))?;
            targets.insert(name.clone(), Arc::new(Target { config: upstream.clone(), base, client }));
        }
        Ok(Self { targets })
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
        let headers = request::headers(&request.headers);
        let (url, headers) = match (url, headers) {
            (Ok(url), Ok(headers)) => (url, headers),
            (Err(message), _) | (_, Err(message)) => return Err(refuse(Answer::Invalid(message))),
        };
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
            bucket: Bucket::destination(Self::NAME, &request.upstream),
            call: Outgoing { target, method: request.method, url, headers, body: request.body },
        })
    }

    async fn call(&self, id: EffectId, call: &Outgoing) -> CallEnd {
        let target = &call.target;
        let mut request = target.client.request(call.method.into(), call.url.clone()).headers(call.headers.clone());
        if !call.method.is_read() {
            request = request.header("Idempotency-Key", id.to_string());
        }
        if let Some(bearer) = &target.config.bearer {
            request = request.bearer_auth(bearer.expose());
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        match request.send().await {
            Ok(response) => answer::read(response, call.method, target.config.max_response).await,
            Err(error) if error.is_connect() => CallEnd::Unreachable(answer::plain(&error)),
            Err(error) => answer::lost(call.method, &answer::plain(&error)),
        }
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
