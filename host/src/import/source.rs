//! pg-boss 9 and 10 as they lie in their database. It is only read, unless jobs that came over are to be cancelled there.

use std::{collections::HashSet, str::FromStr};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, Connection,
    postgres::{PgConnectOptions, PgConnection},
};
use uuid::Uuid;

use super::ImportError;

/// Where the old service keeps its things.
#[derive(Clone, Debug)]
pub struct Place {
    pub url: String,
    /// Of pg-boss.
    pub schema: String,
    /// The table of keys, with its schema.
    pub keys: String,
}

/// A major version, by what its tables look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Nine,
    Ten,
}

impl Layout {
    /// By the number in pg-boss's own table.
    fn of(version: i32) -> Option<Self> {
        match version {
            // 20 came with 7.4 and stayed through 9.
            20 => Some(Self::Nine),
            21..=24 => Some(Self::Ten),
            _ => None,
        }
    }

    pub fn major(self) -> u8 {
        match self {
            Self::Nine => 9,
            Self::Ten => 10,
        }
    }

    /// Of a column that version 10 spells with underscores.
    fn column(self, name: &str) -> String {
        match self {
            Self::Nine => name.replace('_', ""),
            Self::Ten => name.to_owned(),
        }
    }
}

/// An open way to the old database: one connection that reads, one that locks and cancels.
pub struct Source {
    reader: PgConnection,
    pub(super) writer: Writer,
    pub(super) layout: Layout,
    pub(super) version: i32,
    keys: String,
}

/// A job as it waits there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub id: Uuid,
    pub name: String,
    pub state: String,
    pub priority: i32,
    pub data: Option<String>,
    pub retry_limit: i32,
    pub retry_count: i32,
    pub start_after: DateTime<Utc>,
    pub created_on: DateTime<Utc>,
    pub keep_until: DateTime<Utc>,
}

/// A key as it lies there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct KeyRow {
    pub key: String,
    pub queue_name: String,
    pub job_type: String,
    pub result: Option<String>,
    pub processed_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// How many jobs of a queue are in a state.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub(super) struct Count {
    pub queue: String,
    pub state: String,
    pub jobs: i64,
}

/// Signs that the old service still runs.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(super) struct Signs {
    pub connections: i64,
    /// Since pg-boss last kept house, in seconds.
    pub maintained: Option<f64>,
    pub schedules: i64,
}

/// What pg-boss keeps for itself between the jobs.
const OWN: &str = r"(name LIKE '\_\_pgboss\_\_%' OR name LIKE '\_\_state\_\_%')";

