use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    Scope,
    nonces::Nonces,
    store::{self, Live},
};
use crate::{
    auth::{Caller, Role},
    clock::Boottime,
    config::Services,
    db::Pool,
    ids::KeyId,
    signature::ServiceSecret,
};

/// Callers' subjects are this and the key's id.
pub(in crate::auth) const SUBJECT: &str = "key/";
/// When a key was used is written down this often by a node.
const USED_EVERY: Duration = Duration::from_secs(60);

/// The keys of services, as this node knows them: a request asks the database for none. Cheap to clone.
#[derive(Clone)]
pub struct ServiceKeys {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pool: Pool,
    config: Services,
    known: ArcSwap<Known>,
    /// One refresh at a time, so that an older look never comes after a newer one.
    refreshing: tokio::sync::Mutex<()>,
    used: Mutex<HashMap<KeyId, Boottime>>,
    pub nonces: Nonces,
}

#[derive(Default)]
struct Known {
    version: i64,
    keys: HashMap<KeyId, Arc<Key>>,
}

/// A key that is good.
pub(super) struct Key {
    pub id: KeyId,
    pub role: Role,
    pub scope: Arc<Scope>,
    current: ServiceSecret,
    /// Good until then.
    previous: Option<(ServiceSecret, Boottime)>,
}

impl Key {
    /// Those that are good now.
    pub fn secrets(&self) -> impl Iterator<Item = &ServiceSecret> {
        let previous = self.previous.iter().filter(|(_, until)| Boottime::now() < *until).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(previous)
    }
}

impl ServiceKeys {
    /// Knows no key before the first [`Self::refresh`].
    pub fn start(pool: &Pool, config: &Services) -> Self {
        let shared = Shared {
            pool: pool.clone(),
            config: config.clone(),
            known: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::default(),
            used: Mutex::default(),
            nonces: Nonces::start(pool),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether there is a key that secrets can be derived from.
    pub fn is_on(&self) -> bool {
        self.shared.config.key.is_some()
    }

    /// Whether what is signed for a host of this name is for us. Another cluster with the same key would take it, too.
    pub(super) fn is_at(&self, authority: &str) -> bool {
        let ours = &self.shared.config.authorities;
        ours.is_empty() || ours.iter().any(|name| name.eq_ignore_ascii_case(authority))
    }

    /// How long the secret before a rotation is still good.
    pub fn overlap(&self) -> Duration {
        self.shared.config.overlap
    }

    /// `None`: they are off.
    pub fn secret(&self, id: KeyId, generation: i32) -> Option<ServiceSecret> {
        let host_key = self.shared.config.key.as_ref()?;
        Some(ServiceSecret::derive(host_key.expose(), id.0, generation))
    }

    /// The version of what this node knows; another one in the database means that it must look.
    pub fn version(&self) -> i64 {
        self.shared.known.load().version
    }

    /// Reads all keys that are good.
    pub async fn refresh(&self) -> sqlx::Result<()> {
        let _turn = self.shared.refreshing.lock().await;
        let mut db = self.shared.pool.read().await?;
        let now = Boottime::now();
        let (version, live) = store::live(&mut db).await?;
        drop(db);
        let keys = live.into_iter().filter_map(|live| Some((live.id, Arc::new(self.key(live, now)?)))).collect();
        self.shared.known.store(Arc::new(Known { version, keys }));
        Ok(())
    }

    fn key(&self, live: Live, now: Boottime) -> Option<Key> {
        let role = match live.role.as_str() {
            "service" => Role::Service,
            "venue_admin" => Role::VenueAdmin,
            "admin" => Role::Admin,
            role => {
                tracing::warn!(key.id = %live.id, role, "a service key has a role that this host does not know");
                return None;
            }
        };
        let until = |seconds: f64| Some(now.plus(Duration::try_from_secs_f64(seconds).ok()?));
        let previous = live.previous_for.and_then(until).and_then(|until| {
            let generation = live.generation.checked_sub(1)?;
            Some((self.secret(live.id, generation)?, until))
        });
        Some(Key {
            id: live.id,
            role,
            scope: Arc::new(Scope { tenants: live.tenants, job_types: live.job_types }),
            current: self.secret(live.id, live.generation)?,
            previous,
        })
    }

    /// Whether the key of a caller who was let in by one is still good.
    pub fn lets_in(&self, caller: &Caller) -> bool {
        caller.subject.strip_prefix(SUBJECT).is_some_and(|id| self.find(id).is_some())
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Key>> {
        // In one spelling only, which is ours.
        let known = self.shared.known.load();
        let found = id.parse().ok().and_then(|id: KeyId| known.keys.get(&id).cloned());
        found.filter(|key| key.id.to_string() == id)
    }

    /// Notes, now and then and beside the request, that a key is in use.
    pub(super) fn note_use(&self, id: KeyId) {
        let now = Boottime::now();
        {
            let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
            if used.get(&id).is_some_and(|last| now.since(*last) < USED_EVERY) {
                return;
            }
            used.insert(id, now);
        }
        let pool = self.shared.pool.clone();
        tokio::spawn(async move {
            let write = async {
                let mut db = pool.write().await?;
                store::used(&mut db, id).await?;
                db.done().await
            };
            if let Err(error) = write.await {
                tracing::debug!(error = %error, "the use of a key was not written down");
            }
        });
    }
}
