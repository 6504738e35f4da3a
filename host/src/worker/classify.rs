use std::time::Duration;

use rand::RngExt;
use serde_json::json;

use super::settle::Settled;
use crate::{
    alerts::{Alert, Severity},
    config::{Backoff, Queue, Queues},
    effects::Stop,
    ids::{Digest, JobId},
    queue::{Claimed, Settlement, Verdict, kept_words},
    runtime::{self, Ended},
    telemetry::metrics::AttemptEnd,
    webhooks::Event,
};

/// What became of one attempt.
pub(super) enum Outcome {
    /// A release ran it.
    Ran {
        release: Digest,
        ended: Ended,
        /// Its clock before its first effect.
        base_ms: u64,
        /// One of its effects may have happened, and its answer is not known.
        in_doubt: bool,
        /// It trapped, and its release is stopped because of that: no fault of the job.
        forgiven: bool,
    },
    /// No node should run it again.
    Poison,
    Expired,
    /// Somebody asked for it before it began.
    Cancelled,
    /// It is to be cancelled, and the sender of one of its effects may still be alive.
    CancelWaits {
        wait: Duration,
    },
    /// It is to be cancelled, and one of its effects may have happened.
    CancelInDoubt,
    /// Its journal cannot be read, so nobody knows what happened.
    Unreadable {
        what: String,
    },
    /// A fault of ours while it ran.
    HostFailed,
    /// Its release was stopped before it began.
    Unserved,
    /// Nothing here can run it now.
    NoRelease {
        message: String,
    },
}

/// Longest pause of a job that waits for an outage to end.
const MAX_SNOOZE: Duration = Duration::from_secs(60);

/// Decided once, as a value: what the outcome means for the job. `None`: the job is not ours any more.
pub(super) fn settled(
    queues: &Queues,
    job: Claimed,
    outcome: Outcome,
    journaled: bool,
    was_in_doubt: bool,
    cancel_asked: bool,
) -> Option<Settled> {
    let was_running = matches!(outcome, Outcome::Ran { .. });
    let about = (job.id, job.job_type.clone(), job.tenant.clone());
    // What an attempt knows of its own effects counts; where none ran, what the journal said.
    let in_doubt = match &outcome {
        Outcome::Ran { in_doubt, .. } => *in_doubt,
        // How far it came is not known.
        Outcome::HostFailed => true,
        _ => was_in_doubt,
    };
    let base_ms = match &outcome {
        Outcome::Ran { base_ms, .. } => Some(*base_ms),
        _ => None,
    };
    let pause = queues.0.get(&job.queue).filter(|_| in_doubt).map(|queue| backoff(queue, job.attempt));
    let mut settled = read(queues, job, outcome, cancel_asked)?;
    settled.settlement.journaled = journaled;
    settled.settlement.base_ms = base_ms;
    // However it would end: what is in doubt is for a person to say. But first the provider is asked: where the doubt is this
    // attempt's own, and only the budget ends it, there is one attempt more.
    if in_doubt && let Verdict::Dead { reason } = settled.settlement.verdict {
        settled.settlement.verdict = match pause {
            Some(delay) if was_running && !was_in_doubt && matches!(reason, "retries-exhausted" | "trapped") => {
                Verdict::Again { delay, burn: false }
            }
            _ => Verdict::Park,
        };
    }
    // With a journal it comes back once more (the request stands in its row), so that the end is decided by what the
    // journal says then, and not by what this attempt believes.
    if was_running && journaled && settled.settlement.verdict == Verdict::Cancelled {
        settled.settlement.verdict = Verdict::Again { delay: Duration::from_millis(1), burn: false };
    }
    settled.alert = alert(&settled, about);
    Some(settled)
}

/// `None`: the job is not ours any more.
pub(super) fn as_counted(settled: Option<&Settled>) -> AttemptEnd {
    match settled.map(|settled| &settled.settlement.verdict) {
        None => AttemptEnd::Lost,
        Some(Verdict::Completed { .. }) => AttemptEnd::Completed,
        Some(Verdict::Dead { .. }) => AttemptEnd::Dead,
        Some(Verdict::Cancelled) => AttemptEnd::Cancelled,
        Some(Verdict::Again { burn: true, .. }) => AttemptEnd::Retried,
        Some(Verdict::Again { burn: false, .. }) => AttemptEnd::Snoozed,
        Some(Verdict::Return) => AttemptEnd::Returned,
        Some(Verdict::Park) => AttemptEnd::Parked,
    }
}

