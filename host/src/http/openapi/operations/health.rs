use crate::http::openapi::describe::{Op, any_text, text};

const FOR_WHOM: &str = "For whom the answer is: `caller`, `anonymous`, or `invalid`.";

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/health", "host", "getHealth", "How this host is")
            .about("For callers part by part; a stranger hears nothing but how it is.")
            .optional_caller()
            .answers(200, "The same picture as readiness, always 200.", "Health")
            .with_header("Usher-Authentication", FOR_WHOM),
        Op::get("/health/live", "host", "getLive", "Whether this process runs")
            .about("Never asks the database: a restart would not help it.")
            .answers(200, "It does.", "Live"),
        Op::get("/health/ready", "host", "getReady", "Whether this host takes jobs")
            .about("What is wrong with a part is for callers; a stranger hears that something is.")
            .optional_caller()
            .answers(200, "It does, perhaps degraded.", "Ready")
            .answers(503, "Nothing can be taken.", "Ready"),
        Op::get("/metrics", "host", "getMetrics", "Numbers for Prometheus")
            .about("For anyone, or for callers where the operator wants it (`metrics.auth`).")
            .optional_caller()
            .answers_with(200, "Prometheus' text format.", "text/plain", text(0, 100_000_000)),
        Op::get("/openapi.json", "host", "getOpenApi", "This document")
            .about("With the payloads of the job types that are live. It changes when a release goes live; see ETag.")
            .header("If-None-Match", "The ETag of what the caller has.", any_text(), false)
            .database()
            .answers(200, "OpenAPI 3.1.", "OpenApi")
            .with_header("ETag", "Of these bytes.")
            .answers_empty(304, "It is what the caller has."),
        Op::get("/docs", "host", "getDocs", "This document as a page")
            .about("It loads nothing from elsewhere, and runs no script.")
            .database()
            .answers_with(200, "HTML.", "text/html", text(1, 100_000_000)),
    ]
}
