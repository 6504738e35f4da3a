//! A host in memory, for a plugin's own unit tests: `cargo test` on the developer's machine, without WebAssembly.
//!
//! ```
//! use serde_json::json;
//! use usher_plugin::{Failure, Job, email::{Message, Sent}, testing::Host};
//!
//! fn process(job: Job<String>) -> Result<Sent, Failure> {
//!     Ok(Message::new(job.payload, "Welcome", "Hello.").send()?)
//! }
//!
//! let mut host = Host::new().ok(json!({"messageId": "<1@example.com>"}));
//! let sent = host.run(|| process(Job::sample("send-welcome", "ada@example.com".to_owned()))).unwrap();
//! assert_eq!(sent.message_id, "<1@example.com>");
//! assert_eq!(host.effects()[0].call, "email.send");
//! assert_eq!(host.effects()[0].request["to"], json!(["ada@example.com"]));
//! ```
//!
//! It grants everything and checks nothing but the shape of its answers: limits, grants, schemas and what a crash does are
//! the business of `usher plugin test`, whose cases have answers of the same form.

pub(crate) mod calls;

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use serde_json::Value;

use crate::{Error, Rejection};

thread_local! {
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// What a plugin meets in a test: answers that are there already, and a record of what was asked.
#[derive(Clone, Debug)]
pub struct Host {
    answers: VecDeque<Result<Value, Error>>,
    effects: Vec<Effect>,
    jobs: Vec<Enqueued>,
    events: Vec<Event>,
    log: Vec<Line>,
    now_ms: u64,
    random: u64,
}

/// A call of a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// `email.send`.
    pub call: &'static str,
    /// As the contract's record says it, with names in camel case. The body of an upstream's request is `json` where it is JSON,
    /// else `text`; the target of a notification is `token` or `topic`.
    pub request: Value,
}

/// A child job.
#[derive(Clone, Debug, PartialEq)]
pub struct Enqueued {
    pub job_type: String,
    pub payload: Value,
    pub key: Option<String>,
    pub delay_ms: u64,
}

