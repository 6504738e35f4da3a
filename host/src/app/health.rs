use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    effects::email::Smtp,
    http::health::{Part, Status},
    lifecycle::{Lifecycle, Pulse},
    runtime::Registry,
};

/// How often the parts that only a probe can tell are looked at.
const EVERY: Duration = Duration::from_secs(15);

/// Keeps the parts of `/health/ready` up to date, so that a request costs no probe of a mail server.
pub(super) async fn run(
    smtp: Arc<Smtp>,
    registry: Arc<Registry>,
    pulse: Pulse,
    lifecycle: Lifecycle,
    parts: watch::Sender<BTreeMap<String, Part>>,
) {
    loop {
        let mut now = BTreeMap::new();
        now.insert("plugins".to_owned(), plugins(&registry));
        now.insert(
            "heartbeat".to_owned(),
            match pulse.is_fresh() {
                true => ok(),
                false => degraded("the heartbeat is not confirmed; nothing is claimed"),
            },
        );
        for profile in smtp.profiles() {
            let part = match smtp.probe(profile).await {
                Ok(()) => ok(),
                Err(message) => degraded(&message),
            };
            now.insert(format!("email.{profile}"), part);
        }
        parts.send_replace(now);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = lifecycle.stopping() => return,
        }
    }
}

/// Loaded or not: another node may run what this one cannot.
fn plugins(registry: &Registry) -> Part {
    // Why, `GET /plugins` says to those who may know.
    let unserved = registry.unserved();
    if !unserved.is_empty() {
        return degraded(&format!("these job types do not run here: {}; see GET /plugins", unserved.join(", ")));
    }
    match registry.served().len() {
        0 => degraded("no release serves any job type"),
        _ => ok(),
    }
}

fn ok() -> Part {
    Part { status: Status::Ok, detail: None }
}

fn degraded(detail: &str) -> Part {
    Part { status: Status::Degraded, detail: Some(detail.to_owned()) }
}