/// A person is needed where nobody else can say what happened, and where a job hurts its hosts.
fn alert(settled: &Settled, (id, job_type, tenant): (JobId, String, String)) -> Option<Alert> {
    let error = settled.settlement.error.as_ref()?;
    let (kind, severity, message) = match settled.settlement.verdict {
        Verdict::Park => ("unknown-outcome", Severity::Critical, "An effect is in doubt: say whether it happened."),
        Verdict::Dead { reason: "trapped" } if error["kind"] == "host-lost" => {
            ("host-lost", Severity::Critical, "A job was running on five nodes when they died.")
        }
        _ => return None,
    };
    Some(Alert {
        kind,
        subject: format!("job/{id}"),
        tenant: Some(tenant),
        severity,
        message: message.to_owned(),
        detail: json!({ "job": id, "type": job_type, "cause": error["message"] }),
    })
}

fn read(queues: &Queues, job: Claimed, outcome: Outcome, cancel_asked: bool) -> Option<Settled> {
    let queue = queues.0.get(&job.queue)?;
    let mut release = None;
    let mut cpu = Duration::ZERO;
    let mut children = Vec::new();
    let (verdict, kind, message) = match outcome {
        Outcome::Poison => (DEAD_TRAPPED, "host-lost", "it was running on 5 nodes when they died".to_owned()),
        Outcome::Expired => {
            (Verdict::Dead { reason: "expired" }, "expired", "it was not started before its expiry".to_owned())
        }
        Outcome::Cancelled => (Verdict::Cancelled, "cancelled", "it was cancelled before it was started".to_owned()),
        Outcome::CancelWaits { wait } => {
            let message = "it is to be cancelled, and an effect is in doubt".to_owned();
            (Verdict::Again { delay: wait, burn: false }, "cancel-waits", message)
        }
        Outcome::CancelInDoubt => {
            (Verdict::Park, "unknown-outcome", "it was to be cancelled, and an effect is in doubt".to_owned())
        }
        Outcome::Unreadable { what } => {
            (Verdict::Park, "journal-unreadable", format!("its journal cannot be read ({what})"))
        }
        Outcome::HostFailed => (
            retry(&job, backoff(queue, job.attempt), "trapped"),
            "host-failed",
            "the host failed while it ran".to_owned(),
        ),
        Outcome::Unserved => {
            return Some(Settled {
                settlement: settlement(&job, Verdict::Return, None, None, cpu),
                children,
                published: Vec::new(),
                alert: None,
            });
        }
        Outcome::NoRelease { message } => (snooze(queue, &job, None), "no-release", message),
        Outcome::Ran { release: digest, ended, in_doubt, forgiven, .. } => {
            release = Some(digest);
            cpu = ended.cpu;
            children = ended.children;
            let published = ended.published;
            // With an effect in doubt it comes back in its own time, cancelled or not: that is to be asked about.
            match ran(queue, &job, ended.verdict, cancel_asked && !in_doubt)? {
                // It never came back to the call that is in doubt.
                Ran::Completed(_) if in_doubt => {
                    children.clear();
                    let message = "it completed without a call of its journal that is in doubt".to_owned();
                    (Verdict::Park, "unknown-outcome", message)
                }
                Ran::Completed(result) => {
                    let settlement = settlement(&job, Verdict::Completed { result }, None, release, cpu);
                    let event = |(n, publication)| Event::published(&job.tenant, job.id, n, publication);
                    let published = published.iter().enumerate().map(event).collect();
                    return Some(Settled { settlement, children, published, alert: None });
                }
                Ran::Otherwise(verdict, kind, message) => {
                    // Children and events are committed with success only.
                    children.clear();
                    if verdict == Verdict::Return {
                        return Some(Settled {
                            settlement: settlement(&job, verdict, None, release, cpu),
                            children,
                            published: Vec::new(),
                            alert: None,
                        });
                    }
                    let (verdict, kind, message) = if forgiven && verdict != Verdict::Cancelled {
                        let again = Verdict::Again { delay: backoff(queue, job.attempt), burn: false };
                        (again, "release-stopped".to_owned(), format!("{kind}: {message}"))
                    } else {
                        (verdict, kind, message)
                    };
                    let error = error(&job, &kind, &message, release, cpu);
                    return Some(Settled {
                        settlement: settlement(&job, verdict, Some(error), release, cpu),
                        children,
                        published: Vec::new(),
                        alert: None,
                    });
                }
            }
        }
    };
    let error = error(&job, kind, &message, release, cpu);
    let settlement = settlement(&job, verdict, Some(error), release, cpu);
    Some(Settled { settlement, children, published: Vec::new(), alert: None })
}

const DEAD_TRAPPED: Verdict = Verdict::Dead { reason: "trapped" };

