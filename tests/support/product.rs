//! The product's ten job types with all that they talk to: a peer for each provider that there is one of, and stand-ins, named as
//! such, for the rest. Faults are injected by the proxies on the way.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

use super::{
    Cluster, Fault, FaultProxy, Fcm, HostOptions, Key, MintingService, Receiver, Services, Sink, StripeStandIn,
    StripeWorld, TokenService, Twilio, fcm,
    minting::{KEY as MINTING_KEY, KEY_ID},
    services::REFUSED_EVENT,
    stripe::{KEY as STRIPE_KEY, id},
    twilio,
};

/// What runs them.
pub const PLUGINS: [&str; 10] = [
    "payments.wasm",
    "refunds.wasm",
    "payouts.wasm",
    "nft.wasm",
    "notifications.wasm",
    "sms.wasm",
    "push.wasm",
    "analytics-upstream.wasm",
    "cleanup.wasm",
    "reports.wasm",
];

/// Each with who answers it here, as people should read it.
pub const TYPES: [(&str, &str); 10] = [
    ("payment-process", "Stripe World (PyPI seahaven-stripe-world)"),
    ("refund-process", "Stripe World (PyPI seahaven-stripe-world)"),
    ("payout-process", "Stripe World (PyPI seahaven-stripe-world)"),
    ("nft-mint", "minting service (requests verified by PyPI http-message-signatures)"),
    ("send-email", "SMTP server (PyPI aiosmtpd)"),
    ("send-sms", "stand-in for Twilio, by its published description"),
    ("send-push", "stand-in for FCM, by its published description; tokens for what PyPI google-auth verifies"),
    ("analytics-track", "stand-in for an analytics service, ours"),
    ("cleanup-old-data", "stand-in for the shop's data service, ours"),
    ("generate-report", "stand-ins for the shop's data service and a storage, ours"),
];

/// What the ten plugins ask for, and no more.
pub const POLICY: &str = r#"
[plugins.policy.payments]
stripe = ["create-payment-intent"]
jobs = ["send-email"]
webhook = ["payment.completed", "payment.processing", "payment.requires_action"]
[plugins.policy.refunds]
stripe = ["create-refund"]
jobs = ["send-email"]
webhook = ["refund.completed", "refund.pending"]
[plugins.policy.payouts]
stripe = ["create-payout", "create-transfer"]
webhook = ["payout.created"]
[plugins.policy.nft]
upstream = ["metadata", "minting"]
solana = ["mint-nft"]
jobs = ["send-email"]
webhook = ["nft.minted"]
[plugins.policy.notifications]
email = ["default"]
[plugins.policy.sms]
sms = ["default"]
[plugins.policy.push]
push = ["default"]
[plugins.policy.analytics]
upstream = ["analytics"]
[plugins.policy.cleanup]
upstream = ["data"]
jobs = ["cleanup-old-data"]
[plugins.policy.reports]
upstream = ["data", "storage"]
"#;

/// A connected account that payouts and transfers of tenant t2 may name.
pub const CONNECTED: &str = "acct_venue";

pub struct Product {
    pub world: StripeWorld,
    /// Tenant t2's: it has transfers and connected accounts.
    pub connect: StripeStandIn,
    pub minting: MintingService,
    pub cluster: Cluster,
    pub wallet: Key,
    pub sink: Sink,
    pub twilio: Twilio,
    pub fcm: Fcm,
    pub services: Services,
    pub receiver: Receiver,
    /// Before Stripe World, the minting service, Twilio, FCM and the services.
    pub to_stripe: FaultProxy,
    pub to_minting: FaultProxy,
    pub to_twilio: FaultProxy,
    pub to_fcm: FaultProxy,
    pub to_services: FaultProxy,
    pub tokens: TokenService,
    account: Value,
}

