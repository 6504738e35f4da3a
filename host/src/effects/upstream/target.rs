use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Client, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

use super::{
    Outgoing, UpstreamError,
    breaker::Breaker,
    google::{Google, Token},
    reply::{self, Reply, Went},
};
use crate::{
    clock::{self, Boottime},
    config::{FixedHeader, SignatureKey, Upstream, Upstreams},
    effects::{Admitted, Away, client},
    ids::EffectId,
    signature::{Message, Signer, content_digest},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// All configured services, by name. Whoever sends through one shares its connections, its breaker and its access token.
#[derive(Clone, Debug)]
pub struct Targets(BTreeMap<String, Arc<Target>>);

impl Targets {
    pub fn new(config: &Upstreams) -> Result<Self, UpstreamError> {
        let mut targets = BTreeMap::new();
        for (name, upstream) in config {
            let target =
                Target::new(name, upstream).map_err(|message| UpstreamError::Config { name: name.clone(), message })?;
            targets.insert(name.clone(), Arc::new(target));
        }
        Ok(Self(targets))
    }

    pub(in crate::effects) fn get(&self, name: &str) -> Option<&Arc<Target>> {
        self.0.get(name)
    }
}

/// One configured service.
pub(in crate::effects) struct Target {
    pub config: Upstream,
    pub base: Url,
    pub client: Client,
    pub breaker: Arc<Breaker>,
    /// Sent always, the credential among them.
    fixed: HeaderMap,
    tenant_header: Option<HeaderName>,
    signer: Option<Signer>,
    google: Option<Google>,
    /// What must not come back to a guest.
    secrets: Vec<SecretString>,
}

/// A request as it goes out, once, with what only this try has.
struct Signed {
    request: reqwest::Request,
    signature: Option<String>,
    token: Option<Arc<Token>>,
}

impl Target {
    pub fn new(name: &str, config: &Upstream) -> Result<Self, String> {
        let base = Url::parse(&config.base_url).map_err(|e| format!("base_url: {e}"))?;
        let client = client(config.timeout).map_err(|e| e.to_string())?;
        let mut fixed = HeaderMap::new();
        let mut secrets = Vec::new();
        for (name, value) in &config.headers {
            let name = HeaderName::try_from(name).map_err(|e| format!("headers.{name}: {e}"))?;
            let mut header = value_of(value.expose()).map_err(|e| format!("headers.{name}: {e}"))?;
            if let FixedHeader::Secret(secret) = value {
                header.set_sensitive(true);
                secrets.push(secret.expose().into());
            }
            fixed.insert(name, header);
        }
        let mut authorize = |scheme: &str, credential: &str| {
            let mut header = value_of(&format!("{scheme} {credential}"))?;
            header.set_sensitive(true);
            fixed.insert(AUTHORIZATION, header);
            secrets.push(credential.into());
            Ok::<_, String>(())
        };
        if let Some(bearer) = &config.bearer {
            authorize("Bearer", bearer.expose())?;
        }
        if let Some(basic) = &config.basic {
            let password = basic.password.expose();
            authorize("Basic", &STANDARD.encode(format!("{}:{password}", basic.username)))?;
            secrets.push(password.into());
        }
        let tenant_header = config.tenant_header.as_ref().map(HeaderName::try_from).transpose();
        let tenant_header = tenant_header.map_err(|e| format!("tenant_header: {e}"))?;
        let signer =
            config.signature.as_ref().map(|SignatureKey { key_id, key }| Signer::new(key_id, key.expose().as_bytes()));
        let google = config.google.as_ref().map(|google| Google::new(google, config.timeout)).transpose()?;
        let breaker = Breaker::new(name, config.breaker);
        Ok(Self { config: config.clone(), base, client, breaker, fixed, tenant_header, signer, google, secrets })
    }

    /// Whether a call is worth trying: the breaker lets it pass, and its access token is at hand. Asked before anything is
    /// journaled, so that no time goes by between the fence and the request.
    pub async fn admit(&self) -> Result<Admitted, Away> {
        let permit = self.breaker.admit(Boottime::now()).map_err(|after| Away {
            message: format!(
                "the upstream \"{}\" fails again and again, and is left alone for a while",
                self.breaker.name
            ),
            after: Some(after),
        })?;
        if let Some(google) = &self.google {
            let at = |message| format!("the upstream \"{}\" has no access token: {message}", self.breaker.name);
            google.ready().await.map_err(|message| Away { message: at(message), after: None })?;
        }
        Ok(Admitted::keeping(permit))
    }

    /// Sends it, once. The key is the same on all tries; a signature is fresh.
    pub async fn send(&self, id: EffectId, call: &Outgoing) -> Went {
        let Signed { request, signature, token } = match self.request(id, call) {
            Ok(signed) => signed,
            Err(message) => return Went::NotSent(format!("nothing was sent: {message}")),
        };
        let own = [signature.as_deref().map(bare), token.as_deref().map(Token::expose)];
        let secrets: Vec<_> =
            self.secrets.iter().map(SecretString::expose_secret).chain(own.into_iter().flatten()).collect();
        let (went, sound) = match self.client.execute(request).await {
            Ok(response) => {
                let reply = Reply::read(response, self.config.max_response, &secrets).await;
                let sound = reply.is_sound();
                (Went::Reply(reply), sound)
            }
            Err(error) if error.is_connect() => (Went::NotSent(reply::plain(&error)), false),
            Err(error) => (Went::Lost(reply::plain(&error)), false),
        };
        self.breaker.ended(sound, Boottime::now());
        if let (Went::Reply(reply), Some(google), Some(token)) = (&went, &self.google, &token)
            && reply.status == StatusCode::UNAUTHORIZED
        {
            google.forget(token);
        }
        went
    }

    /// A guest may not set it.
    pub fn has_fixed(&self, name: &HeaderName) -> bool {
        self.fixed.contains_key(name) || self.tenant_header.as_ref() == Some(name)
    }

    /// The guest's headers become those of the request, but for what each try makes anew.
    pub fn complete(&self, headers: &mut HeaderMap, tenant: &str) -> Result<(), String> {
        for (name, value) in &self.fixed {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(name) = &self.tenant_header {
            // What a reader would trim or read otherwise might be another tenant's name.
            if tenant.is_empty() || tenant.trim() != tenant || !tenant.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                return Err(format!("the job's tenant can't be told in {name}: it is not visible ASCII"));
            }
            headers.insert(name.clone(), value_of(tenant)?);
        }
        Ok(())
    }

    fn request(&self, id: EffectId, call: &Outgoing) -> Result<Signed, String> {
        let mut request = reqwest::Request::new(call.method.into(), call.url.clone());
        *request.headers_mut() = call.headers.clone();
        let token = self.google.as_ref().map(Google::token).transpose()?;
        if let Some(token) = &token {
            let mut header = value_of(&format!("Bearer {}", token.expose()))?;
            header.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        if !call.method.is_read() {
            request.headers_mut().insert(IDEMPOTENCY_KEY, value_of(&id.to_string())?);
        }
        let signature =
            self.signer.as_ref().map(|signer| self.sign(signer, call, request.headers_mut())).transpose()?;
        if let Some(body) = &call.body {
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(Signed { request, signature, token })
    }

    fn sign(&self, signer: &Signer, call: &Outgoing, headers: &mut HeaderMap) -> Result<String, String> {
        // A write without a body says so, or somebody on the way could add one.
        if call.body.is_some() || !call.method.is_read() {
            headers.insert(CONTENT_DIGEST, value_of(&content_digest(call.body.as_deref().unwrap_or_default()))?);
        }
        let covered = [Some(&CONTENT_DIGEST), self.tenant_header.as_ref(), Some(&IDEMPOTENCY_KEY)];
        let fields: Vec<_> = covered
            .into_iter()
            .flatten()
            .filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?)))
            .collect();
        let message = Message {
            method: call.method.as_str(),
            authority: &call.url[Position::BeforeHost..Position::AfterPort],
            path: call.url.path(),
            query: call.url.query(),
            fields: &fields,
        };
        // A read may be replayed by anybody who has seen it; what it says then is no news to them.
        let nonce = (!call.method.is_read()).then(|| uuid::Uuid::new_v4().simple().to_string());
        let signed =
            signer.sign(&message, clock::unix_ms() / 1_000, nonce.as_deref()).map_err(|error| error.to_string())?;
        headers.insert(SIGNATURE_INPUT, value_of(&signed.signature_input)?);
        let mut signature = value_of(&signed.signature)?;
        signature.set_sensitive(true);
        headers.insert(SIGNATURE, signature);
        Ok(signed.signature)
    }
}

/// `label=:base64:` without what stands around it.
fn bare(signature: &str) -> &str {
    signature.split_once('=').map_or(signature, |(_, value)| value.trim_matches(':'))
}

/// Without repeating it: it may be a secret.
fn value_of(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| "does not fit into a header".to_owned())
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}
