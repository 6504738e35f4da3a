//! The contract's functions, answered by the host in memory.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{CURRENT, Effect, Enqueued, Event, Host, Line};
use crate::{
    Error,
    raw::usher::plugin::{
        email::{self, Message},
        jobs::NewJob,
        log::Level,
        push::{self, Notification, Target},
        sms,
        solana::{Minted, Nft},
        stripe::{Outcome, Payment, Payout, Refund, Transfer},
        types,
        upstream::{Method, Request, Response},
    },
};

type Answered<T> = Result<T, types::Error>;

fn with<R>(call: &str, work: impl FnOnce(&mut Host) -> R) -> R {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(host) => work(host),
        None => panic!("{call} needs a host: run the code by usher_plugin::testing::Host::run"),
    })
}

fn effect(call: &'static str, request: Value) -> Answered<Value> {
    with(call, |host| {
        host.effects.push(Effect { call, request });
        host.now_ms += 1_000;
        match host.answers.pop_front() {
            Some(answer) => answer.map_err(raw),
            None => panic!("no answer is there for {call}: give the host one, by Host::ok or Host::rejected"),
        }
    })
}

fn raw(error: Error) -> types::Error {
    match error {
        Error::Denied(message) => types::Error::Denied(message),
        Error::Invalid(message) => types::Error::Invalid(message),
        Error::Rejected(no) => {
            types::Error::Rejected(types::Rejection { code: no.code, message: no.message, status: no.status })
        }
    }
}

/// A field of an answer; absent is null.
fn field<T: DeserializeOwned>(call: &str, answer: &Value, name: &str) -> T {
    match serde_json::from_value(answer[name].clone()) {
        Ok(value) => value,
        Err(error) => panic!("the answer to {call}, {answer}, has no good \"{name}\": {error}"),
    }
}

pub fn now_ms() -> u64 {
    with("context.now-ms", |host| host.now_ms)
}

