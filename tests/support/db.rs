use std::{
    collections::HashMap,
    process::Stdio,
    sync::{OnceLock, mpsc},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::sync::Mutex;

use super::{env, usher};

/// Templates that were made, by server.
static TEMPLATES: Mutex<Option<HashMap<String, String>>> = Mutex::const_new(None);

/// A migrated database of one test.
pub struct Db {
    pub url: String,
    pub pool: PgPool,
    _made: Option<Made>,
}

impl Db {
    /// One that somebody else made, or reaches by another way.
    pub fn at(url: String, pool: PgPool) -> Self {
        Self { url, pool, _made: None }
    }

    pub async fn new() -> Self {
        Self::on(&env("USHER_TEST_PG")).await
    }

    /// On another server; `admin` names its database `postgres`.
    pub async fn on(admin: &str) -> Self {
        let template = template(admin).await;
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        create(admin, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let url = at(admin, &name);
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.unwrap();
        Self { url, pool, _made: Some(Made { admin: admin.to_owned(), name }) }
    }

    /// Not migrated.
    pub async fn empty() -> Self {
        let admin = env("USHER_TEST_PG");
        let name = format!("e_{}", uuid::Uuid::new_v4().simple());
        create(&admin, &format!("CREATE DATABASE {name}")).await;
        let url = at(&admin, &name);
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.unwrap();
        Self { url, pool, _made: Some(Made { admin, name }) }
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// One optional text.
    pub async fn text(&self, sql: &str) -> Option<String> {
        sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql.to_owned()))
            .fetch_optional(&self.pool)
            .await
            .unwrap()
            .flatten()
    }

    pub async fn execute(&self, sql: &str) -> u64 {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// The one way in which tests reach long times: rows grow older by an interval such as `23 hours`.
    pub async fn age(&self, interval: &str) {
        for sql in [
            "UPDATE jobs SET created_at = created_at - i, expires_at = expires_at - i, \
             run_at = CASE WHEN run_at = 'infinity' THEN run_at ELSE run_at - i END",
            "UPDATE effects SET started_at = started_at - i, deadline_at = deadline_at - i, ended_at = ended_at - i, \
             first_at = first_at - i",
        ] {
            self.execute(&sql.replace("- i", &format!("- interval '{interval}'"))).await;
        }
    }
}

/// A database that goes with its test: six hundred of them would fill a small disk, and a server without space for its
/// log goes down under all tests at once.
struct Made {
    admin: String,
    name: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        static LEFT: OnceLock<mpsc::Sender<(String, String)>> = OnceLock::new();
        let left = LEFT.get_or_init(|| {
            let (left, next) = mpsc::channel::<(String, String)>();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                for (admin, name) in next {
                    // A server that is gone took it along.
                    let _ = runtime.block_on(async {
                        let mut db = PgConnection::connect(&admin).await?;
                        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await
                    });
                }
            });
            left
        });
        let _ = left.send((std::mem::take(&mut self.admin), std::mem::take(&mut self.name)));
    }
}

fn at(admin: &str, database: &str) -> String {
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

async fn create(admin: &str, sql: &str) {
    let mut db = PgConnection::connect(admin).await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut db).await.unwrap();
}

/// Migrated once a server, by the command that operators use.
async fn template(admin: &str) -> String {
    let mut templates = TEMPLATES.lock().await;
    let templates = templates.get_or_insert_default();
    if let Some(name) = templates.get(admin) {
        return name.clone();
    }
    let name = format!("template_{}", uuid::Uuid::new_v4().simple());
    create(admin, &format!("CREATE DATABASE {name}")).await;
    let output = usher().arg("migrate").env("DATABASE_URL", at(admin, &name)).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    templates.insert(admin.to_owned(), name.clone());
    name
}