impl Source {
    pub async fn open(place: &Place) -> Result<Self, ImportError> {
        let schema = identifier(&place.schema)
            .ok_or_else(|| ImportError::Usage(format!("--schema \"{}\" is no name of a schema", place.schema)))?
            // As pg-boss writes it, without quotes.
            .to_lowercase();
        let keys = table(&place.keys)
            .ok_or_else(|| ImportError::Usage(format!("--keys \"{}\" is no name of a table", place.keys)))?;
        // A parse error may quote the URL, and with it the password.
        let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| place.url.starts_with(scheme));
        let parsed = PgConnectOptions::from_str(&place.url).ok().filter(|_| is_postgres);
        let options = parsed
            .ok_or_else(|| {
                ImportError::Usage("--from is no URL such as postgres://user:password@host/database".to_owned())
            })?
            .application_name("usher-import")
            .options([("timezone", "UTC")]);
        let mut reader = PgConnection::connect_with(&options).await.map_err(ImportError::Source)?;
        let versions = sqlx::query_scalar::<_, i32>(AssertSqlSafe(format!("SELECT version FROM {schema}.version")));
        let version = match versions.fetch_optional(&mut reader).await {
            Ok(Some(version)) => version,
            Ok(None) => return Err(ImportError::Usage(format!("the schema \"{schema}\" has no version of pg-boss"))),
            Err(error) if is_missing(&error) => {
                return Err(ImportError::Usage(format!("there is no pg-boss in the schema \"{schema}\" (--schema)")));
            }
            Err(error) => return Err(ImportError::Source(error)),
        };
        let Some(layout) = Layout::of(version) else {
            let message = format!(
                "the tables in \"{schema}\" have version {version}; those of pg-boss 9 (20) and 10 (21 to 24) are read"
            );
            return Err(ImportError::Usage(message));
        };
        let db = PgConnection::connect_with(&options).await.map_err(ImportError::Source)?;
        Ok(Self { reader, writer: Writer { db, schema, layout }, layout, version, keys })
    }

    pub(super) async fn counts(&mut self) -> Result<Vec<Count>, ImportError> {
        let sql = format!(
            "SELECT name AS queue, state::text AS state, count(*) AS jobs FROM {}.job WHERE NOT {OWN} \
             GROUP BY 1, 2 ORDER BY 1, 2",
            self.writer.schema
        );
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut self.reader).await.map_err(ImportError::Source)
    }

    pub(super) async fn signs(&mut self) -> Result<Signs, ImportError> {
        let schema = &self.writer.schema;
        let more = if self.layout == Layout::Ten { ", monitored_on" } else { "" };
        // The name by which pg-boss connects, unless its user says another.
        let sql = format!(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgboss') \
             AS connections, \
             (SELECT extract(epoch FROM now() - greatest(maintained_on, cron_on{more}))::float8 FROM {schema}.version) AS maintained, \
             (SELECT count(*) FROM {schema}.schedule) AS schedules"
        );
        sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut self.reader).await.map_err(ImportError::Source)
    }

    /// Jobs in these states, in the order in which they came, so many at a time, as of one moment.
    pub(super) fn jobs(
        &mut self,
        states: &[&str],
        chunk: usize,
    ) -> (BoxStream<'_, Result<Vec<Row>, ImportError>>, &mut Writer) {
        let column = |name: &str| self.layout.column(name);
        // `infinity` is no time that a program can reckon with.
        let time = |name: &str| {
            let of = column(name);
            format!("greatest(least({of}, '2200-01-01'::timestamptz), '2000-01-01'::timestamptz) AS {name}")
        };
        let sql = format!(
            "SELECT id, name, state::text AS state, priority, data::text AS data, {} AS retry_limit, {} AS retry_count, \
             {}, {}, {} FROM {}.job WHERE state::text = ANY ($1) AND NOT {OWN} ORDER BY {}, id",
            column("retry_limit"),
            column("retry_count"),
            time("start_after"),
            time("created_on"),
            time("keep_until"),
            self.writer.schema,
            column("created_on"),
        );
        let states: Vec<_> = states.iter().map(|&state| state.to_owned()).collect();
        let rows = sqlx::query_as::<_, Row>(AssertSqlSafe(sql)).bind(states).fetch(&mut self.reader);
        (chunked(rows, chunk), &mut self.writer)
    }

    /// Whether there is a table of keys.
    pub(super) async fn has_keys(&mut self) -> Result<bool, ImportError> {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&self.keys)
            .fetch_one(&mut self.reader)
            .await
            .map_err(ImportError::Source)
    }

    /// All keys, and those of them that still hold.
    pub(super) async fn count_keys(&mut self) -> Result<(i64, i64), ImportError> {
        let sql =
            format!("SELECT count(*), count(*) FILTER (WHERE coalesce(expires_at > now(), true)) FROM {}", self.keys);
        sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut self.reader).await.map_err(ImportError::Source)
    }

    /// The keys that still hold.
    pub(super) fn keys(&mut self, chunk: usize) -> BoxStream<'_, Result<Vec<KeyRow>, ImportError>> {
        let sql = format!(
            "SELECT key::text AS key, queue_name::text AS queue_name, job_type::text AS job_type, result::text AS result, \
             processed_at::timestamptz AS processed_at, least(expires_at::timestamptz, '2200-01-01'::timestamptz) AS expires_at \
             FROM {} WHERE coalesce(expires_at > now(), true) ORDER BY key",
            self.keys
        );
        chunked(sqlx::query_as::<_, KeyRow>(AssertSqlSafe(sql)).fetch(&mut self.reader), chunk)
    }
}

