//! Component after component over HTTP, and what the host made of each.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    load::Load,
    mutate::Mutant,
    rig::Rig,
    rng::Rng,
    support::hostile::{Hostile, bombs, manifest, repacked, walls, wrong_sort},
};

/// Whatever it is: an answer is there by then.
pub const HANG: Duration = Duration::from_secs(90);

#[derive(Default)]
pub struct Offered {
    pub components: u64,
    pub refused: u64,
    pub accepted: u64,
    pub slowest: (Duration, String),
    pub breaches: Vec<String>,
    /// By what was done to it: reasons, or that it was taken.
    pub told: BTreeMap<String, BTreeMap<String, u64>>,
    /// Jobs of those that were taken.
    pub jobs: Vec<String>,
}

enum Item {
    Named(Hostile),
    Mutated(u64),
}

pub async fn all(rig: &Rig, load: &Load) -> Offered {
    let mut items: Vec<_> = named(rig).into_iter().map(Item::Named).collect();
    items.extend((0..rig.options.count).map(Item::Mutated));
    Rng::new(rig.options.seed).shuffle(&mut items);
    let (mut offered, all) = (Offered::default(), items.len());
    for (n, item) in items.into_iter().enumerate() {
        one(rig, load, item, &mut offered).await;
        if !rig.is_alive() {
            offered.breaches.push("the host is gone".to_owned());
            break;
        }
        if (n + 1) % 50 == 0 {
            rig.note(&format!("{} of {all}: {} refused, {} taken", n + 1, offered.refused, offered.accepted));
        }
    }
    offered
}

/// Those with a name; what takes the compiler long is for the long form.
fn named(rig: &Rig) -> Vec<Hostile> {
    let good = manifest("hostile", "hostile", "idempotency = \"none\"\n");
    let good = repacked("guest.wasm", &good.replace("[[job]]", "[grants]\njobs = [\"hostile\"]\n[[job]]"));
    let mut all = wrong_sort();
    all.extend(walls(&good));
    if rig.options.is_long() {
        all.extend(bombs());
    }
    all
}

async fn one(rig: &Rig, load: &Load, item: Item, offered: &mut Offered) {
    let (name, kind, bytes, reasons, mutant) = match item {
        Item::Named(Hostile { name, bytes, reasons, .. }) => {
            (name.to_owned(), "named".to_owned(), bytes, Some(reasons), None)
        }
        Item::Mutated(n) => {
            let Mutant { kind, of, bytes } = Mutant::new(rig.options.seed, n, &rig.seeds);
            (format!("mutation {n} of {}", rig.seeds[of].name), format!("{kind:?}"), bytes, None, Some(of))
        }
    };
    let request = rig.admin.request(Method::POST, "/plugins").header("content-type", "application/wasm").body(bytes);
    let (answer, took) = load.beside(answered(request.timeout(2 * HANG))).await;
    offered.components += 1;
    if took > offered.slowest.0 {
        offered.slowest = (took, name.clone());
    }
    if took > HANG {
        offered.breaches.push(format!("{name}: answered after {took:?}"));
    }
    let told = match answer {
        Ok((201, _)) if reasons.is_none() => {
            offered.accepted += 1;
            "taken".to_owned()
        }
        Ok((400..=499, answer)) if is_reasoned(&answer, reasons) => {
            offered.refused += 1;
            answer["reason"].as_str().unwrap_or_default().to_owned()
        }
        Ok((status, answer)) => {
            let answer = answer.to_string();
            offered.breaches.push(format!("{name}: {status} {answer:.500}"));
            status.to_string()
        }
        Err(error) => {
            offered.breaches.push(format!("{name}: {error}"));
            "no answer".to_owned()
        }
    };
    if let (Some(of), "taken") = (mutant, told.as_str()) {
        employ(rig, of, &name, offered).await;
    }
    *offered.told.entry(kind).or_default().entry(told).or_default() += 1;
}

/// Status, body, and how long it took.
async fn answered(request: reqwest::RequestBuilder) -> (Result<(u16, Value), String>, Duration) {
    let began = Instant::now();
    let answer = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok::<_, reqwest::Error>((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    };
    let answer = answer.await.map_err(|error| format!("no answer: {error}"));
    (answer, began.elapsed())
}

/// A no says why; and one of a component with a name says the right thing.
fn is_reasoned(answer: &Value, reasons: Option<&[&str]>) -> bool {
    let (reason, detail) = (answer["reason"].as_str(), answer["detail"].as_str());
    let is_known = |reason: &str| reasons.is_none_or(|reasons| reasons.contains(&reason));
    reason.is_some_and(is_known) && detail.is_some_and(|detail| !detail.is_empty() && detail.len() < 10_000)
}

/// Code that nobody wrote gets a job. Whatever it does with it, the job comes to an end.
async fn employ(rig: &Rig, of: usize, name: &str, offered: &mut Offered) {
    let seed = &rig.seeds[of];
    let body = json!({"type": seed.job_type(), "payload": seed.payload}).to_string();
    let request = rig.user.request(Method::POST, "/jobs").header("content-type", "application/json").body(body);
    match answered(request).await.0 {
        Ok((200 | 202, answer)) => offered.jobs.extend(answer["id"].as_str().map(str::to_owned)),
        // Its schema or its type is another one now.
        Ok((400..=499, _)) => {}
        Ok((status, _)) => offered.breaches.push(format!("{name}: a submit of its type was answered {status}")),
        Err(error) => offered.breaches.push(format!("{name}: a submit of its type: {error}")),
    }
}
