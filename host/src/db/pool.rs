use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection},
};

use crate::ids::Tier;

/// What a durable commit waits for; `database.synchronous_commit`. The same where there is no synchronous standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durable {
    /// The synchronous standbys have it on disk.
    #[default]
    Flushed,
    /// They show it, too.
    Applied,
}

/// Connections to the database for whoever works with it, straight or through a pooler in transaction mode. Cheap to
/// clone.
///
/// Through a pooler the next transaction may meet another server connection. So there a statement never stands alone,
/// settings are `SET LOCAL`, and each transaction begins by forgetting the prepared statements that another client left
/// on its server connection: sqlx names them by counting, also where it keeps none, so that names of two clients meet.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    is_pooled: bool,
    durable: Durable,
    waiting: Arc<AtomicUsize>,
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Most connections.
    pub most: u32,
    pub in_use: u32,
    pub idle: u32,
    /// Tasks that wait for a connection, or for the `BEGIN` on one.
    pub waiting: usize,
}

impl Load {
    /// Nobody gets a connection before somebody gives one back.
    pub fn is_exhausted(&self) -> bool {
        self.in_use >= self.most && self.waiting > 0
    }
}

impl Pool {
    pub(super) fn new(connections: PgPool, is_pooled: bool, durable: Durable) -> Self {
        Self { connections, is_pooled, durable, waiting: Arc::default() }
    }

    pub fn load(&self) -> Load {
        let idle = u32::try_from(self.connections.num_idle()).unwrap_or(u32::MAX);
        Load {
            most: self.connections.options().get_max_connections(),
            in_use: self.connections.size().saturating_sub(idle),
            idle,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Connects only when it is used; for what has a pool and does not use it.
    pub fn lazy(url: &str) -> sqlx::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        Ok(Self::new(PgPool::connect_lazy_with(options), false, Durable::default()))
    }

    /// For statements that only read. It may just be dropped.
    pub async fn read(&self) -> sqlx::Result<Session> {
        self.session("BEGIN READ ONLY").await
    }

    /// For single statements that write, each committed by itself; through a pooler all at once, by `done`.
    pub async fn write(&self) -> sqlx::Result<Session> {
        self.session("BEGIN").await
    }

    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_with("").await
    }

    /// `settings`: `SET LOCAL …; SET LOCAL …`, in the same round trip.
    pub async fn begin_with(&self, settings: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.transaction("BEGIN", None, settings).await
    }

    /// As `begin_with`, for a commit that nothing takes back once it was reported.
    pub async fn begin_durable(&self, settings: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin_for(Tier::Money, settings).await
    }

    /// As `begin_with`, for a commit that is as durable as the tier says.
    pub async fn begin_for(&self, tier: Tier, settings: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.transaction("BEGIN", Some(self.synchronous_commit(tier)), settings).await
    }

    /// The value of `synchronous_commit` for what is of this tier.
    pub fn synchronous_commit(&self, tier: Tier) -> &'static str {
        match (tier, self.durable) {
            (Tier::Money, Durable::Flushed) => "on",
            (Tier::Money, Durable::Applied) => "remote_apply",
            (Tier::Communication | Tier::Background, _) => "off",
        }
    }

    pub async fn close(&self) {
        self.connections.close().await;
    }

    async fn session(&self, begin: &'static str) -> sqlx::Result<Session> {
        Ok(Session(if self.is_pooled {
            Inner::Transaction(self.transaction(begin, None, "").await?)
        } else {
            let _waits = Waits::begin(&self.waiting);
            Inner::Connection(self.connections.acquire().await?)
        }))
    }

    async fn transaction(
        &self,
        begin: &'static str,
        commit: Option<&'static str>,
        settings: &'static str,
    ) -> sqlx::Result<Transaction<'static, Postgres>> {
        let forget = if self.is_pooled { " DEALLOCATE ALL;" } else { "" };
        let commit = commit.map_or_else(String::new, |value| format!("SET LOCAL synchronous_commit = {value};"));
        let _waits = Waits::begin(&self.waiting);
        // All parts are ours, as their types say.
        self.connections.begin_with(AssertSqlSafe(format!("{begin};{forget} {commit} {settings}"))).await
    }
}

/// One of `waiting`, also where whoever waits gives up.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection for statements that need no transaction of their own. Where a pooler stands before the server it is one
/// all the same, and what it wrote is there only after `done`.
#[must_use]
pub struct Session(Inner);

enum Inner {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Session {
    /// The connection goes with it: its server does not answer.
    pub fn give_up(self) {
        if let Inner::Connection(mut connection) = self.0 {
            connection.close_on_drop();
        }
    }

    /// What was written is committed.
    pub async fn done(self) -> sqlx::Result<()> {
        match self.0 {
            Inner::Connection(_) => Ok(()),
            Inner::Transaction(transaction) => transaction.commit().await,
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.0 {
            Inner::Connection(connection) => connection,
            Inner::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Inner::Connection(connection) => connection,
            Inner::Transaction(transaction) => transaction,
        }
    }
}
