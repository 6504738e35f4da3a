//! Guests for the tests: the payload's `"do"` names the behaviour, its other fields are the behaviour's.
//!
//! Built for several sets of imports: plain; with feature `effects`, which calls providers; with `stripe`, which moves money; with
//! `webhook`; with `messages`, which tells people; with `solana`, which mints; with `ticket`, which mints by a service; with `shop`,
//! which takes orders. Any behaviour may carry `"attempts": [1, 2]` and is skipped (null) on the others;
//! `steps` runs a list of them.

#[cfg(feature = "effects")]
mod effects;
mod memory;
#[cfg(feature = "messages")]
mod messages;
#[cfg(feature = "solana")]
mod mint;
mod misbehave;
#[cfg(feature = "stripe")]
mod money;
#[cfg(feature = "shop")]
mod shop;
#[cfg(feature = "ticket")]
mod ticket;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{
    __private::{Guest, RawJob, RawResult, log_panics},
    Failure, context,
    jobs::NewJob,
    log, progress, raw,
};

#[derive(Debug, Deserialize)]
struct Step {
    attempts: Option<Vec<u32>>,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum What {
    /// Each in turn; the result is the list of theirs. The first that fails ends it.
    Steps {
        steps: Vec<Step>,
    },
    /// Returns `echo`, or `{"attempt": n}`.
    Ok {
        echo: Option<Value>,
    },
    /// One line.
    Log {
        message: String,
    },
    Progress {
        percent: u8,
        note: String,
    },
    /// Reads clock and dice twice.
    Time,
    /// The guest's verdict retry, up to attempt `until` if given.
    Retry {
        until: Option<u32>,
        message: Option<String>,
    },
    RetryAfter {
        delay_ms: u64,
        until: Option<u32>,
        message: Option<String>,
    },
    Permanent {
        message: Option<String>,
    },
    /// Enqueues a child; the manifest grants two types, and a test may name another.
    Enqueue {
        #[serde(rename = "type")]
        job_type: String,
        payload: Value,
        key: Option<String>,
        #[serde(default)]
        delay_ms: u64,
        /// How many times.
        count: Option<u32>,
        #[serde(default)]
        catch: bool,
    },
    /// Uses the processor for about `ms` milliseconds: a guest can't measure, so it counts.
    Spin {
        ms: u64,
    },
    /// Spins without end.
    Loop,
    /// Allocates and touches memory without end, or `bytes` of it.
    Allocate {
        bytes: Option<u64>,
    },
    /// Recurses without end, or `depth` deep.
    Recurse {
        depth: Option<u64>,
    },
    Panic {
        message: Option<String>,
    },
    Unreachable,
    OutOfBounds,
    /// Writes `bytes` (100 MB) of log in lines of `line` bytes (1,024).
    LogFlood {
        bytes: Option<usize>,
        line: Option<usize>,
    },
    /// Returns a JSON string of `bytes` (100 MB). Needs the type with large memory.
    ReturnBig {
        bytes: Option<usize>,
    },
    /// Returns `text` as it is, JSON or not.
    InvalidResult {
        text: Option<String>,
    },
    /// Passes `count` (a million) strings to one host call. Needs a type with large memory.
    MillionStrings {
        through: Through,
        count: Option<usize>,
    },
    /// Looks for each needle in all of the guest's memory. Needles are hex, each byte XOR 0x5a, so that no needle is in memory by
    /// being looked for. `plant` puts the first one there, which shows that the scan can find.
    ScanMemory {
        needles: Vec<String>,
        #[serde(default)]
        plant: bool,
    },
    #[cfg(feature = "effects")]
    Mail(effects::Mail),
    #[cfg(feature = "effects")]
    MailTemplate(effects::MailTemplate),
    /// Two mails with different subjects.
    #[cfg(feature = "effects")]
    TwoMails(effects::Mail),
    /// A mail on every attempt, and the verdict retry on the first.
    #[cfg(feature = "effects")]
    MailThenFailOnce(effects::Mail),
    /// A mail whose subject names the attempt, and the verdict retry on the first.
    #[cfg(feature = "effects")]
    Nondeterministic(effects::Mail),
    /// Reads clock and dice before and after a mail; with `failOnce`, the verdict retry follows on the first attempt.
    #[cfg(feature = "effects")]
    TimeAroundMail {
        #[serde(flatten)]
        mail: effects::Mail,
        #[serde(default)]
        fail_once: bool,
    },
    #[cfg(feature = "effects")]
    Upstream(effects::Call),
    #[cfg(feature = "messages")]
    Sms(messages::Text),
    #[cfg(feature = "messages")]
    Push(messages::Push),
    #[cfg(feature = "ticket")]
    Ticket(ticket::Ticket),
    #[cfg(feature = "ticket")]
    TicketByRpc(ticket::Ticket),
    #[cfg(feature = "stripe")]
    Stripe(money::Call),
    #[cfg(feature = "solana")]
    Mint(mint::Mint),
    /// Pays, mails, calls, enqueues and publishes.
    #[cfg(feature = "shop")]
    Shop(shop::Order),
    #[cfg(feature = "shop")]
    ShopNote(shop::Note),
    /// Publishes `data` `count` times (once), or, where `bytes` is given, a text of that length; or `raw`, JSON or not.
    #[cfg(feature = "webhook")]
    Publish {
        event: String,
        #[serde(default)]
        data: Value,
        bytes: Option<usize>,
        raw: Option<String>,
        count: Option<u32>,
        #[serde(default)]
        catch: bool,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Through {
    /// The fields of a log line.
    Log,
    /// The addresses of a mail.
    #[cfg(feature = "effects")]
    Email,
    /// The headers of a request.
    #[cfg(feature = "effects")]
    Upstream,
}

/// What a behaviour comes to.
enum Outcome {
    Json(Value),
    /// Goes out as it is.
    Text(String),
}

impl Step {
    fn run(self, job: &RawJob) -> Result<Outcome, Failure> {
        if self.attempts.is_some_and(|attempts| !attempts.contains(&job.attempt)) {
            return Ok(Outcome::Json(Value::Null));
        }
        self.what.run(job)
    }
}

impl What {
    fn run(self, job: &RawJob) -> Result<Outcome, Failure> {
        let value = match self {
            Self::Steps { steps } => {
                let mut results = Vec::new();
                for step in steps {
                    results.push(match step.run(job)? {
                        Outcome::Json(value) => value,
                        Outcome::Text(text) => text.into(),
                    });
                }
                results.into()
            }
            Self::Ok { echo } => echo.unwrap_or_else(|| json!({"attempt": job.attempt})),
            Self::Log { message } => {
                log::info(&message, &[]);
                Value::Null
            }
            Self::Progress { percent, note } => {
                progress::report(percent, &note);
                Value::Null
            }
            Self::Time => time(),
            Self::Retry { until, message } if again(job, until) => return Err(Failure::retry(asked(message, "retry"))),
            Self::RetryAfter { delay_ms, until, message } if again(job, until) => {
                return Err(Failure::retry_after(Duration::from_millis(delay_ms), asked(message, "retry-after")));
            }
            Self::Retry { .. } | Self::RetryAfter { .. } => json!({"attempt": job.attempt}),
            Self::Permanent { message } => return Err(Failure::permanent(asked(message, "permanent"))),
            Self::Enqueue { job_type, payload, key, delay_ms, count, catch } => {
                let mut ids = Vec::new();
                for _ in 0..count.unwrap_or(1) {
                    let mut child = NewJob::new(&job_type, &payload).delay(Duration::from_millis(delay_ms));
                    if let Some(key) = &key {
                        child = child.key(key);
                    }
                    match child.enqueue() {
                        Ok(id) => ids.push(id),
                        Err(error) if catch => return Ok(Outcome::Json(described(&error))),
                        Err(error) => return Err(error.into()),
                    }
                }
                json!({"children": ids})
            }
            Self::Spin { ms } => misbehave::spin(ms).into(),
            Self::Loop => misbehave::endless(),
            Self::Allocate { bytes } => misbehave::allocate(bytes.unwrap_or(u64::MAX)).into(),
            Self::Recurse { depth } => misbehave::recurse(depth.unwrap_or(u64::MAX)).into(),
            Self::Panic { message } => panic!("{}", asked(message, "panic")),
            Self::Unreachable => misbehave::unreachable(),
            Self::OutOfBounds => memory::beyond().into(),
            Self::LogFlood { bytes, line } => {
                misbehave::log_flood(bytes.unwrap_or(100_000_000), line.unwrap_or(1024)).into()
            }
            Self::ReturnBig { bytes } => return Ok(Outcome::Text(misbehave::big(bytes.unwrap_or(100_000_000)))),
            Self::InvalidResult { text } => {
                return Ok(Outcome::Text(text.unwrap_or_else(|| "{\"open\": ".to_owned())));
            }
            Self::MillionStrings { through, count } => {
                let count = count.unwrap_or(1_000_000);
                match through {
                    Through::Log => misbehave::log_of_many_fields(count),
                    #[cfg(feature = "effects")]
                    Through::Email => effects::mail_to_many(count)?,
                    #[cfg(feature = "effects")]
                    Through::Upstream => effects::call_with_many_headers(count)?,
                }
                json!({"passed": count})
            }
            Self::ScanMemory { needles, plant } => memory::scan(&needles, plant)?,
            #[cfg(feature = "effects")]
            Self::Mail(mail) => mail.send()?,
            #[cfg(feature = "effects")]
            Self::MailTemplate(mail) => mail.send()?,
            #[cfg(feature = "effects")]
            Self::TwoMails(mail) => json!([mail.titled("one").send()?, mail.titled("two").send()?]),
            #[cfg(feature = "effects")]
            Self::MailThenFailOnce(mail) => fail_once(job, mail.send()?)?,
            #[cfg(feature = "effects")]
            Self::Nondeterministic(mail) => fail_once(job, mail.titled(&job.attempt.to_string()).send()?)?,
            #[cfg(feature = "effects")]
            Self::TimeAroundMail { mail, fail_once: fail } => {
                let before = time();
                let sent = mail.send()?;
                let all = json!({"before": before, "mail": sent, "after": time()});
                if fail { fail_once(job, all)? } else { all }
            }
            #[cfg(feature = "effects")]
            Self::Upstream(call) => call.call()?,
            #[cfg(feature = "messages")]
            Self::Sms(text) => text.send()?,
            #[cfg(feature = "messages")]
            Self::Push(push) => push.send()?,
            #[cfg(feature = "ticket")]
            Self::Ticket(ticket) => ticket.mint()?,
            #[cfg(feature = "ticket")]
            Self::TicketByRpc(ticket) => ticket.mint_by_rpc()?,
            #[cfg(feature = "webhook")]
            Self::Publish { event, data, bytes, raw, count, catch } => {
                let data = bytes.map_or(data, |bytes| "x".repeat(bytes).into());
                for _ in 0..count.unwrap_or(1) {
                    let done = match &raw {
                        Some(raw) => {
                            raw::usher::plugin::webhook::publish(&event, raw).map_err(usher_plugin::Error::from)
                        }
                        None => usher_plugin::webhook::publish(&event, &data),
                    };
                    match done {
                        Err(error) if catch => return Ok(Outcome::Json(described(&error))),
                        done => done?,
                    }
                }
                Value::Null
            }
            #[cfg(feature = "stripe")]
            Self::Stripe(call) => call.call()?,
            #[cfg(feature = "solana")]
            Self::Mint(mint) => mint.mint()?,
            #[cfg(feature = "shop")]
            Self::Shop(order) => order.run()?,
            #[cfg(feature = "shop")]
            Self::ShopNote(note) => note.run()?,
        };
        Ok(Outcome::Json(value))
    }
}

fn again(job: &RawJob, until: Option<u32>) -> bool {
    until.is_none_or(|until| job.attempt < until)
}

fn asked(message: Option<String>, what: &str) -> String {
    message.unwrap_or_else(|| format!("{what}, as asked"))
}

fn time() -> Value {
    let (now, again) = (context::now_ms(), context::now_ms());
    json!({"now": now, "again": again, "random": [context::random(), context::random()]})
}

#[cfg(feature = "effects")]
fn fail_once(job: &RawJob, result: Value) -> Result<Value, Failure> {
    if job.attempt == 1 {
        // What the first attempt saw, so that a test can compare it with what the second one does.
        return Err(Failure::retry(result));
    }
    Ok(result)
}

/// A host call's refusal as a result, for tests that look into it.
fn described(error: &usher_plugin::Error) -> Value {
    use usher_plugin::{Error, Rejection};
    match error {
        Error::Denied(message) => json!({"error": "denied", "message": message}),
        Error::Invalid(message) => json!({"error": "invalid", "message": message}),
        Error::Rejected(Rejection { code, message, status }) => {
            json!({"error": "rejected", "code": code, "message": message, "status": status})
        }
    }
}

/// An event of Stripe that the host made a job of: it names no behaviour, and is the result.
fn event(payload: &str) -> Option<Outcome> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    if payload.get("do").is_some() {
        return None;
    }
    payload.get("event").cloned().map(Outcome::Json)
}

struct Guests;

impl Guest for Guests {
    fn process(job: RawJob) -> RawResult {
        log_panics();
        if cfg!(feature = "broken") {
            misbehave::unreachable();
        }
        let done = match serde_json::from_str::<Step>(&job.payload) {
            Ok(step) => step.run(&job),
            Err(error) => event(&job.payload).ok_or_else(|| Failure::from(error)),
        };
        done.map(|outcome| match outcome {
            Outcome::Json(value) => value.to_string(),
            Outcome::Text(text) => text,
        })
        .map_err(Failure::into_raw)
    }
}

raw::export!(Guests with_types_in raw);
