use serde::{Deserialize, Serialize};

use super::Secret;

/// PostgreSQL 14 to 18. `DATABASE_URL` in the environment stands in for `database.url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host:port/database`; a secret, since it holds a password.
    pub url: Option<Secret>,
    pub max_connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, max_connections: 20 }
    }
}
