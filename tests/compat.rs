//! A schema serves the binary before it: the statements of each released version run on every later schema, with the
//! types that were compiled in. `cargo xtask sqlx freeze` keeps those of a version in `tests/compat/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Column, Connection, Either, Executor, PgConnection, SqlSafeStr, postgres::PgTypeInfo};

use crate::support::Db;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn json_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// By the version's name, as `query!` recorded them.
fn versions() -> Vec<(String, Vec<Value>)> {
    let name = |file: &Path| file.file_stem().unwrap().to_string_lossy().into_owned();
    let frozen = json_files(&here().join("compat"));
    let mut versions: Vec<_> = frozen.iter().map(|file| (name(file), read(file).as_array().unwrap().clone())).collect();
    let current = json_files(&here().join("../host/.sqlx"));
    versions.push(("now".to_owned(), current.iter().map(|file| read(file)).collect()));
    versions
}

async fn session(db: &Db) -> PgConnection {
    let mut session = PgConnection::connect(&db.url).await.unwrap();
    session.execute("SET search_path = public").await.unwrap();
    session
}

/// What of these statements the schema does not serve any more.
async fn findings(db: &mut PgConnection, version: &str, statements: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    for statement in statements {
        let sql = statement["query"].as_str().unwrap();
        let words: Vec<_> = sql.split_whitespace().take(12).collect();
        let mut say = |what: String| findings.push(format!("{version}: {what}: {}", words.join(" ")));
        match db.describe(AssertSqlSafe(sql.to_owned()).into_sql_str()).await {
            Ok(described) => {
                let parameters = match described.parameters {
                    Some(Either::Left(types)) => types,
                    _ => Vec::new(),
                };
                let columns = described.columns.into_iter().map(|c| (c.name().to_owned(), c.type_info().clone()));
                differences(&statement["describe"], &parameters, &columns.collect::<Vec<_>>(), &described.nullable)
                    .into_iter()
                    .for_each(&mut say);
            }
            Err(error) => say(format!("does not run ({error})")),
        }
        for (table, given) in inserts(sql) {
            for column in demanded(db, &table).await {
                if !given.contains(&column) {
                    say(format!("does not give {table}.{column}, which is NOT NULL and has no default"));
                }
            }
        }
    }
    findings
}

/// Recorded and described: what the binary sends and what it decodes.
fn differences(
    recorded: &Value,
    parameters: &[PgTypeInfo],
    columns: &[(String, PgTypeInfo)],
    nullable: &[Option<bool>],
) -> Vec<String> {
    let type_of = |value: &Value| serde_json::from_value::<PgTypeInfo>(value.clone()).unwrap();
    let mut found = Vec::new();
    let sent: Vec<_> = recorded["parameters"]["Left"].as_array().unwrap().iter().map(type_of).collect();
    if sent != parameters {
        found.push(format!("takes {parameters:?}, and was sent {sent:?}"));
    }
    let decoded: Vec<_> = recorded["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap().to_owned(), type_of(&column["type_info"])))
        .collect();
    if decoded != columns {
        found.push(format!("gives {columns:?}, and {decoded:?} is decoded"));
        return found;
    }
    for (n, (name, _)) in columns.iter().enumerate() {
        if recorded["nullable"][n] == false && nullable.get(n) != Some(&Some(false)) {
            found.push(format!("column {name} may be NULL now"));
        }
    }
    found
}

/// The tables that a statement inserts into, also inside a CTE, each with the columns it gives.
fn inserts(sql: &str) -> Vec<(String, Vec<String>)> {
    let code: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for part in code.split("INSERT INTO ").skip(1) {
        let (head, rest) = part.split_once('(').unwrap_or((part, ""));
        let words: Vec<_> = head.split_whitespace().collect();
        // Without a list it gives whatever the table has; `demanded` then names every column.
        let list = match words.as_slice() {
            [_] | [_, "AS", _] => rest.split(')').next().unwrap_or_default(),
            _ => "",
        };
        let columns = list.split(',').map(|column| column.trim().to_owned()).collect();
        found.push((words[0].to_owned(), columns));
    }
    found
}

/// Columns without which a row is refused.
async fn demanded(db: &mut PgConnection, table: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped \
         AND attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '' ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(db)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_every_version_run_on_this_schema() {
    let db = Db::new().await;
    let mut session = session(&db).await;
    let versions = versions();
    assert!(versions.len() >= 2, "none is frozen");
    let mut all = Vec::new();
    for (version, statements) in &versions {
        assert!(statements.len() > 50, "{version} has {} statements", statements.len());
        all.extend(findings(&mut session, version, statements).await);
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_takes_something_away_is_found_out_and_one_that_adds_is_not() {
    let db = Db::new().await;
    let mut session = session(&db).await;
    let (version, statements) = versions().pop().unwrap();
    for (change, expected) in [
        ("ALTER TABLE alerts ADD COLUMN extra text, ADD COLUMN counted bigint NOT NULL DEFAULT 0", None),
        ("ALTER TABLE nodes ADD COLUMN rack text NOT NULL", Some("does not give nodes.rack")),
        ("ALTER TABLE redrives ALTER created_by DROP NOT NULL", Some("column created_by may be NULL now")),
        ("ALTER TABLE redrives ALTER rate TYPE bigint", Some("is decoded")),
        ("ALTER TABLE duties ALTER holder TYPE text", Some("was sent")),
        ("ALTER TABLE refusals DROP COLUMN detail", Some("does not run")),
    ] {
        db.execute(change).await;
        let found = findings(&mut session, &version, &statements).await;
        match expected {
            None => assert!(found.is_empty(), "{change}: {}", found.join("\n")),
            Some(part) => {
                assert!(found.iter().any(|finding| finding.contains(part)), "{change}: {}", found.join("\n"));
            }
        }
    }
}

#[test]
fn inserts_are_seen_wherever_they_stand() {
    let sql = "WITH a AS (\n  -- INSERT INTO nowhere (x)\n  INSERT INTO one AS o (a, b) SELECT 1, 2\n) INSERT INTO two (c,\n d) VALUES (1, 2)";
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(inserts(sql), [("one".to_owned(), columns(&["a", "b"])), ("two".to_owned(), columns(&["c", "d"]))]);
    assert_eq!(inserts("INSERT INTO three VALUES (1)"), [("three".to_owned(), columns(&[""]))]);
}
