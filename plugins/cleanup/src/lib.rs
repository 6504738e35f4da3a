//! `cleanup-old-data`: has a service delete what is older than a cut-off, page by page.
//!
//! A job asks for a bounded number of pages. What is left then is for a job of the same type, which is committed with this one's
//! success, bears the cut-off and the place, and cannot be enqueued twice. Deleting what is older than a fixed moment is done as
//! well by two calls as by one, so the upstream may say `idempotent = true`.
//!
//! `POST /cleanup/{collection}` `{before, limit, cursor?}` answers `{deleted, next?, remaining?}`; without `next` it was the last.

mod time;

use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_plugin::{Failure, Job, context, jobs::NewJob, log, progress, upstream};

/// Of one job: below the manifest's `limits.effects`.
const PAGES: u64 = 40;
/// Of all jobs that follow on each other. A service that has still more is more likely to go in circles.
const MAX_PAGES: u64 = 100_000;
const PAGE_SIZE: u32 = 500;

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cleanup {
    collection: String,
    before: Option<String>,
    older_than_days: Option<u64>,
    page_size: Option<u32>,
    resume: Option<Resume>,
}

/// How far the jobs before this one came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    cursor: String,
    pages: u64,
    deleted: u64,
}

#[derive(Serialize)]
struct Ask<'a> {
    before: &'a str,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

#[derive(Deserialize)]
struct Page {
    deleted: u64,
    next: Option<String>,
    /// How much it thinks is left.
    remaining: Option<u64>,
}

/// The job's result.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cleaned {
    collection: String,
    before: String,
    /// By this job and those that it follows on.
    deleted: u64,
    pages: u64,
    /// The job that goes on; none when all is done.
    continued_by: Option<String>,
}

fn process(job: Job<Cleanup>) -> Result<Cleaned, Failure> {
    let Cleanup { collection, before, older_than_days, page_size, resume } = job.payload;
    let before = match (before, older_than_days) {
        (Some(before), None) => before,
        (None, Some(days)) => time::days_before(context::now_ms(), days),
        _ => return Err(Failure::permanent("either a cut-off or an age")),
    };
    let limit = page_size.unwrap_or(PAGE_SIZE);
    let path = format!("/cleanup/{collection}");
    let (mut cursor, mut pages, mut deleted) = match resume {
        Some(Resume { cursor, pages, deleted }) => (Some(cursor), pages, deleted),
        None => (None, 0, 0),
    };
    let mut rest = None;
    for n in 1..=PAGES {
        let ask = Ask { before: &before, limit, cursor: cursor.as_deref() };
        let page: Page = upstream::post_json("data", &path, &ask)?;
        pages += 1;
        deleted = deleted.saturating_add(page.deleted);
        progress::report(percent(n, deleted, page.remaining), &format!("page {pages}, {deleted} deleted"));
        match page.next {
            None => break,
            Some(next) if cursor.as_ref() == Some(&next) || pages >= MAX_PAGES => {
                return Err(Failure::permanent(
                    "the upstream comes to no end: it gives the same place again and again",
                ));
            }
            Some(next) if n == PAGES => rest = Some(next),
            Some(next) => cursor = Some(next),
        }
    }
    let continued_by = match rest {
        Some(cursor) => {
            let resume = Resume { cursor, pages, deleted };
            let follower = json!({"collection": collection, "before": before, "pageSize": limit, "resume": resume});
            Some(NewJob::new("cleanup-old-data", &follower).key(format!("cleanup-after-{}", job.id)).enqueue()?)
        }
        None => None,
    };
    log::info("cleaned", &[("cleanup.pages", &pages), ("cleanup.deleted", &deleted)]);
    Ok(Cleaned { collection, before, deleted, pages, continued_by })
}

/// Of what the service thinks there is, or of what one job does.
fn percent(page: u64, deleted: u64, remaining: Option<u64>) -> u8 {
    let (part, whole) = match remaining {
        Some(remaining) => (deleted, deleted.saturating_add(remaining)),
        None => (page, PAGES),
    };
    if whole == 0 {
        return 100;
    }
    u8::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(100)
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use usher_plugin::testing::Host;

    use super::*;

    fn job(payload: Value) -> Job<Cleanup> {
        Job::sample("cleanup-old-data", serde_json::from_value(payload).expect("fields as the schema has them"))
    }

    fn page(deleted: u64, next: Option<&str>) -> Value {
        json!({"status": 200, "json": {"deleted": deleted, "next": next}})
    }

    #[test]
    fn pages_are_asked_for_until_there_is_no_next() {
        let mut host = Host::new().ok(page(500, Some("a"))).ok(page(500, Some("b"))).ok(page(3, None));
        let done = host.run(|| process(job(json!({"collection": "sessions", "olderThanDays": 30})))).expect("cleaned");
        assert_eq!((done.deleted, done.pages, done.continued_by), (1003, 3, None));
        assert_eq!(done.before, "2025-12-02T00:00:00Z");
        let asked: Vec<_> = host.effects().iter().map(|effect| effect.request["json"]["cursor"].clone()).collect();
        assert_eq!(asked, [Value::Null, json!("a"), json!("b")]);
        assert_eq!(host.effects()[2].request["json"]["before"], "2025-12-02T00:00:00Z", "one cut-off for all pages");
    }

    #[test]
    fn what_one_job_leaves_the_next_one_takes_up() {
        let mut host = Host::new();
        for n in 1..=PAGES {
            host = host.ok(page(10, Some(&format!("c{n}"))));
        }
        let first = json!({"collection": "sessions", "before": "2026-01-01T00:00:00Z", "pageSize": 10});
        let done = host.run(|| process(job(first))).expect("cleaned");
        assert_eq!((done.deleted, done.pages, done.continued_by.is_some()), (400, 40, true));
        let follower = &host.jobs()[0];
        assert_eq!(follower.key.as_deref(), Some("cleanup-after-01900000-0000-7000-8000-000000000000"));
        assert_eq!(follower.payload["resume"], json!({"cursor": "c40", "pages": 40, "deleted": 400}));

        let mut host = Host::new().ok(page(1, None));
        let done = host.run(|| process(job(follower.payload.clone()))).expect("cleaned");
        assert_eq!((done.deleted, done.pages, done.before.as_str()), (401, 41, "2026-01-01T00:00:00Z"));
        assert_eq!(host.effects()[0].request["json"]["cursor"], "c40");
    }

    #[test]
    fn a_service_that_goes_in_circles_or_refuses_ends_it() {
        let payload = json!({"collection": "sessions", "before": "2026-01-01T00:00:00Z"});
        let mut host = Host::new().ok(page(0, Some("a"))).ok(page(0, Some("a")));
        assert!(matches!(host.run(|| process(job(payload.clone()))), Err(Failure::Permanent(_))));
        let mut host = Host::new().ok(json!({"status": 404}));
        assert!(matches!(host.run(|| process(job(payload))), Err(Failure::Permanent(_))));
        assert!(host.jobs().is_empty());
    }

    #[test]
    fn how_far_it_is_never_leaves_its_bounds() {
        assert_eq!(percent(1, 50, Some(150)), 25);
        assert_eq!(percent(40, 0, None), 100);
        assert_eq!(percent(1, 0, Some(0)), 100);
        assert_eq!(percent(1, u64::MAX, Some(u64::MAX)), 100);
    }
}