enum Ran {
    Completed(String),
    Otherwise(Verdict, String, String),
}

fn ran(queue: &Queue, job: &Claimed, verdict: runtime::Verdict, cancel_asked: bool) -> Option<Ran> {
    let otherwise = |verdict, kind: &str, message| {
        // What would run again ends here if somebody asked for that.
        let verdict = match verdict {
            Verdict::Again { .. } | Verdict::Return if cancel_asked => Verdict::Cancelled,
            verdict => verdict,
        };
        Some(Ran::Otherwise(verdict, kind.to_owned(), message))
    };
    match verdict {
        runtime::Verdict::Completed(result) => Some(Ran::Completed(result)),
        runtime::Verdict::GuestRetry { message, after } => {
            let delay = after.unwrap_or_else(|| backoff(queue, job.attempt));
            otherwise(retry(job, delay, "retries-exhausted"), "guest-retry", message)
        }
        runtime::Verdict::GuestPermanent(message) => {
            otherwise(Verdict::Dead { reason: "permanent" }, "guest-permanent", message)
        }
        runtime::Verdict::Trapped { kind, message } => {
            otherwise(retry(job, backoff(queue, job.attempt), "trapped"), &kind.to_string(), message)
        }
        runtime::Verdict::Crowded => {
            otherwise(snooze(queue, job, None), "crowded", "this host had no room for the guest".to_owned())
        }
        runtime::Verdict::Cancelled if cancel_asked => {
            otherwise(Verdict::Cancelled, "cancelled", "it was cancelled while it ran".to_owned())
        }
        runtime::Verdict::Cancelled => otherwise(Verdict::Return, "shutdown", String::new()),
        runtime::Verdict::Stopped(stop) => match stop {
            Stop::LeaseLost => None,
            Stop::Cancelled => {
                otherwise(Verdict::Cancelled, "cancelled", "it was cancelled before its next effect".to_owned())
            }
            Stop::Retry { message, after } => {
                let delay = backoff(queue, job.attempt).max(after.unwrap_or_default());
                otherwise(retry(job, delay, "retries-exhausted"), "effect-retry", message)
            }
            Stop::Snooze { message, after } => otherwise(snooze(queue, job, after), "effect-snooze", message),
            Stop::Park { message } => otherwise(Verdict::Park, "unknown-outcome", message),
            Stop::Nondeterministic { message } => {
                otherwise(Verdict::Dead { reason: "nondeterministic" }, "nondeterministic", message)
            }
        },
    }
}

/// Once more if the budget allows.
fn retry(job: &Claimed, delay: Duration, exhausted: &'static str) -> Verdict {
    if job.attempt < job.max_attempts {
        Verdict::Again { delay, burn: true }
    } else {
        Verdict::Dead { reason: exhausted }
    }
}

/// The queue's delay before the attempt after this one. Exponential: doubled each time, capped, then with "equal jitter"
/// (half fixed, half random; AWS Architecture Blog, "Exponential Backoff and Jitter", 2015).
fn backoff(queue: &Queue, attempt: i32) -> Duration {
    match queue.backoff {
        Backoff::Fixed => queue.delay,
        Backoff::Exponential => jitter(doubled(queue.delay, attempt - 1).min(queue.max_delay)),
    }
}

/// Grows from the queue's delay, and burns nothing.
fn snooze(queue: &Queue, job: &Claimed, after: Option<Duration>) -> Verdict {
    let delay = after.unwrap_or_else(|| jitter(doubled(queue.delay, job.snoozes).min(MAX_SNOOZE)));
    Verdict::Again { delay: delay.max(Duration::from_millis(1)), burn: false }
}

fn doubled(delay: Duration, times: i32) -> Duration {
    delay.saturating_mul(1 << times.clamp(0, 20))
}

fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn settlement(
    job: &Claimed,
    verdict: Verdict,
    error: Option<serde_json::Value>,
    release: Option<Digest>,
    cpu: Duration,
) -> Settlement {
    Settlement {
        id: job.id,
        tier: job.tier,
        lease: Some(job.lease),
        verdict,
        error,
        release,
        cpu,
        base_ms: None,
        place: job.place.clone(),
        journaled: false,
    }
}

fn error(job: &Claimed, kind: &str, message: &str, release: Option<Digest>, cpu: Duration) -> serde_json::Value {
    json!({
        "attempt": job.attempt,
        "kind": kind,
        "message": kept_words(message),
        "at": chrono::Utc::now(),
        "release": release,
        "cpuMs": cpu.as_secs_f64() * 1000.0,
    })
}

#[cfg(test)]
mod tests;
