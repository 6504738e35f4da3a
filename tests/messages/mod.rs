//! Text messages and push notifications: what leaves, what each answer means, and what is refused. Twilio and FCM are stand-ins
//! of ours that take what the providers' published descriptions allow; access tokens are sold for what PyPI's google-auth verifies.

mod google;
mod push;
mod secrets;
mod sms;

use serde_json::{Value, json};

use crate::support::{
    Db, FaultProxy, Fcm, Host, HostOptions, Reply, TokenService, Twilio, fcm,
    twilio::{ACCOUNT, AUTH_TOKEN, FROM},
};

const POLICY: &str = r#"
[plugins.policy.guest-messages]
jobs = ["guest-message"]
sms = ["default"]
push = ["default"]
[plugins.policy.sms]
sms = ["default"]
[plugins.policy.push]
push = ["default"]
"#;

/// Profiles "default", and "other", which nobody is granted.
pub fn sms_options(base: &str, on_doubt: &str) -> HostOptions {
    HostOptions {
        plugins: vec!["guest-messages.wasm", "sms.wasm", "push.wasm"],
        config: format!(
            r#"
[upstreams.twilio]
base_url = "{base}"
basic = {{ username = "{ACCOUNT}", password = {{ env = "USHER_TEST_TWILIO" }} }}
timeout = "6s"
breaker = {{ failures = 0 }}
[sms.profiles.default]
upstream = "twilio"
account = "{ACCOUNT}"
from = "{FROM}"
on_doubt = "{on_doubt}"
[sms.profiles.other]
upstream = "twilio"
account = "{ACCOUNT}"
from = "{FROM}"
[push.profiles.default]
upstream = "twilio"
project = "nowhere"
"#
        ),
        env: vec![("USHER_TEST_TWILIO", AUTH_TOKEN.to_owned())],
        policy: Some(POLICY.to_owned()),
        ..HostOptions::default()
    }
}

/// The same for push. `account`: the service account's key file.
pub fn push_options(base: &str, account: &Value, on_doubt: &str) -> HostOptions {
    HostOptions {
        plugins: vec!["guest-messages.wasm", "push.wasm"],
        config: format!(
            r#"
[upstreams.fcm]
base_url = "{base}"
google = {{ service_account = {{ env = "USHER_TEST_GOOGLE" }} }}
timeout = "6s"
breaker = {{ failures = 0 }}
[push.profiles.default]
upstream = "fcm"
project = "{}"
on_doubt = "{on_doubt}"
[push.profiles.other]
upstream = "fcm"
project = "another"
[sms.profiles.default]
upstream = "fcm"
account = "AC1"
messaging_service = "MG1"
"#,
            fcm::PROJECT
        ),
        env: vec![("USHER_TEST_GOOGLE", account.to_string())],
        policy: Some(POLICY.to_owned()),
        ..HostOptions::default()
    }
}

struct SmsRig {
    twilio: Twilio,
    proxy: FaultProxy,
    db: Db,
    host: Host,
}

impl SmsRig {
    async fn start(on_doubt: &str) -> Self {
        Self::start_with(on_doubt, "").await
    }

    async fn start_with(on_doubt: &str, more: &str) -> Self {
        let twilio = Twilio::start().await;
        let proxy = FaultProxy::start(&twilio.base).await;
        let db = Db::new().await;
        let mut options = sms_options(&proxy.base, on_doubt);
        options.config.push_str(more);
        let host = Host::start(&db, None, options).await;
        Self { twilio, proxy, db, host }
    }
}

struct PushRig {
    tokens: TokenService,
    /// Before the token endpoint.
    desk: FaultProxy,
    fcm: Fcm,
    /// Before FCM.
    proxy: FaultProxy,
    account: Value,
    db: Db,
    host: Host,
}

impl PushRig {
    async fn start(on_doubt: &str) -> Self {
        let (tokens, fcm) = (TokenService::start().await, Fcm::start().await);
        let desk = FaultProxy::start(&tokens.base).await;
        let proxy = FaultProxy::start(&fcm.base).await;
        let account = tokens.account(&desk.base).await;
        let db = Db::new().await;
        let host = Host::start(&db, None, push_options(&proxy.base, &account, on_doubt)).await;
        Self { tokens, desk, fcm, proxy, account, db, host }
    }
}

/// What the guest got of a job that completed.
async fn result(host: &Host, payload: Value) -> Value {
    let client = host.client();
    let id = client.submit("guest-message", payload).await;
    client.wait(&id, "completed").await["result"].clone()
}

/// An answer in JSON.
fn reply(status: u16, body: &Value) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes() }
}

/// The same, and when to come again, in seconds.
fn later(status: u16, body: &Value, seconds: u32) -> Reply {
    let mut reply = reply(status, body);
    reply.headers.push(("retry-after".to_owned(), seconds.to_string()));
    reply
}

pub fn text(to: &str) -> Value {
    json!({"do": "sms", "to": to, "text": "Your code is 4711"})
}

pub fn notification(token: &str) -> Value {
    json!({"do": "push", "token": token, "title": "Doors are open", "body": "Come in."})
}
