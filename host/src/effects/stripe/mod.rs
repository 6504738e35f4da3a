//! Stripe: payment intents, refunds, payouts and transfers, each at most once.
//!
//! A write carries the effect's id twice: as its `Idempotency-Key`, and in the metadata of what it makes, by which a call
//! in doubt is looked for before it is repeated. The transport is our own, so that both are on every request and nothing
//! is ever sent twice by itself.

mod account;
mod answer;
mod ask;
mod currency;
mod reconcile;
mod request;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};

pub(super) use self::currency::decimals;
pub use self::reconcile::{Day, Difference, Reconciled};
use self::{
    account::{Account, Routes},
    answer::Reply,
    request::No,
};
use super::{Asked, CallEnd, OnBehalf, Prepared, Provider, Refused, Sending, Sent, Told, card, gate::without_nul};
use crate::{
    clock::Boottime,
    config,
    ids::EffectId,
    journal::{Answer, Class, Rejection, ledger},
    ratelimit::Bucket,
};

/// The version of Stripe's API that every request asks for, whatever the account's own.
pub const API_VERSION: &str = "2026-08-26.dahlia";
/// Stripe forgets a key after 24 hours at the earliest.
const REMEMBERS: Duration = Duration::from_secs(23 * 3600);
/// Metadata of what an effect made.
pub const EFFECT: &str = "usher_effect";
/// Beyond this between the question whose payment it is and the call itself, the fence may have moved.
const PATIENCE: Duration = Duration::from_secs(2);
/// Metadata of whose it is.
pub const TENANT: &str = "usher_tenant";

/// `usher:plugin/stripe`. The answer's value is the WIT's `outcome`.
#[derive(Debug)]
pub enum Request {
    CreatePaymentIntent {
        amount: u64,
        currency: String,
        customer: Option<String>,
        payment_method: Option<String>,
        confirm: bool,
        destination: Option<String>,
        application_fee: Option<u64>,
        extra: Vec<(String, String)>,
    },
    GetPaymentIntent {
        id: String,
    },
    CapturePaymentIntent {
        id: String,
        amount: Option<u64>,
    },
    CancelPaymentIntent {
        id: String,
        reason: Option<String>,
    },
    CreateRefund {
        payment_intent: String,
        amount: Option<u64>,
        reason: Option<String>,
        extra: Vec<(String, String)>,
    },
    CreatePayout {
        account: Option<String>,
        amount: u64,
        currency: String,
        extra: Vec<(String, String)>,
    },
    CreateTransfer {
        amount: u64,
        currency: String,
        destination: String,
        transfer_group: Option<String>,
        extra: Vec<(String, String)>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("stripe.profiles.{profile}: {message}")]
pub struct StripeError {
    profile: String,
    message: String,
}

/// What a call does, as far as doubt and the ledger care.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Payment { confirm: bool },
    Get { id: String },
    Capture { id: String },
    Cancel { id: String },
    Refund { payment_intent: String },
    Payout,
    Transfer { group: Option<String> },
}

/// A checked request and the account that takes it.
#[derive(Debug)]
pub struct Call {
    account: Arc<Account>,
    what: What,
    path: String,
    form: Vec<(String, String)>,
    on: Option<String>,
    tenant: String,
}

/// The provider.
pub struct Stripe {
    routes: Routes,
    accounts: Vec<Arc<Account>>,
    venue_field: String,
}

impl Stripe {
    pub fn new(config: &config::Stripe) -> Result<Self, StripeError> {
        let mut routes = Routes::default();
        let mut accounts = Vec::new();
        for (name, profile) in &config.profiles {
            // One account may stand under several names.
            let same = |other: &&config::StripeProfile| {
                (other.key.expose(), &other.account) == (profile.key.expose(), &profile.account)
            };
            let tenants: BTreeSet<_> = config.profiles.values().filter(same).flat_map(|p| &p.tenants).collect();
            let is_shared = tenants.len() != 1 || tenants.iter().any(|tenant| *tenant == "*");
            let account = Arc::new(Account::new(name, profile, is_shared)?);
            routes.add(profile, &account);
            accounts.push(account);
        }
        Ok(Self { routes, accounts, venue_field: config.venue_field.clone() })
    }

