//! What is told by the way and kept nowhere: that a job runs, its progress, its log lines. Nobody is owed any of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    clients::Clients,
    event::{about, frame},
    hub::Filter,
};
use crate::ids::JobId;

/// Channel: "NODE KEY KEY …", what clients of that node follow.
pub const LISTENS: &str = "usher_listens";
/// Channel: "NODE [item, …]", what happened there to jobs that somebody follows.
pub const TOLD: &str = "usher_told";

/// Longest text of an item, in characters.
const MOST_TEXT: usize = 512;
/// A NOTIFY takes less than 8,000 bytes; the node's name comes before.
const MOST_BYTES: usize = 7_900;
/// NOTIFYs of one round, which comes once a second.
const ROUND: usize = 8;
/// Jobs of one round, and log lines of each: the rest is dropped.
const JOBS: usize = 1_000;
const LINES: usize = 8;
/// Keys of one NOTIFY, and those of other nodes that are remembered.
const KEYS: usize = 400;
const MOST_KEYS: usize = 20_000;
/// What a node said that it follows is forgotten after this; it says so again three times as often.
const FORGOTTEN: Duration = Duration::from_secs(90);

/// What is told of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    pub job: JobId,
    pub tenant: String,
    #[serde(rename = "type")]
    pub job_type: String,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub told: Told,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub(super) enum Told {
    Running { attempt: i32 },
    Progress { percent: u8, note: String },
    Log { level: String, message: String },
}

impl Item {
    /// Without an id: a client that goes on does so from the last event of the outbox.
    pub fn frame(&self) -> Bytes {
        let mut data = about(self.job, &self.tenant, &self.job_type, self.at);
        let name = match &self.told {
            Told::Running { attempt } => {
                data.insert("state".to_owned(), "running".into());
                data.insert("attempt".to_owned(), (*attempt).into());
                "job.running"
            }
            Told::Progress { percent, note } => {
                data.insert("percent".to_owned(), (*percent).into());
                data.insert("note".to_owned(), note.clone().into());
                "job.progress"
            }
            Told::Log { level, message } => {
                data.insert("level".to_owned(), level.clone().into());
                data.insert("message".to_owned(), message.clone().into());
                "job.log"
            }
        };
        frame(None, name, data)
    }
}

/// The way from those that run jobs to those that follow them. Costs a look at a flag where nobody does. Cheap to clone.
#[derive(Clone, Default)]
pub struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Somebody follows, here or elsewhere.
    any: AtomicBool,
    clients: Mutex<Clients>,
    elsewhere: Mutex<HashMap<u64, Instant>>,
    untold: Mutex<Untold>,
    keys: Notify,
    news: Notify,
}

/// What other nodes should hear.
#[derive(Default)]
struct Untold {
    keys: HashSet<u64>,
    items: HashMap<JobId, Vec<Item>>,
}

impl Live {
    /// Whether it is worth making an item.
    pub fn is_wanted(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    pub fn running(&self, job: JobId, tenant: &str, job_type: &str, attempt: i32) {
        self.tell(job, tenant, job_type, || Told::Running { attempt });
    }

    pub fn progress(&self, job: JobId, tenant: &str, job_type: &str, percent: u8, note: &str) {
        self.tell(job, tenant, job_type, || Told::Progress { percent, note: cut(note) });
    }

    pub fn log(&self, job: JobId, tenant: &str, job_type: &str, level: &str, message: &str) {
        self.tell(job, tenant, job_type, || Told::Log { level: level.to_owned(), message: cut(message) });
    }

    fn tell(&self, job: JobId, tenant: &str, job_type: &str, told: impl FnOnce() -> Told) {
        if !self.is_wanted() {
            return;
        }
        let make =
            || Item { job, tenant: tenant.to_owned(), job_type: job_type.to_owned(), at: Utc::now(), told: told() };
        let here = self.clients().follows(job, tenant);
        let elsewhere = self.follows_elsewhere(job, tenant);
        if !here && !elsewhere {
            return;
        }
        let item = make();
        if here {
            self.clients().tell(&item);
        }
        if elsewhere {
            self.untold().add(item);
            self.0.news.notify_one();
        }
    }

    fn follows_elsewhere(&self, job: JobId, tenant: &str) -> bool {
        let elsewhere = lock(&self.0.elsewhere);
        !elsewhere.is_empty() && [of_job(job), of_tenant(tenant), OF_ALL].iter().any(|key| elsewhere.contains_key(key))
    }

    pub(super) fn clients(&self) -> MutexGuard<'_, Clients> {
        lock(&self.0.clients)
    }

