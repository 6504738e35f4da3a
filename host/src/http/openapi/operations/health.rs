use crate::http::openapi::describe::{Op, text};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/health", "host", "getHealth", "How this host is").answers(200, "Part by part.", "Health"),
        Op::get("/health/live", "host", "getLive", "Whether this process runs")
            .about("Never asks the database: a restart would not help it.")
            .answers(200, "It does.", "Live"),
        Op::get("/health/ready", "host", "getReady", "Whether this host takes jobs")
            .answers(200, "It does, perhaps degraded.", "Ready")
            .answers(503, "Nothing can be taken.", "Ready"),
        Op::get("/openapi.json", "host", "getOpenApi", "This document")
            .about("With the payloads of the job types that are live. It changes when a release goes live; see ETag.")
            .header("If-None-Match", "The ETag of what the caller has.", text(0, 1_000), false)
            .answers(200, "OpenAPI 3.1.", "OpenApi")
            .with_header("ETag", "Of these bytes.")
            .answers_empty(304, "It is what the caller has."),
        Op::get("/docs", "host", "getDocs", "This document as a page")
            .about("It loads nothing from elsewhere, and runs no script.")
            .answers_with(200, "HTML.", "text/html", text(1, 100_000_000)),
    ]
}
