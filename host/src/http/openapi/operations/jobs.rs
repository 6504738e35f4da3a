use serde_json::json;

use crate::http::openapi::{
    describe::{Op, any_text, some_id, text, uuid, words},
    refusals::{ADMIN, CHANGES, MANY, NO_JOB, OTHER_TENANT, RETRY, Refusal, SUBMIT, refusal},
};

pub(super) const STATES: [&str; 7] = ["scheduled", "blocked", "ready", "running", "completed", "cancelled", "dead"];

pub(super) fn all() -> Vec<Op> {
    vec![submit(), list(), batch(), get(), cancel(), retry(), bulk_retry(), bulk()]
}

const RATES: &str = "What is left (draft-ietf-httpapi-ratelimit-headers), where submits are limited.";

const PRESSURE: [Refusal; 2] = [
    refusal(
        429,
        "rate-limited",
        "There were too many submits lately; nothing was written. See RateLimit and Retry-After.",
    ),
    refusal(429, "too-many-live-jobs", "The tenant has 1000 live jobs in the queue \"x\", which is as many as it may."),
];

fn job(op: Op) -> Op {
    op.path("id", "Of the job.", uuid(), some_id()).refuses(NO_JOB)
}

fn submit() -> Op {
    Op::post("/jobs", "jobs", "submitJob", "Submit a job")
        .about(
            "202 for a new job, or one that a derived key found (`deduplicated`); 200 with `Idempotency-Replayed` for a \
             repeat under the caller's own key. `tenant` is for admins, and for services within their key's tenants.",
        )
        .caller()
        .refuses(refusal(403, "forbidden", "Only an admin may name a tenant."))
        .header("Prefer", "`wait=30`: the answer comes when the job has ended, or after so many seconds.", any_text(), false)
        .header(
            "Idempotency-Key",
            "The same key with the same payload is the same job.",
            text(1, 255).pattern(Some("^[!-~]([ -~]*[!-~])?$")),
            false,
        )
        .refuses(refusal(400, "invalid-idempotency-key", "There is more than one Idempotency-Key."))
        .body(
            "Submit",
            &[
                ("event", json!({ "type": "analytics-track", "payload": { "event": "ticket.viewed" } })),
                (
                    "delayed",
                    json!({
                        "type": "analytics-track",
                        "payload": { "event": "ticket.viewed", "userId": "u-17" },
                        "priority": "low",
                        "expiresIn": "2h",
                        "metadata": { "order": "4711" },
                    }),
                ),
            ],
        )
        .refuses_all(&SUBMIT)
        .refuses_all(&PRESSURE)
        .refuses(refusal(422, "idempotency-key-reused", "This Idempotency-Key was used before with another payload."))
        .database()
        .answers(202, "It is taken, and durable as its queue's tier says.", "Submitted")
        .with_header("Location", "The job.")
        .with_header("Preference-Applied", "`wait=30`: it was waited for.")
        .with_header("RateLimit", RATES)
        .with_header("RateLimit-Policy", RATES)
        .answers(200, "The first job of this key, or one that was waited for and has ended.", "Submitted")
        .with_header("Location", "The job.")
        .with_header("Idempotency-Replayed", "`true`: the first job of this key.")
        .with_header("Preference-Applied", "`wait=30`: it was waited for.")
        .with_header("RateLimit", RATES)
        .with_header("RateLimit-Policy", RATES)
}

fn list() -> Op {
    Op::get("/jobs", "jobs", "listJobs", "Jobs, newest first")
        .about("Of the caller's own tenant; an admin sees all, or those of the tenant that is named.")
        .caller()
        .query("state", "Only those in this state.", words(&STATES))
        .query("type", "Only those of this type.", any_text())
        .query("queue", "Only those of this queue.", any_text())
        .query("tenant", "For admins; others may name their own.", any_text())
        .paged()
        .refuses(OTHER_TENANT)
        .database()
        .answers(200, "A page.", "JobPage")
}

