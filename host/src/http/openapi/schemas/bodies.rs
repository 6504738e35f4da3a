use serde_json::{Value, json};

use super::{closed, reference};

/// Names of any kind hold no control characters.
const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// A duration of one unit, of at most 30 days; other ways to write it (`1h 30m`) are taken too.
const DURATION: &str = "^([1-9][0-9]{0,3}(s|m)|([1-9][0-9]?|[1-6][0-9]{2}|7[01][0-9]|720)h|([1-9]|[12][0-9]|30)d)$";

/// What requests hold.
pub(super) fn all() -> [(String, Value); 16] {
    [
        ("Submit", submit()),
        ("BatchItem", batch_item()),
        ("Batch", batch()),
        ("Retry", closed(&[], json!({ "release": digest("The current one if it is left out.") }))),
        ("BulkRetry", bulk_retry()),
        (
            "ClearQueue",
            closed(&["confirm"], json!({ "confirm": { "type": "string", "description": "The queue's name." } })),
        ),
        ("ResolveEffect", resolve_effect()),
        ("PauseProvider", closed(&[], json!({ "tenant": name(128, "Everybody if it is left out.") }))),
        ("SetLimit", set_limit()),
        ("SetRateLimit", set_rate_limit()),
        ("Activate", one_of_two()),
        ("Rollback", one_of_two()),
        ("Retire", retire()),
        ("Migrate", migrate()),
        ("NewEndpoint", new_endpoint()),
        ("ChangeEndpoint", change_endpoint()),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
}

/// The fields of a job that a live document gives once for each job type.
pub(in crate::http::openapi) fn job_fields() -> Value {
    json!({
        "type": name(255, "A job type that a plugin owns; see GET /plugins."),
        "payload": { "description": "As the job type's schema says; at most 256 KiB." },
        "priority": reference("Priority"),
        "runAt": { "type": "string", "format": "date-time", "description": "Not before; at most a year ahead, which no schema says." },
        "expiresIn": { "type": "string", "pattern": DURATION, "description": "From now on; at most 30 days." },
        "metadata": { "type": "object", "additionalProperties": true, "description": "Kept verbatim; at most 16 KiB." },
        "tenant": name(128, "For admins and services; the caller's own if it is left out."),
        "orderingKey": name(255, "Jobs of one key, tenant and queue run one after another. Not with runAt."),
    })
}

fn submit() -> Value {
    job(job_fields())
}

fn batch_item() -> Value {
    let mut fields = job_fields();
    fields["idempotencyKey"] = idempotency_key();
    job(fields)
}

pub(in crate::http::openapi) fn idempotency_key() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$" })
}

pub(in crate::http::openapi) fn job(fields: Value) -> Value {
    let mut schema = closed(&["type", "payload"], fields);
    schema["not"] = both("runAt", "orderingKey");
    schema
}

/// Both are there, and neither is `null`.
fn both(one: &str, other: &str) -> Value {
    let there = || json!({ "type": "string" });
    json!({ "required": [one, other], "properties": { one: there(), other: there() } })
}

fn batch() -> Value {
    closed(
        &["jobs"],
        json!({
            "jobs": { "type": "array", "minItems": 1, "maxItems": 1_000, "items": reference("BatchItem") },
            "atomic": { "type": "boolean", "default": false, "description": "All of the jobs in one commit, or none." },
        }),
    )
}

fn bulk_retry() -> Value {
    closed(
        &["filter"],
        json!({
            "filter": reference("DeadFilter"),
            "rate": { "type": "integer", "minimum": 1, "maximum": 10_000, "default": 50, "description": "Jobs a second." },
            "preview": { "type": "boolean", "default": false, "description": "Changes nothing." },
        }),
    )
}

fn resolve_effect() -> Value {
    let outcome = json!({ "type": "string", "enum": ["happened", "void", "resend"] });
    closed(
        &["outcome", "evidence"],
        json!({
            "outcome": outcome,
            "answer": { "description": "What the provider shows of it: with `happened`, and only then." },
            "evidence": { "type": "string", "minLength": 1, "maxLength": 2_000, "pattern": "[^\\s\\u0000]", "description": "How it is known." },
        }),
    )
}

fn set_limit() -> Value {
    let max = json!({
        "type": ["integer", "null"], "minimum": 0, "maximum": 2_147_483_647, "description": "null takes the limit away.",
    });
    closed(&["max"], json!({ "max": max }))
}

fn set_rate_limit() -> Value {
    let rate = json!({ "type": ["string", "null"], "pattern": "^[1-9][0-9]{0,5}/[smhd]$", "description": "Such as 100/s; null takes away what was set." });
    let burst = json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000, "description": "So many at once." });
    closed(&["rate"], json!({ "rate": rate, "burst": burst }))
}

/// Version or digest, not both.
fn one_of_two() -> Value {
    let version = json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": PLAIN });
    let mut schema = closed(&[], json!({ "version": version, "digest": digest("In place of the version.") }));
    schema["not"] = both("version", "digest");
    schema
}

fn retire() -> Value {
    let mode = json!({
        "type": "string", "enum": ["drain", "cancel"], "description": "drain lets waiting jobs go on, cancel ends them.",
    });
    closed(&["mode"], json!({ "mode": mode }))
}

fn migrate() -> Value {
    closed(
        &["from", "to"],
        json!({ "from": name(80, "A version or a digest."), "to": name(80, "A version or a digest.") }),
    )
}

fn new_endpoint() -> Value {
    closed(
        &["url"],
        json!({
            "url": url(),
            "events": events(),
            "description": description(),
            "tenant": name(128, "For admins; the caller's own if it is left out."),
        }),
    )
}

fn change_endpoint() -> Value {
    closed(
        &[],
        json!({
            "url": url(),
            "events": events(),
            "description": description(),
            "state": { "type": "string", "enum": ["enabled", "disabled"] },
        }),
    )
}

fn url() -> Value {
    json!({ "type": "string", "maxLength": 2_048, "pattern": "^https://[^/?#\\s@\\\\]+[^\\s]*$", "description": "https, and a public address." })
}

fn description() -> Value {
    json!({ "type": "string", "maxLength": 256, "pattern": PLAIN, "description": "For people." })
}

fn events() -> Value {
    let event = json!({ "type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$" });
    json!({ "type": "array", "maxItems": 100, "items": event, "description": "Empty: all." })
}

fn name(most: usize, about: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": PLAIN, "description": about })
}

fn digest(about: &str) -> Value {
    json!({ "type": "string", "pattern": "^(sha256:)?[0-9a-f]{64}$", "description": about })
}
