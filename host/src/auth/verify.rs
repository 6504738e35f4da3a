use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AuthError, Caller, Role,
    jwks::Source,
    keys::{self, Keys},
    revoked::Revoked,
    seen::{Known, Seen},
    service::SUBJECT,
};
use crate::{
    config::{Algorithm, Auth, Issuer, OptionalAuth},
    lifecycle::Lifecycle,
    telemetry::Hits,
};

/// Leeway for clocks that differ, in seconds.
pub(super) const LEEWAY: u64 = 60;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// Longest id of a token, in bytes: one that is longer could not be revoked.
const MAX_JTI: usize = 255;
/// A request whose token names an unknown key waits for so long for news of the keys.
const WAIT: Duration = Duration::from_secs(2);

/// Checks tokens against the configured issuers.
pub struct Verifier {
    issuers: Vec<Trusted>,
    /// Swapped whole when keys change.
    book: ArcSwap<Book>,
    /// One change of the book at a time.
    changing: Mutex<()>,
    pub(super) revoked: Revoked,
    /// One look at the revocations at a time, so that an older one never comes after a newer one.
    pub(super) refreshing: tokio::sync::Mutex<()>,
    is_strict: bool,
    pub(super) counts: Counts,
}

/// What tokens are checked with, by issuer, and the tokens that were found good by that.
struct Book {
    keys: Vec<Arc<Keys>>,
    seen: Seen,
}

struct Trusted {
    name: String,
    algorithm: Algorithm,
    validation: Validation,
    /// Of keys that change without us.
    source: Option<Source>,
}

/// How often what is kept in memory was of use.
#[derive(Default)]
pub(super) struct Counts {
    pub seen: Hits,
    pub keys: Hits,
    pub revoked: Hits,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "userId")]
    user_id: Option<String>,
    sub: Option<String>,
    #[serde(rename = "tenantId")]
    tenant_id: Option<String>,
    role: Option<String>,
    jti: Option<String>,
    /// NumericDate: a number of seconds, perhaps with a fraction. What else it may be is the library's to refuse.
    #[serde(default)]
    exp: Value,
}

/// Why a token is not let in, and the issuers whose changing keys lack the one that it names.
struct Refusal {
    error: AuthError,
    lacking: Vec<usize>,
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self { error, lacking: Vec::new() }
    }
}

impl Verifier {
    pub fn new(config: &Auth) -> Result<Self, AuthError> {
        let issuers = config.issuers.iter().map(Trusted::new).collect::<Result<_, _>>()?;
        let keys = config.issuers.iter().map(|issuer| match issuer.jwks {
            Some(_) => Ok(Arc::new(Keys::Set(Vec::new()))),
            None => Keys::of_config(issuer).map(Arc::new),
        });
        let book = Book { keys: keys.collect::<Result<_, _>>()?, seen: Seen::default() };
        Ok(Self {
            issuers,
            book: ArcSwap::from_pointee(book),
            changing: Mutex::new(()),
            revoked: Revoked::default(),
            refreshing: tokio::sync::Mutex::default(),
            is_strict: config.optional == OptionalAuth::Strict,
            counts: Counts::default(),
        })
    }

    /// Looks at the sets of keys, now and again and again, until the host stops.
    pub fn start(self: &Arc<Self>, lifecycle: &Lifecycle) {
        let sources = self.issuers.iter().enumerate().filter(|(_, issuer)| issuer.source.is_some());
        for (n, _) in sources {
            tokio::spawn(follow(Arc::clone(self), n, lifecycle.clone()));
        }
    }

    /// Who sends a token. One that names a key of a set that is not known here may wait a little: the set may have
    /// changed.
    pub async fn admit(&self, token: &str) -> Result<Caller, AuthError> {
        let refusal = match self.look(token) {
            Ok(caller) => return Ok(caller),
            Err(refusal) => refusal,
        };
        let sources = refusal.lacking.iter().filter_map(|n| self.issuers.get(*n)?.source.as_ref());
        let news = sources.filter_map(|source| {
            let mut news = source.news();
            source.ask().then_some(async move {
                let _ = news.changed().await;
            })
        });
        let news: Vec<_> = news.collect();
        if news.is_empty() {
            return Err(refusal.error);
        }
        let _ = tokio::time::timeout(WAIT, join_all(news)).await;
        self.verify(token)
    }