impl Product {
    pub async fn start() -> Self {
        let (world, minting, cluster) = tokio::join!(StripeWorld::start(), MintingService::start(), Cluster::start());
        let (sink, tokens, connect) = tokio::join!(Sink::start(), TokenService::start(), StripeStandIn::start());
        let (twilio, fcm, services) = tokio::join!(Twilio::start(), Fcm::start(), Services::start());
        let (wallet, account) = (cluster.wallet().await, tokens.account(&tokens.base).await);
        Self {
            to_stripe: FaultProxy::start(world.base_url()).await,
            to_minting: FaultProxy::start(&minting.base).await,
            to_twilio: FaultProxy::start(&twilio.base).await,
            to_fcm: FaultProxy::start(&fcm.base).await,
            to_services: FaultProxy::start(&services.base).await,
            receiver: Receiver::start().await,
            world,
            connect,
            minting,
            cluster,
            wallet,
            sink,
            twilio,
            fcm,
            services,
            tokens,
            account,
        }
    }

    /// A host that runs the ten. `more`: further sections of its configuration.
    pub fn options(&self, more: &str) -> HostOptions {
        HostOptions {
            plugins: PLUGINS.to_vec(),
            policy: Some(POLICY.to_owned()),
            config: self.config() + more,
            env: vec![
                ("USHER_TEST_STRIPE", STRIPE_KEY.to_owned()),
                ("USHER_TEST_STRIPE_CONNECT", format!("{STRIPE_KEY}_connect")),
                ("USHER_TEST_MINTING", MINTING_KEY.to_owned()),
                ("USHER_TEST_TWILIO", twilio::AUTH_TOKEN.to_owned()),
                ("USHER_TEST_GOOGLE", self.account.to_string()),
                ("USHER_TEST_MINT_KEY", "the mint key of the integration tests, long enough".to_owned()),
                ("USHER_TEST_WALLET", self.wallet.secret.clone()),
                ("USHER_TEST_SOLANA_0", self.cluster.url()),
            ],
            ..HostOptions::default()
        }
    }

    fn config(&self) -> String {
        let Self { to_stripe, to_minting, to_twilio, to_fcm, to_services, connect, receiver, .. } = self;
        let (stripe, minting, services) = (&to_stripe.base, &to_minting.base, &to_services.base);
        let (account, from, project) = (twilio::ACCOUNT, twilio::FROM, fcm::PROJECT);
        let common = "timeout = \"5s\"\nbreaker = { failures = 0 }\nidempotent = true";
        format!(
            r#"
[stripe.profiles.main]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
base_url = "{stripe}"
timeout = "5s"
[stripe.profiles.connect]
key = {{ env = "USHER_TEST_STRIPE_CONNECT" }}
tenants = ["t2"]
connected = ["{CONNECTED}"]
base_url = "{}"
timeout = "5s"
[solana]
mint_key = {{ env = "USHER_TEST_MINT_KEY" }}
[solana.profiles.main]
wallet = {{ env = "USHER_TEST_WALLET" }}
tenants = ["t1"]
endpoints = [{{ url = {{ env = "USHER_TEST_SOLANA_0" }} }}]
timeout = "4s"
commitment = "confirmed"
max_lamports_per_hour = 10000000000
[upstreams.metadata]
base_url = "{minting}/storage"
methods = ["PUT"]
{common}
[upstreams.minting]
base_url = "{minting}"
methods = ["POST"]
paths = ["/api/v1/mint/compressed"]
tenant_header = "X-Tenant-ID"
signature = {{ key_id = "{KEY_ID}", key = {{ env = "USHER_TEST_MINTING" }} }}
{common}
[upstreams.analytics]
base_url = "{services}/analytics"
methods = ["POST"]
{common}
[upstreams.data]
base_url = "{services}/data"
methods = ["GET", "POST"]
{common}
[upstreams.storage]
base_url = "{services}/storage"
methods = ["PUT"]
{common}
[upstreams.twilio]
base_url = "{}"
basic = {{ username = "{account}", password = {{ env = "USHER_TEST_TWILIO" }} }}
timeout = "5s"
breaker = {{ failures = 0 }}
[sms.profiles.default]
upstream = "twilio"
account = "{account}"
from = "{from}"
[upstreams.fcm]
base_url = "{}"
google = {{ service_account = {{ env = "USHER_TEST_GOOGLE" }} }}
timeout = "5s"
breaker = {{ failures = 0 }}
[push.profiles.default]
upstream = "fcm"
project = "{project}"
[webhooks]
timeout = "2s"
retries = ["100ms", "200ms", "500ms", "1s", "2s"]
allow_private = ["{}"]
"#,
            connect.base,
            to_twilio.base,
            to_fcm.base,
            receiver.place(),
        )
    }

