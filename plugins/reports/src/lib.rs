//! `generate-report`: reads the rows of a report from a service, page by page, writes them as CSV or JSON, and puts the file into a
//! storage. The file bears the job's id, so that a repeat writes the same file, and no report takes another's place.
//!
//! `GET /reports/{report}?from&to&limit&cursor` answers `{rows: [{…}], next?}`; `PUT /reports/{report}/{job}.{format}` keeps a file.

mod csv;

use serde::{Deserialize, Serialize};
use usher_plugin::{Failure, Job, progress, upstream::Request};

use crate::csv::Row;

/// Below the manifest's `limits.effects`, with the upload.
const PAGES: usize = 45;
const PAGE_SIZE: &str = "1000";
/// Of all pages together, in bytes: what the guest's memory has room for once it is read.
const MAX_READ: usize = 4 << 20;
/// The longest body that an upstream is sent.
const MAX_FILE: usize = 1 << 20;

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    report: String,
    format: Format,
    from: Option<String>,
    to: Option<String>,
    columns: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Json,
}

#[derive(Deserialize)]
struct Page {
    rows: Vec<Row>,
    next: Option<String>,
}

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
struct Report {
    /// In the storage.
    path: String,
    format: Format,
    rows: usize,
    bytes: usize,
}

fn process(job: Job<Wanted>) -> Result<Report, Failure> {
    let wanted = &job.payload;
    let rows = read(wanted)?;
    let (file, extension, content_type) = match wanted.format {
        Format::Csv => (csv::table(&rows, wanted.columns.as_deref()).into_bytes(), "csv", "text/csv; charset=utf-8"),
        Format::Json => (serde_json::to_vec(&rows)?, "json", "application/json"),
    };
    if file.len() > MAX_FILE {
        return Err(too_long("would have more than 1 MiB"));
    }
    let path = format!("/reports/{}/{}.{extension}", wanted.report, job.id);
    let bytes = file.len();
    progress::report(90, "storing");
    Request::put("storage", path.as_str()).header("content-type", content_type).body(file).call()?.expect_ok()?;
    Ok(Report { path, format: wanted.format, rows: rows.len(), bytes })
}

fn read(wanted: &Wanted) -> Result<Vec<Row>, Failure> {
    let path = format!("/reports/{}", wanted.report);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let mut cursor: Option<String> = None;
    for n in 1..=PAGES {
        let mut ask = Request::get("data", path.as_str()).query("limit", PAGE_SIZE);
        for (name, value) in [("from", &wanted.from), ("to", &wanted.to), ("cursor", &cursor)] {
            if let Some(value) = value {
                ask = ask.query(name, value);
            }
        }
        let answer = ask.call()?;
        bytes += answer.body.len();
        if bytes > MAX_READ {
            return Err(too_long("is made of more than 4 MiB"));
        }
        let page: Page = answer.expect_json()?;
        rows.extend(page.rows);
        // Of 90, since what is left is to write it; how many pages there will be nobody knows.
        progress::report(u8::try_from(90 * n / PAGES).unwrap_or(90), &format!("page {n}, {} rows", rows.len()));
        match page.next {
            None => return Ok(rows),
            next => cursor = next,
        }
    }
    Err(too_long("has more than 45 pages"))
}

fn too_long(what: &str) -> Failure {
    Failure::permanent(format_args!("the report {what}: ask for less by from and to"))
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_plugin::testing::Host;

    use super::*;

    fn job(payload: Value) -> Job<Wanted> {
        Job::sample("generate-report", serde_json::from_value(payload).expect("fields as the schema has them"))
    }

    fn page(rows: Value, next: Option<&str>) -> Value {
        json!({"status": 200, "json": {"rows": rows, "next": next}})
    }

    #[test]
    fn all_pages_become_one_file_that_bears_the_jobs_id() {
        let mut host = Host::new()
            .ok(page(json!([{"seat": "1A", "sum": 5}]), Some("p2")))
            .ok(page(json!([{"seat": "1B", "sum": 7}]), None))
            .ok(json!({"status": 201}));
        let payload = json!({"report": "sales", "format": "csv", "from": "2026-01-01", "to": "2026-02-01"});
        let report = host.run(|| process(job(payload))).expect("a report");
        assert_eq!(report.path, "/reports/sales/01900000-0000-7000-8000-000000000000.csv");
        assert_eq!((report.rows, report.bytes), (2, 22));
        let [first, second, put] = host.effects() else { panic!("three effects") };
        assert_eq!(first.request["query"], json!([["limit", "1000"], ["from", "2026-01-01"], ["to", "2026-02-01"]]));
        assert_eq!(second.request["query"][3], json!(["cursor", "p2"]));
        assert_eq!(
            (&put.request["method"], &put.request["text"]),
            (&json!("PUT"), &json!("seat,sum\r\n1A,5\r\n1B,7\r\n"))
        );
    }

    #[test]
    fn json_keeps_the_rows_as_they_are() {
        let rows = json!([{"a": [1], "b": null}]);
        let mut host = Host::new().ok(page(rows.clone(), None)).ok(json!({"status": 204}));
        host.run(|| process(job(json!({"report": "sales", "format": "json"})))).expect("a report");
        assert_eq!(host.effects()[1].request["json"], rows);
    }

    #[test]
    fn what_is_too_long_or_refused_stores_nothing() {
        let payload = json!({"report": "sales", "format": "csv"});
        let long = json!([{"a": "x".repeat(1 << 20)}]);
        let mut host = Host::new().ok(page(long, None));
        let failure = host.run(|| process(job(payload.clone()))).expect_err("too long");
        assert!(matches!(&failure, Failure::Permanent(said) if said.contains("1 MiB")), "{failure:?}");
        let mut endless = Host::new();
        for _ in 0..PAGES {
            endless = endless.ok(page(json!([]), Some("again")));
        }
        assert!(matches!(endless.run(|| process(job(payload.clone()))), Err(Failure::Permanent(_))));
        assert_eq!(endless.effects().len(), PAGES);
        let mut host = Host::new().ok(json!({"status": 404}));
        assert!(matches!(host.run(|| process(job(payload.clone()))), Err(Failure::Permanent(_))));
        let mut host = Host::new().ok(page(json!([]), None)).ok(json!({"status": 403}));
        assert!(matches!(host.run(|| process(job(payload))), Err(Failure::Permanent(_))));
    }
}
