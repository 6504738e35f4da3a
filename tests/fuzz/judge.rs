//! The host after all that: alive, calm, of bounded size, its log clean, its database whole.

use crate::{
    report::Report,
    rig::{Fed, Rig},
};

const KIND: &str = "the host";
/// Of the host, at its peak: what it may have at a thousand jobs in flight.
const RSS: u64 = 500 << 20;

pub async fn all(rig: &Rig, fed: Fed, report: &mut Report) {
    for failure in &fed.failures {
        report.fail(KIND, failure);
    }
    if !rig.is_alive() {
        report.fail(KIND, "it is gone");
    }
    let rss = rig.peak_rss();
    if rss > RSS {
        report.fail(KIND, &format!("it had {} MiB, more than {}", rss >> 20, RSS >> 20));
    }
    rig.note(&format!("at most {} MiB; {} submits beside all this", rss >> 20, fed.acknowledged.len()));
    log(&rig.log(), report);
    database(rig, &fed, report).await;
}

/// No panic, and nothing in it that a stranger has sent stands there as it came.
fn log(text: &str, report: &mut Report) {
    if text.is_empty() {
        report.fail(KIND, "its log cannot be read");
    }
    for line in text.lines() {
        if line.starts_with("thread '") && line.contains("panicked at") || line.contains("a handler panicked") {
            report.fail(KIND, &format!("it panicked: {line}"));
        }
        if line.trim_start().starts_with("FUZZ-INJECTED") {
            report.fail(KIND, &format!("a stranger wrote a line of its log: {line}"));
        }
        if let Some(c) = line.chars().find(|c| speaks(*c)) {
            report.fail(KIND, &format!("{c:?} stands raw in its log: {line:?}"));
        }
    }
}

/// Control characters of both kinds, and those that turn or break a line for whoever looks at it.
fn speaks(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

async fn database(rig: &Rig, fed: &Fed, report: &mut Report) {
    // Ids are our own, and ids only.
    let ids: Vec<_> = fed.acknowledged.iter().map(|id| format!("'{id}'")).collect();
    if ids.is_empty() {
        report.fail(KIND, "nothing was taken beside all this");
        return;
    }
    let ids = ids.join(",");
    let there = format!(
        "SELECT (SELECT count(*) FROM jobs WHERE id IN ({ids})) + (SELECT count(*) FROM jobs_archive WHERE id IN ({ids}))"
    );
    let there = rig.db.count(&there).await;
    if there != i64::try_from(fed.acknowledged.len()).unwrap_or(i64::MAX) {
        report.fail(KIND, &format!("{} jobs were acknowledged and {there} are there", fed.acknowledged.len()));
    }
    for (what, sql) in [
        ("jobs are live and ended at once", "SELECT count(*) FROM jobs JOIN jobs_archive USING (id)"),
        (
            "effects have no job",
            "SELECT count(*) FROM effects e WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = e.job_id)",
        ),
    ] {
        let found = rig.db.count(sql).await;
        if found > 0 {
            report.fail(KIND, &format!("{found} {what}"));
        }
    }
}