    /// A payload that its type can do; `n` tells it from others.
    pub async fn payload(&self, job_type: &str, n: u32) -> Value {
        match job_type {
            "payment-process" => self.payment("tok_visa", n).await,
            "refund-process" => {
                json!({
                    "venueId": "v1", "transactionId": self.paid().await, "amount": 1000, "reason": "requested_by_customer",
                    "email": "anna@example.com", "name": "Anna",
                })
            }
            "payout-process" => {
                self.world.stripe.balance(5000, "eur").await;
                json!({"venueId": "v1", "period": format!("2026-{n:02}"), "amount": 700, "currency": "EUR"})
            }
            "nft-mint" => json!({
                "eventId": "jazz", "eventName": "Night of Jazz", "seatId": format!("{n}A"), "name": format!("Seat {n}A"),
                "symbol": "TICKET", "attributes": {"row": n.to_string()}, "email": "anna@example.com", "holder": "Anna",
            }),
            "send-email" => json!({
                "to": format!("guest-{n}@example.com"), "subject": format!("Doors {n}"), "text": "They open at seven.",
            }),
            "send-sms" => json!({
                "to": format!("+491511234{n:04}"), "template": "verification-code", "data": {"code": format!("{n:06}")},
            }),
            "send-push" => json!({"topic": format!("news-{n}"), "title": "Doors are open", "body": "Come in."}),
            "analytics-track" => {
                json!({"event": format!("Door {n} opened"), "userId": "u1", "properties": {"door": n}})
            }
            "cleanup-old-data" => {
                let collection = format!("sessions-{n}");
                self.services.fill(&collection, 1_200);
                json!({"collection": collection, "before": "2026-01-01T00:00:00Z"})
            }
            "generate-report" => {
                let to = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap() + Days::new(n.into());
                json!({"report": "sales", "format": "csv", "from": "2026-01-01", "to": to.to_string()})
            }
            other => panic!("the product has no type {other}"),
        }
    }

    /// A payload that its type's provider refuses for good, and a word of what the provider says; `n` as in `payload`.
    pub async fn refused(&self, job_type: &str, n: u32) -> (Value, &'static str) {
        let mut payload = self.payload(job_type, n).await;
        let said = match job_type {
            "payment-process" => {
                payload = self.payment("tok_visa_chargeDeclinedInsufficientFunds", n).await;
                "insufficient_funds"
            }
            "refund-process" => {
                let paid = payload["transactionId"].as_str().unwrap();
                self.world.stripe.create("/v1/refunds", &[("payment_intent", paid)]).await;
                "rejected"
            }
            "payout-process" => {
                payload["amount"] = 99_999_999.into();
                "rejected"
            }
            "nft-mint" => {
                // The service looks for the file where the payload says it is.
                payload["metadataBase"] = "https://elsewhere.example.com/".into();
                "answered 409"
            }
            "send-email" => {
                self.sink.say_of(payload["to"].as_str().unwrap(), "550 5.1.1 no such user").await;
                "550"
            }
            "send-sms" => {
                payload = json!({"to": twilio::UNSUBSCRIBED, "message": format!("Doors {n} are open.")});
                "21610"
            }
            "send-push" => {
                payload =
                    json!({"token": fcm::UNREGISTERED, "title": format!("Doors {n} are open"), "body": "Come in."});
                "UNREGISTERED"
            }
            "analytics-track" => {
                payload["event"] = REFUSED_EVENT.into();
                "answered 400"
            }
            "cleanup-old-data" => {
                payload["collection"] = format!("nothing-of-the-kind-{n}").into();
                "answered 404"
            }
            "generate-report" => {
                payload["report"] = "nothing-of-the-kind".into();
                "answered 404"
            }
            other => panic!("{other}"),
        };
        (payload, said)
    }

