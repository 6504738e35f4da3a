use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
};

use super::{DbError, Durable, Pool};

/// The oldest major version that is served.
const OLDEST: u32 = 14;
/// The newest one that the tests run on.
const NEWEST: u32 = 18;
/// Connections of the duties: heartbeat, timer, news.
const DUTIES: u32 = 3;
/// Connections of the journal: two commits of starts and two of ends at once.
const JOURNAL: u32 = 4;
/// Straight connections: one listens all the time, and one lets go what is kept no longer.
const DIRECT: u32 = 2;
/// Whoever needs a connection waits no longer for it: a caller of ours is told to come again, a duty has its next round.
const PATIENCE: Duration = Duration::from_secs(3);
/// A connection that has been idle for longer is asked whether it is still there before it is given out. Asked each time,
/// every statement would be two.
const TRUSTED: Duration = Duration::from_millis(200);

/// Where the database is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub url: &'a str,
    /// A pooler in transaction mode stands there.
    pub is_pooled: bool,
    /// The server itself; the same as `url` where nothing stands before it.
    pub direct: &'a str,
    pub durable: Durable,
}

/// The ways to the database.
pub struct Database {
    /// For the work: submits, claims, settlements, reads.
    pub pool: Pool,
    /// For the duties, which must not wait behind the work: however busy that is, this node must not look dead.
    pub duties: Pool,
    /// For starts and ends of provider calls, which come in batches that probe an index. Right after a quiet time the
    /// planner believes that the journal is empty, and would read all of it for every batch until its statistics are made
    /// anew, a minute later.
    pub journal: Pool,
    /// For what belongs to a session, and so goes through no pooler: LISTEN, migrations, DETACH CONCURRENTLY.
    pub direct: PgPool,
}

impl Database {
    /// Connects, checks the server's version and what a pooler hands on, and gives out the pools.
    pub async fn connect(place: Place<'_>, max_connections: u32) -> Result<Self, DbError> {
        let direct = straight(place.direct).await?;
        let (options, shown) = understand(place.url, place.is_pooled)?;
        let pool = Pool::new(open(options.clone(), max_connections, &shown).await?, place.is_pooled, place.durable);
        let duties = Pool::new(open(options.clone(), DUTIES, &shown).await?, place.is_pooled, place.durable);
        // Through a pooler no plan outlives its statement, so each is made for what is there.
        let probing = if place.is_pooled { options } else { options.options(PROBING) };
        let journal = Pool::new(open(probing, JOURNAL, &shown).await?, place.is_pooled, place.durable);
        check_session(&pool).await?;
        Ok(Self { pool, duties, journal, direct })
    }

    pub async fn close(&self) {
        self.direct.close().await;
        self.duties.close().await;
        self.journal.close().await;
        self.pool.close().await;
    }
}

/// Settings of a session by which rows are found by their keys, whatever the statistics say.
const PROBING: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("random_page_cost", "1"),
    // Costs of what is switched off look as if compiling were worth it.
    ("jit", "off"),
];

/// A few connections to the server itself, whose version is checked.
pub async fn straight(url: &str) -> Result<PgPool, DbError> {
    let (options, shown) = understand(url, false)?;
    let mut first = PgConnection::connect_with(&options)
        .await
        .map_err(|source| DbError::Connect { place: shown.clone(), source })?;
    check_version(&mut first).await?;
    // It has done its duty; an error on the way out changes nothing.
    let _ = first.close().await;
    open(options, DIRECT, &shown).await
}

/// What to connect with, and how it is shown: never with the password.
fn understand(url: &str, is_pooled: bool) -> Result<(PgConnectOptions, String), DbError> {
    // A parse error may quote the URL, and with it the password.
    let options = PgConnectOptions::from_str(url).map_err(|_| DbError::Url)?.application_name("usher");
    let shown =
        format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or("postgres"));
    let options = if is_pooled {
        // What a pooler takes at the start of a connection, and no statement that outlives its transaction.
        options.extra_float_digits(None).statement_cache_capacity(0)
    } else {
        // The schema of the SQL door is called usher: for a role of that name "$user" would stand before public.
        options.options([("timezone", "UTC"), ("search_path", "public")])
    };
    Ok((options, shown))
}

async fn open(options: PgConnectOptions, size: u32, shown: &str) -> Result<PgPool, DbError> {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .map_err(|source| DbError::Connect { place: shown.to_owned(), source })
}

/// What a connection says when it starts may not come through a pooler; then it must be a setting of the role.
async fn check_session(pool: &Pool) -> Result<(), DbError> {
    let mut db = pool.read().await.map_err(DbError::Session)?;
    let (schema, timezone, role): (Option<String>, String, String) = sqlx::query_as(
        "SELECT current_schema()::text, current_setting('TimeZone'), \
         format('ALTER ROLE %I IN DATABASE %I', current_user, current_database())",
    )
    .fetch_one(&mut *db)
    .await
    .map_err(DbError::Session)?;
    let schema = schema.unwrap_or_default();
    if schema != "public" {
        let remedy = format!("{role} SET search_path = public;");
        return Err(DbError::Foreign { name: "current_schema()", found: schema, remedy });
    }
    if timezone != "UTC" {
        let remedy = format!("{role} SET timezone = 'UTC';");
        return Err(DbError::Foreign { name: "timezone", found: timezone, remedy });
    }
    Ok(())
}

async fn check_version(db: &mut PgConnection) -> Result<(), DbError> {
    let number: String =
        sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut *db).await.map_err(DbError::Version)?;
    let name: String = sqlx::query_scalar("SHOW server_version").fetch_one(db).await.map_err(DbError::Version)?;
    match support(number.parse().unwrap_or(0)) {
        Support::TooOld => Err(DbError::TooOld { found: name }),
        Support::Untried => {
            tracing::warn!(server.version = name, "this PostgreSQL is newer than any that Usher was tested on");
            Ok(())
        }
        Support::Tested => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Support {
    TooOld,
    Tested,
    Untried,
}

/// By `server_version_num`, e.g. 150018 for 15.18.
pub(super) fn support(version_num: u32) -> Support {
    match version_num / 10_000 {
        major if major < OLDEST => Support::TooOld,
        major if major > NEWEST => Support::Untried,
        _ => Support::Tested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_14_to_18_are_served_and_older_ones_refused() {
        assert_eq!(support(90_624), Support::TooOld);
        assert_eq!(support(130_022), Support::TooOld);
        assert_eq!(support(140_000), Support::Tested);
        assert_eq!(support(180_004), Support::Tested);
        assert_eq!(support(190_000), Support::Untried);
        assert!(DbError::TooOld { found: "13.22".to_owned() }.to_string().contains("needs 14 to 18"));
    }

    #[tokio::test]
    async fn a_bad_url_is_not_repeated() {
        let error = straight("nonsense://u:hunter2@h").await.expect_err("not a URL");
        assert!(!format!("{error:?}{error}").contains("hunter2"));
    }
}