    /// Who sends a token, by the keys that are here. One that was good before and is not expired is not checked again.
    pub fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        self.look(token).map_err(|refusal| refusal.error)
    }

    fn look(&self, token: &str) -> Result<Caller, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Malformed.into());
        }
        let now = now();
        let book = self.book.load();
        let known = book.seen.get(token, now);
        self.counts.seen.count(known.is_some());
        if let Some(known) = known {
            self.check_revoked(known.issuer, known.jti.as_deref(), now)?;
            return Ok(known.caller);
        }
        let (issuer, claims) = self.check(&book, token)?;
        // Rounded down, so that the second in which it expires is checked in full.
        let until = claims.exp.as_f64().map_or(0, |exp| (exp as u64).saturating_add(LEEWAY));
        let jti = jti(claims.jti.as_deref())?;
        let caller = caller(claims)?;
        self.check_revoked(issuer, jti.as_deref(), now)?;
        book.seen.put(token, Known { caller: caller.clone(), issuer, jti, from: now, until });
        Ok(caller)
    }

    /// By the list as it is at this moment, also for a token that was good a moment ago.
    fn check_revoked(&self, issuer: usize, jti: Option<&str>, now: u64) -> Result<(), AuthError> {
        let (Some(jti), Some(issuer)) = (jti, self.issuers.get(issuer)) else { return Ok(()) };
        let is_revoked = self.revoked.has(&issuer.name, jti, now);
        self.counts.revoked.count(is_revoked);
        if is_revoked { Err(AuthError::Revoked) } else { Ok(()) }
    }

    /// The algorithm comes from the key's entry. The token's header only picks among the entries that already agree
    /// with it; `jku`, `x5u`, `x5c` and `jwk` are never read.
    fn check(&self, book: &Book, token: &str) -> Result<(usize, Claims), Refusal> {
        // An unknown `alg` such as "none" already fails to parse.
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::InvalidAlgorithmName | ErrorKind::Json(_) => AuthError::NoIssuer,
            _ => AuthError::Malformed,
        })?;
        // RFC 7515 4.1.11: whoever does not know what stands there must refuse it, and we know nothing that may.
        if header.crit.is_some() {
            return Err(AuthError::Critical.into());
        }
        let mut refusal = Refusal::from(AuthError::NoIssuer);
        for (n, (trusted, keys)) in self.issuers.iter().zip(&book.keys).enumerate() {
            if trusted.algorithm.of_library() != header.alg {
                continue;
            }
            let fitting = keys.fitting(header.kid.as_deref());
            if trusted.source.is_some() {
                self.counts.keys.count(!fitting.is_empty());
                if fitting.is_empty() {
                    refusal.lacking.push(n);
                }
            }
            for key in fitting {
                match decode::<Claims>(token, key, &trusted.validation) {
                    Ok(data) => return Ok((n, data.claims)),
                    Err(error) => refusal.error = reason(error.kind()),
                }
            }
        }
        Err(refusal)
    }

    /// Other keys of an issuer; tokens that were good by the old ones are checked again.
    fn learn(&self, n: usize, keys: Keys) {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.book.load().keys.clone();
        if let Some(place) = all.get_mut(n) {
            *place = Arc::new(keys);
        }
        self.book.store(Arc::new(Book { keys: all, seen: Seen::default() }));
    }

    /// Forgets which tokens were good, and looks at all sets of keys again.
    pub fn flush(&self) {
        {
            let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let keys = self.book.load().keys.clone();
            self.book.store(Arc::new(Book { keys, seen: Seen::default() }));
        }
        self.issuers.iter().filter_map(|issuer| issuer.source.as_ref()).for_each(Source::look_again);
    }

    /// Whether a bad token is refused also where none is needed.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    pub fn knows_issuer(&self, name: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer.name == name)
    }

    /// The sets of keys: whose, how many keys are in it, and what was wrong at the last look.
    pub fn sets(&self) -> Vec<KeySet> {
        let book = self.book.load();
        let sets = self.issuers.iter().zip(&book.keys).filter_map(|(issuer, keys)| {
            let trouble = issuer.source.as_ref()?.trouble();
            Some(KeySet { issuer: issuer.name.clone(), keys: keys.len(), trouble })
        });
        sets.collect()
    }

    pub(super) fn seen(&self) -> usize {
        self.book.load().seen.len()
    }
}

/// A set of keys that changes without us.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeySet {
    pub issuer: String,
    pub keys: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Looks at an issuer's set of keys, and again when its time has come or somebody wants it. What brings nothing leaves