/// splitmix64, as the host has it; seeded the same in each test.
pub fn random() -> u64 {
    with("context.random", |host| {
        host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (host.random ^ (host.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// Outside of a host's `run` nobody reads it.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    CURRENT.with(|current| {
        if let Some(host) = current.borrow_mut().as_mut() {
            host.log.push(Line { level, message: message.to_owned(), fields: fields.to_vec() });
        }
    });
}

pub fn report(_percent: u8, _note: &str) {}

pub fn enqueue(job: &NewJob) -> Answered<String> {
    with("jobs.enqueue", |host| {
        let payload = serde_json::from_str(&job.payload).map_err(|e| types::Error::Invalid(e.to_string()))?;
        let (job_type, key) = (job.job_type.clone(), job.key.clone());
        host.jobs.push(Enqueued { job_type, payload, key, delay_ms: job.delay_ms });
        Ok(format!("01900000-0000-8000-8000-{:012}", host.jobs.len()))
    })
}

pub fn publish(event_type: &str, data: &str) -> Answered<()> {
    with("webhook.publish", |host| {
        let data = serde_json::from_str(data).map_err(|e| types::Error::Invalid(e.to_string()))?;
        host.events.push(Event { event_type: event_type.to_owned(), data });
        Ok(())
    })
}

pub fn send(message: &Message) -> Answered<email::Sent> {
    let Message { profile, to, subject, text, html, reply_to, attachments } = message;
    let files: Vec<_> = attachments
        .iter()
        .map(|file| json!({"name": file.name, "contentType": file.content_type, "bytes": file.content.len()}))
        .collect();
    let request = json!({
        "profile": profile, "to": to, "subject": subject, "text": text, "html": html, "replyTo": reply_to,
        "attachments": files,
    });
    let call = "email.send";
    effect(call, request).map(|answer| sent(call, to, &answer))
}

pub fn send_template(profile: &str, to: &[String], template: &str, data: &str) -> Answered<email::Sent> {
    let data: Value = serde_json::from_str(data).map_err(|e| types::Error::Invalid(e.to_string()))?;
    let call = "email.send-template";
    let request = json!({"profile": profile, "to": to, "template": template, "data": data});
    effect(call, request).map(|answer| sent(call, to, &answer))
}

fn sent(call: &str, to: &[String], answer: &Value) -> email::Sent {
    let refused: Option<Vec<Value>> = field(call, answer, "refused");
    let refused = refused.unwrap_or_default().into_iter().map(|no| {
        let place: usize = field(call, &no, "recipient");
        let Some(recipient) = to.get(place).cloned() else {
            panic!("the answer to {call} refuses recipient {place}, and there are {}", to.len());
        };
        email::Refusal { recipient, code: field(call, &no, "code"), message: field(call, &no, "message") }
    });
    email::Sent { message_id: field(call, answer, "messageId"), refused: refused.collect() }
}

pub fn send_text(message: &sms::Message) -> Answered<sms::Sent> {
    let sms::Message { profile, to, text } = message;
    let call = "sms.send";
    effect(call, json!({"profile": profile, "to": to, "text": text}))
        .map(|answer| sms::Sent { id: field(call, &answer, "id"), status: field(call, &answer, "status") })
}

pub fn send_notification(notification: &Notification) -> Answered<push::Sent> {
    let Notification { profile, target, title, body, data } = notification;
    let (kind, address) = match target {
        Target::Token(token) => ("token", token),
        Target::Topic(topic) => ("topic", topic),
    };
    let call = "push.send";
    effect(call, json!({"profile": profile, kind: address, "title": title, "body": body, "data": data}))
        .map(|answer| push::Sent { id: field(call, &answer, "id") })
}

fn outcome(call: &'static str, request: Value) -> Answered<Outcome> {
    effect(call, request).map(|answer| Outcome {
        id: field(call, &answer, "id"),
        status: field(call, &answer, "status"),
        amount: field(call, &answer, "amount"),
        currency: field(call, &answer, "currency"),
        raw: answer.to_string(),
    })
}

pub fn create_payment_intent(payment: &Payment) -> Answered<Outcome> {
    let Payment { amount, currency, customer, payment_method, confirm, destination, application_fee, extra } = payment;
    outcome(
        "stripe.create-payment-intent",
        json!({
            "amount": amount, "currency": currency, "customer": customer, "paymentMethod": payment_method,
            "confirm": confirm, "destination": destination, "applicationFee": application_fee, "extra": extra,
        }),
    )
}

pub fn get_payment_intent(id: &str) -> Answered<Outcome> {
    outcome("stripe.get-payment-intent", json!({"paymentIntent": id}))
}

pub fn capture_payment_intent(id: &str, amount: Option<u64>) -> Answered<Outcome> {
    outcome("stripe.capture-payment-intent", json!({"paymentIntent": id, "amount": amount}))
}

pub fn cancel_payment_intent(id: &str, reason: Option<&str>) -> Answered<Outcome> {
    outcome("stripe.cancel-payment-intent", json!({"paymentIntent": id, "reason": reason}))
}

pub fn create_refund(refund: &Refund) -> Answered<Outcome> {
    let Refund { payment_intent, amount, reason, extra } = refund;
    let request = json!({"paymentIntent": payment_intent, "amount": amount, "reason": reason, "extra": extra});
    outcome("stripe.create-refund", request)
}

pub fn create_payout(payout: &Payout) -> Answered<Outcome> {
    let Payout { account, amount, currency, extra } = payout;
    let request = json!({"account": account, "amount": amount, "currency": currency, "extra": extra});
    outcome("stripe.create-payout", request)
}

pub fn create_transfer(transfer: &Transfer) -> Answered<Outcome> {
    let Transfer { amount, currency, destination, transfer_group, extra } = transfer;
    outcome(
        "stripe.create-transfer",
        json!({
            "amount": amount, "currency": currency, "destination": destination, "transferGroup": transfer_group,
            "extra": extra,
        }),
    )
}

pub fn mint_nft(label: &str, nft: &Nft) -> Answered<Minted> {
    let Nft { name, symbol, uri, recipient, collection, royalty_bps, attributes } = nft;
    let call = "solana.mint-nft";
    let request = json!({
        "label": label, "name": name, "symbol": symbol, "uri": uri, "recipient": recipient, "collection": collection,
        "royaltyBps": royalty_bps, "attributes": attributes,
    });
    effect(call, request).map(|answer| Minted {
        mint: field(call, &answer, "mint"),
        token_account: field(call, &answer, "tokenAccount"),
        signature: field(call, &answer, "signature"),
        slot: field(call, &answer, "slot"),
    })
}

pub fn call(request: &Request) -> Answered<Response> {
    let Request { upstream, method, path, query, headers, body } = request;
    let method = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    };
    let mut asked = json!({"upstream": upstream, "method": method, "path": path, "query": query, "headers": headers});
    if let Some(body) = body {
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => asked["json"] = json,
            Err(_) => asked["text"] = String::from_utf8_lossy(body).into(),
        }
    }
    let call = "upstream.call";
    effect(call, asked).map(|answer| {
        let headers: Option<Vec<(String, String)>> = field(call, &answer, "headers");
        let text: Option<String> = field(call, &answer, "text");
        let body = match (text, &answer["json"]) {
            (Some(text), _) => text.into_bytes(),
            (None, Value::Null) => Vec::new(),
            (None, json) => json.to_string().into_bytes(),
        };
        Response { status: field(call, &answer, "status"), headers: headers.unwrap_or_default(), body }
    })
}
