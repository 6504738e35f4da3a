//! The only sender of webhooks.
//!
//! Owns: which deliveries this node sends now, how they are signed and sent, and when one is tried again.
//! Refuses: to let an endpoint hold more than its share of the senders.
//! Invariant: a delivery is sent until it is acknowledged or its tries are used up, always under the same id and with the
//! same body; two nodes never send one at the same time, unless the first has lost it by time.
//! Tables: none of its own (through `webhooks`, and `alerts`).

mod schedule;
mod send;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use self::schedule::Schedule;
use crate::{
    alerts::{self, Alert, Severity},
    config::Webhooks as Config,
    ids::{EndpointId, Tier},
    lifecycle::Lifecycle,
    telemetry::metrics::{DeliveryEnd, Webhooks as Metrics},
    webhooks::{
        Webhooks,
        store::{self, Claim, Disabled, Due, End, Sent},
    },
};

/// What a send may take beyond its time-out, before another node takes it for lost.
const MARGIN: Duration = Duration::from_secs(10);
/// One tenant has at most one part in so many of a host's sends.
const TENANTS_PART: usize = 2;
/// Deliveries of one claim or settlement.
const BATCH: usize = 256;
/// Sends that end within this are written down together.
const MOMENT: Duration = Duration::from_millis(5);
/// Pause before what the database could not take is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends what is due, on this node.
pub struct Sender {
    pub webhooks: Webhooks,
    pub config: Config,
    /// The longest pause between looks at what other nodes left behind.
    pub poll: Duration,
    pub lifecycle: Lifecycle,
    pub metrics: Arc<Metrics>,
}

impl Sender {
    /// Sends until the host stops; then what is under way ends, and is written down.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(
            Round {
                schedule: Schedule { pauses: self.config.retries.clone() },
                sender: Arc::new(self),
                sends: JoinSet::new(),
                busy: HashMap::new(),
                after: Claim::NOBODY,
            }
            .run(),
        )
    }
}

/// What is under way on this node.
struct Round {
    sender: Arc<Sender>,
    schedule: Schedule,
    sends: JoinSet<Sent>,
    busy: HashMap<EndpointId, usize>,
    /// The endpoint that was served last.
    after: EndpointId,
}

impl Round {
    async fn run(mut self) {
        let lifecycle = self.sender.lifecycle.clone();
        let bell = self.sender.webhooks.bell.clone();
        while !lifecycle.is_stopping() {
            let wait = self.look().await;
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = bell.rung() => {}
                () = tokio::time::sleep(wait) => {}
                Some(ended) = self.sends.join_next() => self.ended(ended.ok()).await,
            }
        }
        while let Some(ended) = self.sends.join_next().await {
            self.ended(ended.ok()).await;
        }
    }

    /// Takes what is due and begins to send it. Returns how long nothing else will be.
    async fn look(&mut self) -> Duration {
        let poll = self.sender.poll;
        let room = self.sender.config.concurrency.saturating_sub(self.sends.len()).min(BATCH);
        if room == 0 {
            return poll;
        }
        match self.claim(room).await {
            Ok((due, wait)) => {
                // There may be more than there was room for.
                let wait = if due.len() == room { Duration::ZERO } else { wait.map_or(poll, |wait| wait.min(poll)) };
                for due in due {
                    self.begin(due);
                }
                wait
            }
            Err(error) => {
                tracing::warn!(error = %error, "webhooks that are due could not be looked for; trying again");
                PAUSE.max(poll)
            }
        }
    }

    async fn claim(&self, room: usize) -> sqlx::Result<(Vec<Due>, Option<Duration>)> {
        let claim = Claim {
            room,
            per_endpoint: self.sender.config.per_endpoint,
            per_tenant: (self.sender.config.concurrency / TENANTS_PART).max(self.sender.config.per_endpoint),
            busy: &self.busy,
            after: self.after,
            time: self.sender.config.timeout + MARGIN,
        };
        let mut db = self.sender.webhooks.pool.write().await?;
        let taken = store::claim(&mut db, &claim).await?;
        db.done().await?;
        Ok(taken)
    }

    fn begin(&mut self, due: Due) {
        self.after = due.endpoint;
        *self.busy.entry(due.endpoint).or_default() += 1;
        let (sender, schedule) = (Arc::clone(&self.sender), self.schedule.clone());
        self.sends.spawn(async move {
            let began = Instant::now();
            let sent = send::send(&sender.webhooks, &schedule, due).await;
            sender.metrics.took(began.elapsed());
            sent
        });
    }

    /// One that ended, and those that end in the same moment, are written down. `None`: a fault of ours; its delivery
    /// comes back when its time is over.
    async fn ended(&mut self, first: Option<Sent>) {
        let mut all: Vec<_> = first.into_iter().collect();
        let moment = tokio::time::sleep(MOMENT);
        tokio::pin!(moment);
        while all.len() < BATCH {
            tokio::select! {
                () = &mut moment => break,
                Some(ended) = self.sends.join_next() => all.extend(ended.ok()),
                else => break,
            }
        }
        for sent in &all {
            self.sender.metrics.ended(as_counted(sent.end));
            if let Some(count) = self.busy.get_mut(&sent.endpoint) {
                *count = count.saturating_sub(1);
            }
        }
        self.busy.retain(|_, count| *count > 0);
        if self.sends.is_empty() {
            // Whatever failed to say how it ended.
            self.busy.clear();
        }
        while let Err(error) = self.settle(&all).await {
            tracing::warn!(error = %error, sends = all.len(), "how webhooks ended could not be written down; trying again");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.sender.lifecycle.ended() => return,
            }
        }
    }

    async fn settle(&self, all: &[Sent]) -> sqlx::Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        // What a crash of the database takes of it is a send that is repeated under its id.
        let mut tx = self.sender.webhooks.pool.begin_for(Tier::Communication, "").await?;
        let disabled = store::settle(&mut tx, all, self.sender.config.disable_after).await?;
        let raised: Vec<_> = disabled.iter().map(alert).collect();
        alerts::raise(&mut tx, &raised).await?;
        tx.commit().await?;
        for endpoint in &disabled {
            tracing::warn!(endpoint = %endpoint.endpoint, reason = endpoint.reason, "a webhook endpoint is disabled");
        }
        Ok(())
    }
}

fn as_counted(end: End) -> DeliveryEnd {
    match end {
        End::Delivered => DeliveryEnd::Delivered,
        End::Again { .. } => DeliveryEnd::Again,
        End::Failed => DeliveryEnd::Failed,
        End::Gone => DeliveryEnd::Gone,
    }
}

fn alert(disabled: &Disabled) -> Alert {
    let message = match disabled.reason.as_str() {
        "gone" => "A webhook endpoint answered 410 Gone and is disabled.",
        _ => "A webhook endpoint has taken nothing for too long and is disabled.",
    };
    Alert {
        kind: "webhook-disabled",
        subject: format!("webhook-endpoint/{}", disabled.endpoint),
        tenant: Some(disabled.tenant.clone()),
        severity: Severity::Warning,
        message: message.to_owned(),
        detail: json!({ "endpoint": disabled.endpoint, "reason": disabled.reason, "givenUp": disabled.given_up }),
    }
}