/// the keys as they are.
async fn follow(verifier: Arc<Verifier>, n: usize, lifecycle: Lifecycle) {
    let Some(trusted) = verifier.issuers.get(n) else { return };
    let Some(source) = &trusted.source else { return };
    loop {
        source.begin();
        let read = tokio::select! {
            text = source.fetch() => text.and_then(|text| keys::read_set(&text, trusted.algorithm)),
            () = lifecycle.stopping() => return,
        };
        let trouble = match read {
            Ok(read) => {
                let is_empty = read.keys.is_empty();
                let is_same = verifier.book.load().keys.get(n).is_some_and(|keys| keys.is_same(&read.keys));
                if !is_same {
                    let passed_over = read.passed_over.join("; ");
                    tracing::info!(
                        issuer = trusted.name,
                        keys = read.keys.len(),
                        passed_over,
                        "an issuer's keys are others"
                    );
                    verifier.learn(n, Keys::Set(read.keys));
                }
                is_empty.then(|| format!("holds no usable key for {}", trusted.algorithm.as_str()))
            }
            Err(trouble) => Some(trouble),
        };
        let (pause, is_news) = source.looked(trouble.clone());
        match trouble {
            Some(trouble) if is_news => {
                tracing::warn!(issuer = trusted.name, trouble, "an issuer's JWKS is in trouble");
            }
            None if is_news => tracing::info!(issuer = trusted.name, "an issuer's JWKS is well"),
            _ => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = source.wanted() => {}
            () = lifecycle.stopping() => return,
        }
    }
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

impl Algorithm {
    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl Trusted {
    fn new(issuer: &Issuer) -> Result<Self, AuthError> {
        let mut validation = Validation::new(issuer.algorithm.of_library());
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp"]);
        validation.validate_aud = issuer.aud.is_some();
        if let Some(aud) = &issuer.aud {
            validation.set_audience(&[aud]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(iss) = &issuer.iss {
            validation.set_issuer(&[iss]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        let source = issuer.jwks.as_ref().map(|jwks| Source::new(&issuer.name, jwks)).transpose()?;
        Ok(Self { name: issuer.name.clone(), algorithm: issuer.algorithm, validation, source })
    }
}

fn jti(claim: Option<&str>) -> Result<Option<Arc<str>>, AuthError> {
    match claim {
        Some(jti) if !is_jti(jti) => Err(AuthError::BadClaim("jti")),
        jti => Ok(jti.map(Arc::from)),
    }
}

/// 1 to 255 bytes, none of control: one that could not be written down could not be revoked.
pub(crate) fn is_jti(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_JTI && !text.chars().any(char::is_control)
}

fn caller(claims: Claims) -> Result<Caller, AuthError> {
    let role = Role::parse(claims.role.as_deref());
    let subject = claims.user_id.or(claims.sub).ok_or(AuthError::MissingClaim("userId"))?;
    if subject.is_empty() || subject.len() > 255 || subject.chars().any(char::is_control) || is_reserved(&subject) {
        return Err(AuthError::BadClaim("userId"));
    }
    match &claims.tenant_id {
        None if role != Role::Admin => return Err(AuthError::MissingClaim("tenantId")),
        Some(tenant) if !is_tenant(tenant) => return Err(AuthError::BadClaim("tenantId")),
        _ => {}
    }
    Ok(Caller { tenant: claims.tenant_id, subject, role, scope: None })
}

/// What the record says of those that no token speaks for: a host, Stripe, the plugins folder; keys, SQL, commands, imports.
fn is_reserved(subject: &str) -> bool {
    ["usher", "stripe", "plugins folder"].contains(&subject)
        || [SUBJECT, "sql:", "cli:", "import:"].iter().any(|prefix| subject.starts_with(prefix))
}

/// 1 to 128 characters, none of control.
pub(crate) fn is_tenant(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 128 && !text.chars().any(char::is_control)
}

fn reason(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::Early,
        ErrorKind::InvalidSignature => AuthError::Signature,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => AuthError::Elsewhere,
        ErrorKind::MissingRequiredClaim(name) => AuthError::MissingClaim(match name.as_str() {
            "exp" => "exp",
            "aud" => "aud",
            "iss" => "iss",
            _ => "required claim",
        }),
        ErrorKind::InvalidAlgorithm => AuthError::NoIssuer,
        _ => AuthError::Malformed,
    }
}