    fn untold(&self) -> MutexGuard<'_, Untold> {
        lock(&self.0.untold)
    }

    /// Somebody follows here.
    pub(super) fn begun(&self, filter: &Filter) {
        self.0.any.store(true, Ordering::Relaxed);
        self.untold().keys.insert(key(filter));
        self.0.keys.notify_one();
    }

    /// What is followed has changed.
    pub(super) fn reconsider(&self) {
        let is_followed = !self.clients().is_empty() || !lock(&self.0.elsewhere).is_empty();
        self.0.any.store(is_followed, Ordering::Relaxed);
    }

    /// Clients of another node follow something, as far as is known.
    pub fn is_followed_elsewhere(&self) -> bool {
        let mut elsewhere = lock(&self.0.elsewhere);
        elsewhere.retain(|_, until| *until > Instant::now());
        !elsewhere.is_empty()
    }

    /// A node said what its clients follow.
    pub fn heard_keys(&self, keys: &str) {
        let mut elsewhere = lock(&self.0.elsewhere);
        let until = Instant::now() + FORGOTTEN;
        for key in keys.split(' ').filter_map(|key| u64::from_str_radix(key, 16).ok()) {
            if elsewhere.len() < MOST_KEYS || elsewhere.contains_key(&key) {
                elsewhere.insert(key, until);
            }
        }
        drop(elsewhere);
        self.reconsider();
    }

    /// A node told what happened there.
    pub fn heard_items(&self, items: &str) {
        // What a later version may tell is left out.
        let Ok(items) = serde_json::from_str::<Vec<serde_json::Value>>(items) else { return };
        let clients = self.clients();
        for item in items.into_iter().filter_map(|item| serde_json::from_value::<Item>(item).ok()) {
            clients.tell(&item);
        }
    }

    /// Comes when clients here follow something that other nodes have not heard of.
    pub async fn new_keys(&self) {
        self.0.keys.notified().await;
    }

    /// What clients here follow, as payloads: what is new, or all of it.
    pub fn take_keys(&self, all: bool) -> Vec<String> {
        let mut keys = std::mem::take(&mut self.untold().keys);
        if all {
            keys.extend(self.clients().followed().map(|filter| key(&filter)));
        }
        let keys: Vec<_> = keys.into_iter().map(|key| format!("{key:x}")).collect();
        keys.chunks(KEYS).map(|keys| keys.join(" ")).collect()
    }

    /// Comes when there is something to tell other nodes.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// What other nodes should hear, as payloads; what is too much of it is dropped.
    pub fn take_items(&self) -> Vec<String> {
        let items = std::mem::take(&mut self.untold().items);
        let mut payloads: Vec<String> = Vec::new();
        for item in items.into_values().flatten() {
            let Ok(text) = serde_json::to_string(&item) else { continue };
            let fits = payloads.last().is_some_and(|payload| payload.len() + text.len() + 2 <= MOST_BYTES);
            if let Some(payload) = payloads.last_mut().filter(|_| fits) {
                payload.push(',');
                payload.push_str(&text);
            } else if text.len() + 2 > MOST_BYTES {
                continue;
            } else if payloads.len() == ROUND {
                break;
            } else {
                payloads.push(format!("[{text}"));
            }
        }
        payloads.iter_mut().for_each(|payload| payload.push(']'));
        payloads
    }
}

impl Untold {
    /// Of each job the last of a kind, and the last few lines.
    fn add(&mut self, item: Item) {
        if self.items.len() >= JOBS && !self.items.contains_key(&item.job) {
            return;
        }
        let items = self.items.entry(item.job).or_default();
        let is_log = |item: &Item| matches!(item.told, Told::Log { .. });
        if is_log(&item) {
            if items.iter().filter(|item| is_log(item)).count() >= LINES
                && let Some(oldest) = items.iter().position(is_log)
            {
                items.remove(oldest);
            }
        } else {
            let kind = std::mem::discriminant(&item.told);
            items.retain(|other| std::mem::discriminant(&other.told) != kind);
        }
        items.push(item);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

const OF_ALL: u64 = 0;

/// What other nodes know a filter by: a hash, since a wrong guess costs a NOTIFY and nothing else.
fn key(filter: &Filter) -> u64 {
    match (filter.job, &filter.tenant) {
        (Some(job), _) => of_job(job),
        (None, Some(tenant)) => of_tenant(tenant),
        (None, None) => OF_ALL,
    }
}

fn of_job(job: JobId) -> u64 {
    fnv(job.0.as_bytes())
}

fn of_tenant(tenant: &str) -> u64 {
    fnv(tenant.as_bytes())
}

/// FNV-1a, 64 bits (datatracker.ietf.org/doc/html/draft-eastlake-fnv): the same on all nodes, whatever their version.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(payloads: &[String]) -> Vec<serde_json::Value> {
        payloads.iter().flat_map(|text| serde_json::from_str::<Vec<_>>(text).expect("a list")).collect()
    }

    #[test]
    fn nothing_is_made_of_what_nobody_follows() {
        let live = Live::default();
        live.running(JobId::new(), "t1", "a", 1);
        assert!(!live.is_wanted() && live.take_items().is_empty());
        live.heard_keys(&format!("{:x}", of_tenant("t2")));
        assert!(live.is_wanted() && live.is_followed_elsewhere());
        live.running(JobId::new(), "t1", "a", 1);
        assert!(live.take_items().is_empty(), "another tenant's");
        live.running(JobId::new(), "t2", "a", 1);
        assert_eq!(texts(&live.take_items())[0]["what"], "running");
    }

    #[test]
    fn a_flood_is_a_few_payloads_that_a_notify_takes() {
        let live = Live::default();
        live.heard_keys("0");
        for _ in 0..1_500 {
            let job = JobId::new();
            for n in 0..10 {
                live.progress(job, "t1", "a", n, "on the way");
                live.log(job, "t1", "a", "info", &"\"".repeat(1_000));
            }
        }
        let payloads = live.take_items();
        assert_eq!(payloads.len(), ROUND);
        assert!(payloads.iter().all(|payload| payload.len() <= MOST_BYTES));
        assert!(!texts(&payloads).is_empty());
        assert!(live.take_items().is_empty());
    }

    #[test]
    fn of_one_job_the_last_of_each_kind_is_told() {
        let live = Live::default();
        live.heard_keys("0");
        let job = JobId::new();
        for n in 1..=20 {
            live.running(job, "t1", "a", n);
            live.log(job, "t1", "a", "info", &n.to_string());
        }
        let told = texts(&live.take_items());
        assert_eq!(told.len(), 1 + LINES);
        assert!(told.iter().any(|item| item["attempt"] == 20) && told.iter().any(|item| item["message"] == "20"));
    }
}