/// A published event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub event_type: String,
    pub data: Value,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// It is the first of January 2026, 00:00 UTC.
    pub fn new() -> Self {
        Self {
            answers: VecDeque::new(),
            effects: Vec::new(),
            jobs: Vec::new(),
            events: Vec::new(),
            log: Vec::new(),
            now_ms: 1_767_225_600_000,
            random: 1,
        }
    }

    /// In milliseconds since the Unix epoch.
    pub fn at(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// The provider's next answer: it did it. By provider: `{"messageId", "refused"?: [{"recipient", "code", "message"}]}`
    /// (`recipient`: its place in `to`, from 0), sms `{"id", "status"}`, push `{"id"}`,
    /// `{"id", "status", "amount", "currency", …}`, `{"mint", "tokenAccount", "signature", "slot"}`,
    /// `{"status", "headers"?, "json" | "text"}`.
    pub fn ok(mut self, value: Value) -> Self {
        self.answers.push_back(Ok(value));
        self
    }

    /// The next answer: the provider said no and did nothing.
    pub fn rejected(mut self, code: &str, message: &str) -> Self {
        let no = Rejection { code: code.to_owned(), message: message.to_owned(), status: None };
        self.answers.push_back(Err(Error::Rejected(no)));
        self
    }

    /// The next answer: it is not granted.
    pub fn denied(mut self, message: &str) -> Self {
        self.answers.push_back(Err(Error::Denied(message.to_owned())));
        self
    }

    /// The next answer: the request makes no sense.
    pub fn invalid(mut self, message: &str) -> Self {
        self.answers.push_back(Err(Error::Invalid(message.to_owned())));
        self
    }

    /// Runs a plugin's code with this host. A panic goes on, once the record is back.
    pub fn run<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let outer = CURRENT.with(|current| current.replace(Some(self.clone())));
        let ended = catch_unwind(AssertUnwindSafe(work));
        if let Some(host) = CURRENT.with(|current| current.replace(outer)) {
            *self = host;
        }
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What was asked of providers, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What was enqueued, in order.
    pub fn jobs(&self) -> &[Enqueued] {
        &self.jobs
    }

    /// What was published, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn log(&self) -> &[Line] {
        &self.log
    }

    /// Answers that nobody asked for.
    pub fn answers_left(&self) -> usize {
        self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::{
        context, email, jobs, log,
        push::{self, Notification},
        sms,
        solana::Nft,
        stripe::{self, Payment},
        upstream, webhook,
    };

    #[test]
    fn answers_come_in_order_and_requests_are_recorded() {
        let mut host = Host::new()
            .ok(json!({"id": "pi_1", "status": "succeeded", "amount": 1250, "currency": "eur"}))
            .ok(json!({"messageId": "<1@example.com>", "refused": [{"recipient": 1, "code": 550, "message": "no"}]}))
            .ok(json!({"status": 200, "json": {"id": "7"}}))
            .rejected("card_declined", "no money");
        host.run(|| {
            let paid = Payment::new(1250, "eur").confirm().create().expect("an answer");
            assert_eq!((paid.id.as_str(), paid.amount), ("pi_1", 1250));
            let mail = email::Message::new("a@example.com", "Hi", "Hello").also_to("b@example.com");
            assert_eq!(mail.send().expect("an answer").refused[0].recipient, "b@example.com");
            let got: serde_json::Value = upstream::post_json("sms", "/messages", &json!({"a": 1})).expect("an answer");
            assert_eq!(got, json!({"id": "7"}));
            let no = stripe::capture("pi_1", None).expect_err("declined");
            assert_eq!(no.to_string(), "rejected (card_declined): no money");
        });
        let calls: Vec<_> = host.effects().iter().map(|effect| effect.call).collect();
        let expected = ["stripe.create-payment-intent", "email.send", "upstream.call", "stripe.capture-payment-intent"];
        assert_eq!(calls, expected);
        assert_eq!(host.effects()[0].request["confirm"], json!(true));
        assert_eq!(host.effects()[2].request["json"], json!({"a": 1}));
        assert_eq!(host.answers_left(), 0);
    }

    #[test]
    fn texts_and_notifications_are_effects_like_any_other() {
        let mut host = Host::new()
            .ok(json!({"id": "SM1", "status": "queued"}))
            .ok(json!({"id": "projects/p/messages/1"}))
            .rejected(push::UNREGISTERED, "not registered");
        host.run(|| {
            let sent = sms::Message::new("+4915112345678", "Hi").send().expect("an answer");
            assert_eq!((sent.id.as_str(), sent.status.as_str()), ("SM1", "queued"));
            let told = Notification::to_topic("news", "Hi", "Hello").data("k", "v").send().expect("an answer");
            assert_eq!(told.id, "projects/p/messages/1");
            let no = Notification::to_token("gone", "Hi", "Hello").send().expect_err("an old token");
            assert_eq!(no.to_string(), "rejected (UNREGISTERED): not registered");
        });
        let [text, news, gone] = host.effects() else { panic!("three effects") };
        assert_eq!((text.call, &text.request["to"]), ("sms.send", &json!("+4915112345678")));
        assert_eq!((news.call, &news.request["topic"]), ("push.send", &json!("news")));
        assert_eq!(news.request["data"], json!([["k", "v"]]));
        assert_eq!(gone.request["token"], json!("gone"));
    }

    #[test]
    fn what_is_committed_with_the_job_is_recorded_too() {
        let mut host = Host::new();
        host.run(|| {
            jobs::NewJob::new("send-email", &json!({"to": "a"})).key("k").enqueue().expect("an id");
            webhook::publish("payment.completed", &json!({"amount": 1})).expect("published");
            log::warn("odd", &[("n", &3)]);
        });
        assert_eq!(host.jobs()[0].job_type, "send-email");
        assert_eq!(host.jobs()[0].key.as_deref(), Some("k"));
        assert_eq!(host.events()[0].data, json!({"amount": 1}));
        assert_eq!((host.log()[0].level, host.log()[0].fields[0].1.as_str()), ("warn", "3"));
    }

    #[test]
    fn time_stands_still_between_effects_and_random_numbers_repeat() {
        let draw = || {
            let before = context::now_ms();
            assert_eq!(context::now_ms(), before);
            Nft::new("n", "ipfs://x", "w").mint("one").expect("an answer");
            assert!(context::now_ms() > before);
            context::random()
        };
        let host = || Host::new().at(5).ok(json!({"mint": "m", "tokenAccount": "t", "signature": "s", "slot": 1}));
        assert_eq!(host().run(draw), host().run(draw));
    }

    #[test]
    fn now_is_the_time_that_the_host_tells() {
        let mut host = Host::new().at(1_893_456_000_500).ok(json!({"messageId": "<1@example.com>"}));
        host.run(|| {
            let before = context::now();
            assert_eq!(before, SystemTime::UNIX_EPOCH + Duration::from_millis(1_893_456_000_500));
            assert_eq!(context::now(), before);
            email::Message::new("a@example.com", "Hi", "Hello").send().expect("an answer");
            assert_eq!(context::now(), before + Duration::from_secs(1));
        });
    }

    #[test]
    #[should_panic(expected = "no answer is there for email.send")]
    fn a_call_without_an_answer_fails_the_test_and_says_which() {
        let _ = Host::new().run(|| email::Message::new("a@example.com", "Hi", "Hello").send());
    }
}