fn batch() -> Op {
    Op::post("/jobs/batch", "jobs", "submitJobs", "Submit up to 1,000 jobs")
        .about(
            "At most 4 MiB. Each job is taken or refused by itself, and the answer names each in its order, with the status \
             that it would have had alone; where none is taken, the answer is an `invalid-batch`. With `atomic`, all are taken \
             in one commit, or one that is refused refuses all. Of jobs of one key in a request the first is the job. `tenant` \
             is for admins, and for services within their key's tenants.",
        )
        .only(MANY)
        .body(
            "Batch",
            &[
                (
                    "two",
                    json!({ "jobs": [
                        { "type": "analytics-track", "payload": { "event": "ticket.viewed" } },
                        { "type": "analytics-track", "payload": { "event": "ticket.sold" }, "idempotencyKey": "sold-1" },
                    ] }),
                ),
                (
                    "all-or-none",
                    json!({ "atomic": true, "jobs": [
                        { "type": "analytics-track", "payload": { "event": "order.paid" }, "idempotencyKey": "paid-2" },
                        { "type": "analytics-track", "payload": { "event": "ticket.sold" }, "idempotencyKey": "sold-2" },
                    ] }),
                ),
            ],
        )
        .refuses_all(&PRESSURE)
        .refuses(refusal(422, "invalid-batch", "Jobs of this batch are refused; nothing was written."))
        .database()
        .answers(200, "What became of each; with `atomic`, all were taken.", "BatchAnswer")
}

fn get() -> Op {
    job(Op::get("/jobs/{id}", "jobs", "getJob", "A job"))
        .about("Another tenant's job is not there.")
        .caller()
        .header(
            "Prefer",
            "`wait=30`: the answer comes when the job has ended, or after so many seconds.",
            any_text(),
            false,
        )
        .database()
        .answers(200, "As it is; with `Prefer: wait`, it has ended.", "Job")
        .answers(202, "It was waited for, and has not ended.", "Job")
}

fn cancel() -> Op {
    job(Op::delete("/jobs/{id}", "jobs", "cancelJob", "Cancel a job"))
        .only(CHANGES)
        .refuses(refusal(409, "not-cancellable", "The job is completed."))
        .refuses(refusal(409, "unknown-outcome", "An effect of it is in doubt: resolve it first."))
        .database()
        .answers(200, "It is over.", "Cancelled")
        .answers(202, "It ends as soon as what it does is journaled.", "CancelRequested")
}

fn retry() -> Op {
    job(Op::post("/jobs/{id}/retry", "jobs", "retryJob", "Begin a dead job again"))
        .about("Under its id, with its journal: what happened is not done again.")
        .only(CHANGES)
        .optional_body("Retry", &[("as-it-is", json!({}))])
        .refuses_all(&RETRY)
        .database()
        .answers(202, "It is ready.", "JobState")
}

fn bulk_retry() -> Op {
    Op::post("/jobs/bulk/retry", "jobs", "retryJobs", "Begin many dead jobs again")
        .about("A preview changes nothing, and answers 200.")
        .only(ADMIN)
        .body(
            "BulkRetry",
            &[
                ("preview", json!({ "filter": { "reason": "retries-exhausted" }, "preview": true })),
                ("start", json!({ "filter": { "type": "analytics-track", "reason": "expired" }, "rate": 50 })),
            ],
        )
        .database()
        .answers(202, "It has begun.", "BulkStarted")
        .answers(200, "What it would be about.", "BulkPreview")
}

fn bulk() -> Op {
    Op::get("/jobs/bulk/{id}", "jobs", "getBulkRetry", "How far a bulk retry came")
        .path("id", "Of the bulk retry.", uuid(), some_id())
        .only(ADMIN)
        .refuses(refusal(404, "not-found", "There is no such bulk redrive."))
        .database()
        .answers(200, "As it is.", "Bulk")
}
