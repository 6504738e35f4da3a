//! A world of answers that are there already: those of the attempt's journal, then those of a script, in order.
//!
//! What a provider makes of a request is its own `prepare`, so that grants, checks, identity and redaction are those of
//! production; only what would leave the host stays here.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Attempt, Provider, Stop, by_person, card,
    gate::{Asking, Known, Providers, shortened, storable},
    upstream::Http,
};
use crate::journal::{Answer, Class, EffectState, Recorded};

/// By so much the guest's clock moves with each answer.
const TICK_MS: u64 = 1_000;

/// Cheap to clone; its clones are one script.
#[derive(Clone)]
pub struct Script(Arc<Inner>);

struct Inner {
    providers: Providers,
    answers: Mutex<VecDeque<Answer>>,
    loans: Mutex<Vec<Loan>>,
    effects: Mutex<Vec<Effect>>,
}

/// An answered effect of a journal that need not be kept to.
struct Loan {
    row: Recorded,
    /// This very request was made.
    used: bool,
}

/// What a guest asked of a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub seq: u32,
    pub provider: &'static str,
    pub function: &'static str,
    /// All of the request, as the guest said it; bodies and files by their hash.
    pub request: Value,
    /// What a journal would hold of it.
    pub redacted: Value,
    pub request_hash: [u8; 32],
    pub class: Class,
    pub end: End,
    /// The guest's clock once it was answered, in milliseconds since the epoch.
    pub ended_ms: u64,
}

/// Where an effect's answer came from.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The journal that the attempt began with.
    Recorded(Answer),
    /// The provider's own checks: nothing would have been sent.
    Refused(Answer),
    Scripted(Answer),
    /// None is there, or it is none of this provider: the attempt ended here.
    Missing,
}

impl Effect {
    /// `email.send`.
    pub fn call(&self) -> String {
        format!("{}.{}", self.provider, self.function)
    }

    pub fn answer(&self) -> Option<&Answer> {
        match &self.end {
            End::Recorded(answer) | End::Refused(answer) | End::Scripted(answer) => Some(answer),
            End::Missing => None,
        }
    }

    /// As a journal would have it; `None`: it has no answer.
    pub fn recorded(&self, attempt: &Attempt) -> Option<Recorded> {
        let ended = i64::try_from(self.ended_ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis)?;
        Some(Recorded {
            seq: self.seq,
            generation: attempt.generation,
            effect_id: attempt.job.effect(self.seq, attempt.generation),
            provider: self.provider.to_owned(),
            function: self.function.to_owned(),
            class: self.class,
            request_hash: self.request_hash,
            request: self.redacted.clone(),
            state: EffectState::Ended,
            tries: 1,
            release: attempt.release,
            base_ms: attempt.base_ms(),
            ended_ms: Some(self.ended_ms),
            first_at: ended,
            age: Duration::ZERO,
            started_at: ended,
            settle_in: Duration::ZERO,
            answer: Some(self.answer()?.clone()),
            note: None,
        })
    }
}

impl Script {
    /// The value of an `Answer::Ok` is what a person would say in the provider's place; of an upstream's answer, `json` or
    /// `text` may stand for the base64 of `body`.
    pub fn new(providers: Providers, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Mutex::new(answers.into_iter().collect());
        Self(Arc::new(Inner { providers, answers, loans: Mutex::default(), effects: Mutex::default() }))
    }

    /// A journal as a heap of answers: each request finds that of the same one, wherever it was made, or else that of another one
    /// of its function. It shows how a guest goes on that asks for something else than its journal has.
    pub fn lending(providers: Providers, journal: impl IntoIterator<Item = Recorded>) -> Self {
        let loans = journal.into_iter().map(|row| Loan { row, used: false }).collect();
        let loans = Mutex::new(loans);
        Self(Arc::new(Inner { providers, answers: Mutex::default(), loans, effects: Mutex::default() }))
    }

