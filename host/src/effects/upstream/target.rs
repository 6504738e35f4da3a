use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

use super::{Outgoing, breaker::Breaker};
use crate::{
    clock,
    config::{FixedHeader, SignatureKey, Upstream},
    effects::client,
    ids::EffectId,
    signature::{Message, Signer, content_digest},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// One configured service.
pub(super) struct Target {
    pub config: Upstream,
    pub base: Url,
    pub client: Client,
    pub breaker: Arc<Breaker>,
    /// Sent always, the credential among them.
    fixed: HeaderMap,
    tenant_header: Option<HeaderName>,
    signer: Option<Signer>,
    /// What must not come back to a guest.
    secrets: Vec<SecretString>,
}

/// A request as it goes out, once.
pub(super) struct Signed {
    pub request: reqwest::Request,
    /// Only this try's.
    pub signature: Option<String>,
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
        let breaker = Breaker::new(name, config.breaker);
        Ok(Self { config: config.clone(), base, client, breaker, fixed, tenant_header, signer, secrets })
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

    /// One try. The key is the same on all of them; a signature is fresh.
    pub fn request(&self, id: EffectId, call: &Outgoing) -> Result<Signed, String> {
        let mut request = reqwest::Request::new(call.method.into(), call.url.clone());
        *request.headers_mut() = call.headers.clone();
        if !call.method.is_read() {
            request.headers_mut().insert(IDEMPOTENCY_KEY, value_of(&id.to_string())?);
        }
        let signature =
            self.signer.as_ref().map(|signer| self.sign(signer, call, request.headers_mut())).transpose()?;
        if let Some(body) = &call.body {
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(Signed { request, signature })
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

    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(SecretString::expose_secret)
    }
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