    /// The next request of this type's provider fails for now: the provider acts, and its answer is lost; or it says "not now".
    pub async fn stumble(&self, job_type: &str, payload: &Value) {
        match job_type {
            "payment-process" => self.to_stripe.on("POST /v1/payment_intents", 1, Fault::CutAfter),
            "refund-process" => self.to_stripe.on("POST /v1/refunds", 1, Fault::CutAfter),
            "payout-process" => self.to_stripe.on("POST /v1/payouts", 1, Fault::CutAfter),
            "nft-mint" => self.to_minting.on("POST /api/v1/mint/compressed", 1, Fault::CutAfter),
            "send-email" => self.sink.say_of(payload["to"].as_str().unwrap(), "451 4.3.0 try later").await,
            "send-sms" => self.to_twilio.on("POST /2010-04-01/", 1, Fault::broken()),
            "send-push" => self.to_fcm.on("POST /v1/projects/", 1, Fault::broken()),
            "analytics-track" => self.to_services.on("POST /analytics/events", 1, Fault::CutAfter),
            "cleanup-old-data" => self.to_services.on("POST /data/cleanup/", 1, Fault::CutAfter),
            "generate-report" => self.to_services.on("PUT /storage/reports/", 1, Fault::CutAfter),
            other => panic!("{other}"),
        }
    }

    /// How often the provider did what this job asked, by the provider's own books.
    pub async fn done(&self, job_type: &str, job: &str, payload: &Value) -> usize {
        let text = |field: &str| payload[field].as_str().unwrap().to_owned();
        match job_type {
            "payment-process" => self.world.stripe.with_metadata("/v1/payment_intents", "job", job).await.len(),
            "refund-process" => self.world.stripe.with_metadata("/v1/refunds", "job", job).await.len(),
            "payout-process" => self.world.stripe.with_metadata("/v1/payouts", "job", job).await.len(),
            "nft-mint" => self.minting.mints().await.iter().filter(|mint| mint["ticket"] == payload["seatId"]).count(),
            "send-email" => self.sink.mails().await.iter().filter(|mail| mail["to"] == json!([payload["to"]])).count(),
            "send-sms" => self.twilio.texts().iter().filter(|sent| sent.to == text("to")).count(),
            "send-push" => self.fcm.messages().iter().filter(|message| message["topic"] == payload["topic"]).count(),
            "analytics-track" => self.services.events().iter().filter(|event| event["id"] == job).count(),
            "cleanup-old-data" => {
                assert_eq!(self.services.left(&text("collection")), Some(0));
                // 1,200 rows are three pages.
                self.services.cleanups(&text("collection")) / 3
            }
            "generate-report" => self.services.files().keys().filter(|path| path.contains(job)).count(),
            other => panic!("{other}"),
        }
    }

    /// An order that pays by a test card of Stripe's.
    pub async fn payment(&self, card: &str, n: u32) -> Value {
        json!({
            "venueId": "v1", "userId": "u1", "eventId": format!("event-{n}"), "eventName": "Night of Jazz", "amount": 5000,
            "currency": "EUR", "paymentMethod": self.world.stripe.payment_method(card).await, "name": "Anna",
            "email": "anna@example.com", "items": [{"name": "Seat", "quantity": 2, "unitAmount": 2500}],
        })
    }

    /// A payment that was made elsewhere, to be given back; its id.
    pub async fn paid(&self) -> String {
        let card = self.world.stripe.payment_method("tok_visa").await;
        let fields = [("amount", "5000"), ("currency", "eur"), ("payment_method", card.as_str()), ("confirm", "true")];
        id(&self.world.stripe.create("/v1/payment_intents", &fields).await)
    }

    /// A payload of `nft-mint` that is minted on the chain.
    pub fn on_solana(&self, recipient: &Key, n: u32) -> Value {
        json!({
            "profile": "solana", "eventId": "jazz", "seatId": format!("{n}S"), "name": format!("Seat {n}S"),
            "symbol": "TICKET", "recipient": recipient.address, "metadataBase": "https://files.example.com/",
            "royaltyBps": 500,
        })
    }

    /// A payload of `payout-process` for tenant t2, by turns a transfer to the connected account and a payout of its balance.
    pub fn connected(&self, n: u32) -> Value {
        let field = if n % 2 == 1 { "transferTo" } else { "account" };
        json!({"venueId": "v2", "payoutId": format!("p-{n}"), "amount": 300, "currency": "EUR", field: CONNECTED})
    }
}
