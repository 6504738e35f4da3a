use serde::{Deserialize, Serialize};

use super::Secret;

/// PostgreSQL 14 to 18. `DATABASE_URL` in the environment stands in for `database.url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host:port/database`; a secret, since it holds a password.
    pub url: Option<Secret>,
    pub max_connections: u32,
    /// What stands before the server at `url`.
    pub pooler: Pooler,
    /// The server itself: for migrations, LISTEN, and whatever else belongs to a session.
    pub direct_url: Option<Secret>,
    /// What the commits of tier 1 and of the journal wait for.
    pub synchronous_commit: SynchronousCommit,
}

/// As PostgreSQL names them. Weaker ones are left out: they would take back what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SynchronousCommit {
    On,
    RemoteApply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// Nothing, or a pooler in session mode.
    None,
    /// A pooler in transaction mode, such as PgBouncer.
    Transaction,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            max_connections: 20,
            pooler: Pooler::None,
            direct_url: None,
            synchronous_commit: SynchronousCommit::On,
        }
    }
}