    /// The venue that a payload names, where the profiles tell venues apart.
    pub fn venue(&self, payload: &str) -> Option<String> {
        if !self.routes.know_venues() {
            return None;
        }
        let payload: Value = serde_json::from_str(payload).ok()?;
        match payload.get(&self.venue_field)? {
            Value::String(venue) => Some(venue.clone()),
            Value::Number(venue) => Some(venue.to_string()),
            _ => None,
        }
    }
}

impl Provider for Stripe {
    const NAME: &'static str = "stripe";
    type Request = Request;
    type Call = Call;

    fn prepare(&self, who: &OnBehalf, request: Request) -> Result<Prepared<Call>, Refused> {
        let function = request.function();
        let account = self.routes.find(who);
        let mut identity = request.identity();
        let mut redacted = request.redacted();
        for shown in [&mut identity, &mut redacted] {
            shown["profile"] = json!(account.map(|account| &account.profile));
            shown["on"] = json!(account.and_then(|account| account.account.as_ref()));
        }
        let refuse = |answer| Refused { function, identity: identity.clone(), answer };
        if !who.grants.stripe.iter().any(|granted| granted == function) {
            return Err(refuse(Answer::Denied(format!("grants.stripe does not name \"{function}\""))));
        }
        let Some(account) = account else {
            return Err(refuse(Answer::Denied("no Stripe profile of this host serves the job's tenant".to_owned())));
        };
        let outgoing = request::outgoing(account, request).map_err(|no| {
            refuse(match no {
                No::Denied(message) => Answer::Denied(message),
                No::Invalid(message) => Answer::Invalid(message),
            })
        })?;
        Ok(Prepared {
            function,
            class: if outgoing.what.is_read() { Class::Read } else { Class::Asked },
            identity,
            redacted,
            // A shared account is asked first whose the payment is.
            timeout: account.timeout * if account.is_shared && outgoing.what.existing().is_some() { 2 } else { 1 },
            remembers: REMEMBERS,
            bucket: Bucket::profile(Self::NAME, &account.profile),
            call: Call {
                account: Arc::clone(account),
                what: outgoing.what,
                path: outgoing.path,
                form: outgoing.form,
                on: outgoing.on,
                tenant: who.tenant.clone(),
            },
        })
    }

    async fn call(&self, sending: Sending, call: &Call) -> CallEnd {
        let asked = Boottime::now();
        if let Some(end) = call.is_anothers().await {
            return end;
        }
        if asked.elapsed() > PATIENCE {
            return CallEnd::Unreachable("Stripe was too slow to say whose payment it is; nothing was sent".to_owned());
        }
        let sent = match &call.what {
            What::Get { .. } => call.account.request(reqwest::Method::GET, &call.path, call.on.as_deref()).send().await,
            _ => call.account.post(call, sending.id).send().await,
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() => return CallEnd::Unreachable(answer::plain(&error)),
            Err(error) => return answer::lost(&call.what, answer::plain(&error)),
        };
        match Reply::read(response).await {
            Ok(reply) => answer::meaning(&call.what, reply),
            Err(message) => answer::lost(&call.what, message),
        }
    }

    async fn ask(&self, id: EffectId, sent: Sent, call: &Call) -> Asked {
        call.ask(id, sent).await
    }

    fn ledger(&self, call: &Call, value: &Value) -> Option<ledger::Line> {
        line(call.what.kind()?, &call.account.profile, call.on.clone(), value)
    }
}

fn line(kind: &'static str, profile: &str, account: Option<String>, value: &Value) -> Option<ledger::Line> {
    Some(ledger::Line {
        profile: profile.to_owned(),
        account,
        kind,
        provider_id: value["id"].as_str()?.to_owned(),
        amount: value["amount"].as_i64()?,
        currency: value["currency"].as_str()?.to_owned(),
        status: value["status"].as_str()?.to_owned(),
    })
}

/// An object that Stripe tells of, as the journal would keep it: without secrets and cards' numbers, bounded.
pub fn shown(mut object: Value) -> Value {
    card::veil(&mut object);
    without_nul(&mut object);
    serde_json::from_str(&answer::raw(&object)).unwrap_or_default()
}