    pub(super) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    /// What was asked so far, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.0.effects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many answers nobody asked for.
    pub fn left(&self) -> usize {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn call<P: Provider>(
        &self,
        provider: &P,
        attempt: &Attempt,
        request: P::Request,
    ) -> Result<Answer, Stop> {
        let seq = match attempt.take_seq() {
            Ok(seq) => seq,
            Err(denied) => return Ok(denied),
        };
        let prepared = provider.prepare(&attempt.who, request);
        let asking = Asking::of(P::NAME, &prepared);
        let known = self.lent(&asking, attempt).map_or_else(|| asking.known(attempt, seq), Ok);
        let (end, said) = match (known, &prepared) {
            (Err(stop), _) => (End::Missing, Err(stop)),
            (Ok(Known::Answered(answer)), _) => (End::Recorded(answer.clone()), Ok(answer)),
            (Ok(Known::Open(_) | Known::New), Err(refused)) => {
                let answer = storable(shortened(card::refusal(refused.answer.clone())));
                (End::Refused(answer.clone()), Ok(answer))
            }
            (Ok(Known::Open(_) | Known::New), Ok(_)) => match self.next(&asking) {
                Ok(answer) => (End::Scripted(answer.clone()), Ok(answer)),
                Err(message) => {
                    let message = format!("effect {seq} ({}.{}): {message}", asking.provider, asking.function);
                    (End::Missing, Err(Stop::Park { message }))
                }
            },
        };
        if let Ok(answer) = &said {
            attempt.count_answer(answer);
        }
        if matches!(end, End::Refused(_) | End::Scripted(_)) {
            attempt.advance_clock(attempt.now_ms() + TICK_MS);
        }
        let effect = Effect {
            seq,
            provider: asking.provider,
            function: asking.function,
            request: asking.identity.clone(),
            redacted: asking.redacted,
            request_hash: asking.request_hash,
            class: prepared.as_ref().map_or(Class::Read, |prepared| prepared.class),
            end,
            ended_ms: attempt.now_ms(),
        };
        self.0.effects.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
        said
    }

    /// The clock moves as it did then.
    fn lent<'j>(&self, asking: &Asking<'_>, attempt: &Attempt) -> Option<Known<'j>> {
        let mut loans = self.0.loans.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |loan: &Loan| loan.row.request_hash == asking.request_hash;
        let alike = |loan: &Loan| loan.row.provider == asking.provider && loan.row.function == asking.function;
        let at = loans
            .iter()
            .position(|loan| same(loan) && !loan.used)
            .or_else(|| loans.iter().position(same))
            .or_else(|| loans.iter().position(|loan| alike(loan) && !loan.used))
            .or_else(|| loans.iter().position(alike))?;
        let loan = loans.get_mut(at)?;
        let exact = same(loan);
        loan.used |= exact;
        attempt.advance_clock(loan.row.ended_ms.unwrap_or_else(|| attempt.now_ms()));
        loan.row.answer.clone().map(Known::Answered)
    }

    fn next(&self, asking: &Asking<'_>) -> Result<Answer, String> {
        let next = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let answer = match next.ok_or("no answer is there")? {
            Answer::Ok(value) => {
                let is_http = asking.provider == Http::NAME;
                let value = if is_http { with_body(value)? } else { value };
                let told = by_person(asking.provider, asking.function, &asking.redacted, &value)?;
                if is_http {
                    let upstream = asking.identity["upstream"].as_str().unwrap_or_default();
                    self.0.providers.upstream.can_show(upstream, &told.value)?;
                }
                Answer::Ok(told.value)
            }
            no => card::refusal(no),
        };
        Ok(storable(answer))
    }
}

/// Short forms of an upstream's answer.
fn with_body(mut value: Value) -> Result<Value, String> {
    let Some(fields) = value.as_object_mut() else { return Ok(value) };
    let body = match (fields.remove("json"), fields.remove("text"), fields.contains_key("body")) {
        (None, None, true) => None,
        (None, None, false) => Some(Vec::new()),
        (Some(json), None, false) => {
            fields.entry("headers").or_insert_with(|| json!([["content-type", "application/json"]]));
            Some(json.to_string().into_bytes())
        }
        (None, Some(Value::String(text)), false) => Some(text.into_bytes()),
        _ => return Err("/answer: one of json, text (a string) and body (base64)".to_owned()),
    };
    if let Some(body) = body {
        fields.insert("body".to_owned(), STANDARD.encode(body).into());
    }
    fields.entry("headers").or_insert_with(|| json!([]));
    Ok(value)
}
