//! Internal HTTP by name: the operator fixes base URL, methods, paths, fixed headers, credential or signature; the guest says
//! path, query, headers and body. A service that fails again and again is left alone for a while.

mod answer;
mod breaker;
mod request;
mod target;
mod veil;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

pub use self::answer::Response;
use self::target::{Signed, Target};
use super::{Admitted, Away, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending};
use crate::{
    clock::Boottime,
    config::{Method, OnDoubt, Upstreams},
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

/// The provider.
pub struct Http {
    targets: BTreeMap<String, Arc<Target>>,
}

impl Http {
    pub fn new(config: &Upstreams) -> Result<Self, UpstreamError> {
        let mut targets = BTreeMap::new();
        for (name, upstream) in config {
            let target =
                Target::new(name, upstream).map_err(|message| UpstreamError::Config { name: name.clone(), message })?;
            targets.insert(name.clone(), Arc::new(target));
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
            bucket: Bucket::destination(Self::NAME, &request.upstream),
            call: Outgoing { target, method: request.method, url, headers, body: request.body },
        })
    }

    fn admit(&self, call: &Outgoing) -> Result<Admitted, Away> {
        let breaker = &call.target.breaker;
        breaker.admit(Boottime::now()).map(Admitted::keeping).map_err(|after| Away {
            message: format!("the upstream \"{}\" fails again and again, and is left alone for a while", breaker.name),
            after,
        })
    }

    async fn call(&self, sending: Sending, call: &Outgoing) -> CallEnd {
        let target = &call.target;
        let Signed { request, signature } = match target.request(sending.id, call) {
            Ok(signed) => signed,
            Err(message) => return CallEnd::Unreachable(format!("nothing was sent: {message}")),
        };
        let secrets: Vec<_> = target.secrets().chain(signature.as_deref().map(bare)).collect();
        let (end, sound) = match target.client.execute(request).await {
            Ok(response) => {
                let status = response.status();
                let end = answer::read(response, call.method, target.config.max_response, &secrets).await;
                let is_answer = matches!(end, CallEnd::Answer(_)) || status.is_client_error();
                (end, is_answer && !status.is_server_error())
            }
            Err(error) if error.is_connect() => (CallEnd::Unreachable(answer::plain(&error)), false),
            Err(error) => (answer::lost(call.method, &answer::plain(&error)), false),
        };
        target.breaker.ended(sound, Boottime::now());
        end
    }
}

/// `label=:base64:` without what stands around it.
fn bare(signature: &str) -> &str {
    signature.split_once('=').map_or(signature, |(_, value)| value.trim_matches(':'))
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