/// What a person reads off Stripe's dashboard: the object's id, status, amount and currency.
pub(super) fn by_person(function: &str, request: &Value, answer: &Value) -> Result<Told, String> {
    let text = |field: &str| {
        answer[field].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("/answer/{field}: a string"))
    };
    let amount = answer["amount"].as_u64().ok_or("/answer/amount: a whole number, in the currency's smallest unit")?;
    let value = json!({
        "id": text("id")?, "status": text("status")?, "amount": amount, "currency": currency::code(text("currency")?)?,
        "raw": answer::raw(answer),
    });
    let kind = KINDS.iter().find(|(name, _)| *name == function).map(|(_, kind)| *kind);
    let on = request["account"].as_str().or(request["on"].as_str()).map(str::to_owned);
    let profile = request["profile"].as_str().unwrap_or_default();
    let line = kind.and_then(|kind| line(kind, profile, on, &value));
    if kind.is_some() && line.is_none() {
        return Err("/answer/amount: is too large".to_owned());
    }
    Ok(Told { value, line })
}

/// What the functions that move money are called in the ledger.
const KINDS: [(&str, &str); 6] = [
    ("create-payment-intent", "payment"),
    ("capture-payment-intent", "capture"),
    ("cancel-payment-intent", "cancel"),
    ("create-refund", "refund"),
    ("create-payout", "payout"),
    ("create-transfer", "transfer"),
];

impl What {
    fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Get { .. } => return None,
            Self::Payment { .. } => "payment",
            Self::Capture { .. } => "capture",
            Self::Cancel { .. } => "cancel",
            Self::Refund { .. } => "refund",
            Self::Payout => "payout",
            Self::Transfer { .. } => "transfer",
        })
    }

    fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. })
    }

    /// The payment that it is about.
    fn existing(&self) -> Option<&str> {
        match self {
            Self::Get { id } | Self::Capture { id } | Self::Cancel { id } | Self::Refund { payment_intent: id } => {
                Some(id)
            }
            Self::Payment { .. } | Self::Payout | Self::Transfer { .. } => None,
        }
    }

    /// It makes something, which then carries the effect's mark.
    fn makes(&self) -> bool {
        matches!(self, Self::Payment { .. } | Self::Refund { .. } | Self::Payout | Self::Transfer { .. })
    }
}

impl Call {
    /// Where tenants share an account, an id in a payload may be somebody else's payment: nothing is done to it, and
    /// nothing of it shown. Not a byte of the call itself has left by then.
    async fn is_anothers(&self) -> Option<CallEnd> {
        let id = self.what.existing().filter(|_| self.account.is_shared)?;
        match self.get(&format!("/v1/payment_intents/{id}"), &[]).await {
            Ok(payment) if payment["id"] != id => {
                Some(CallEnd::Unreachable("Stripe does not show the payment; nothing was sent".to_owned()))
            }
            Ok(payment) if self.is_ours(&payment) => None,
            Ok(_) | Err(Asked::Unclear(_)) => Some(CallEnd::Answer(Answer::Rejected(Rejection {
                code: "resource_missing".to_owned(),
                message: "There is no such payment of this tenant.".to_owned(),
                status: Some(404),
            }))),
            Err(Asked::NotNow { message, after }) => Some(CallEnd::Transient { message, retry_after: after }),
            Err(Asked::Answer(_) | Asked::Absent) => None,
        }
    }
}

impl Call {
    /// As far as its mark tells, where tenants share an account.
    fn is_ours(&self, payment: &Value) -> bool {
        !self.account.is_shared || payment["metadata"][TENANT] == self.tenant.as_str()
    }
}

impl Account {
    fn request(&self, method: reqwest::Method, path: &str, on: Option<&str>) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}{path}"));
        let request =
            self.client.request(method, url).bearer_auth(self.key.expose()).header("Stripe-Version", API_VERSION);
        match on {
            Some(account) => request.header("Stripe-Account", account),
            None => request,
        }
    }

    fn post(&self, call: &Call, id: EffectId) -> reqwest::RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&call.form);
        if call.what.makes() {
            form.append_pair(&format!("metadata[{EFFECT}]"), &id.to_string());
            form.append_pair(&format!("metadata[{TENANT}]"), &call.tenant);
        }
        self.request(reqwest::Method::POST, &call.path, call.on.as_deref())
            .header("Idempotency-Key", id.to_string())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)], on: Option<&str>) -> Result<Reply, String> {
        let mut request = self.request(reqwest::Method::GET, path, on).build().map_err(|e| answer::plain(&e))?;
        if !query.is_empty() {
            request.url_mut().query_pairs_mut().extend_pairs(query);
        }
        let response = self.client.execute(request).await.map_err(|e| answer::plain(&e))?;
        Reply::read(response).await
    }
}