fn chunked<'a, T: Send + 'a>(
    rows: BoxStream<'a, sqlx::Result<T>>,
    chunk: usize,
) -> BoxStream<'a, Result<Vec<T>, ImportError>> {
    let chunks = rows.chunks(chunk);
    chunks.map(|rows| rows.into_iter().collect::<sqlx::Result<Vec<_>>>().map_err(ImportError::Source)).boxed()
}

/// What is written at the source, if anything is.
pub(super) struct Writer {
    db: PgConnection,
    schema: String,
    layout: Layout,
}

/// Jobs that nobody else can take now.
pub(super) struct Held<'a> {
    tx: sqlx::Transaction<'a, sqlx::Postgres>,
    pub ids: HashSet<Uuid>,
    sql: String,
}

impl Writer {
    /// Locks those that are still in these states: pg-boss skips what is locked.
    pub async fn hold(&mut self, ids: &[Uuid], states: &[&str]) -> Result<Held<'_>, ImportError> {
        let done = self.layout.column("completed_on");
        let cancel = format!("UPDATE {}.job SET state = 'cancelled', {done} = now() WHERE id = ANY ($1)", self.schema);
        let lock = format!(
            "SELECT id FROM {}.job WHERE id = ANY ($1) AND state::text = ANY ($2) FOR UPDATE SKIP LOCKED",
            self.schema
        );
        let states: Vec<_> = states.iter().map(|&state| state.to_owned()).collect();
        let mut tx = self.db.begin().await.map_err(ImportError::Source)?;
        let held = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(lock)).bind(ids).bind(states).fetch_all(&mut *tx).await;
        let ids = held.map_err(ImportError::Source)?.into_iter().collect();
        Ok(Held { tx, ids, sql: cancel })
    }
}

impl Held<'_> {
    /// They are here for good: the old service has nothing to do with them any more.
    pub async fn cancel(mut self, ids: &[Uuid]) -> Result<(), ImportError> {
        sqlx::query(AssertSqlSafe(self.sql)).bind(ids).execute(&mut *self.tx).await.map_err(ImportError::Source)?;
        self.tx.commit().await.map_err(ImportError::Source)
    }
}

/// A plain name, that needs no quotes.
fn identifier(name: &str) -> Option<&str> {
    let mut chars = name.chars();
    let first = chars.next()?;
    let sound = (first.is_ascii_alphabetic() || first == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    (sound && name.len() <= 63).then_some(name)
}

/// `table` or `schema.table`, quoted.
fn table(name: &str) -> Option<String> {
    let parts: Vec<_> = name.split('.').map(identifier).collect::<Option<_>>()?;
    (parts.len() <= 2).then(|| parts.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("."))
}

/// No such schema, no such table.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("3F000" | "42P01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_reach_sql() {
        assert_eq!(identifier("pgboss"), Some("pgboss"));
        for bad in ["", "1a", "a b", "a;b", "a\"b", "é"] {
            assert_eq!(identifier(bad), None, "{bad}");
        }
        assert_eq!(table("public.keys").as_deref(), Some("\"public\".\"keys\""));
        assert_eq!(table("keys").as_deref(), Some("\"keys\""));
        for bad in ["a.b.c", ".a", "a.", "a.b;"] {
            assert_eq!(table(bad), None, "{bad}");
        }
    }

    #[test]
    fn columns_are_spelled_as_their_version_does() {
        assert_eq!(Layout::of(20).map(|layout| layout.column("start_after")).as_deref(), Some("startafter"));
        assert_eq!(Layout::of(24).map(|layout| layout.column("start_after")).as_deref(), Some("start_after"));
        assert_eq!((Layout::of(19), Layout::of(25)), (None, None));
    }
}
