use serde_json::{Value, json};

use super::{object, reference};

/// What answers hold.
pub(super) fn all() -> Vec<(String, Value)> {
    let id = || json!({ "type": "string", "format": "uuid" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let flag = || json!({ "type": "boolean" });
    let nullable = |kind: &str| json!({ "type": [kind, "null"] });
    let all = [
        ("Finding", object(&["pointer", "message"], json!({ "pointer": text(), "message": text() }))),
        ("JobPage", page("Job")),
        ("Submitted", json!({ "anyOf": [reference("Job"), reference("OutlivedJob")] })),
        (
            "OutlivedJob",
            object(
                &["id", "type", "tenant", "state"],
                json!({
                    "id": id(), "type": text(), "tenant": text(), "state": text(), "result": {}, "deduplicated": flag(),
                }),
            ),
        ),
        ("EffectPage", page("Effect")),
        ("AuditPage", page("AuditEntry")),
        ("ReleasePage", page("ReleaseInHistory")),
        ("EndpointPage", page("Endpoint")),
        ("DeliveryPage", page("Delivery")),
        ("AlertPage", page("Alert")),
        ("BatchAnswer", object(&["jobs"], json!({ "jobs": { "type": "array", "items": reference("BatchOutcome") } }))),
        (
            "BatchOutcome",
            object(
                &["outcome", "status"],
                json!({
                    "id": id(),
                    "status": {
                        "type": "integer", "description": "What `POST /jobs` would have said: 202 or 200, or the problem's.",
                    },
                    "outcome": { "type": "string", "enum": ["created", "replayed", "deduplicated", "failed"] },
                    "problem": reference("Problem"),
                }),
            ),
        ),
        (
            "Cancelled",
            object(&["id", "state"], json!({ "id": id(), "state": { "type": "string", "const": "cancelled" } })),
        ),
        ("CancelRequested", object(&["id", "cancelRequested"], json!({ "id": id(), "cancelRequested": flag() }))),
        ("JobState", object(&["id", "state"], json!({ "id": id(), "state": text() }))),
        ("BulkStarted", object(&["id", "state"], json!({ "id": id(), "state": text() }))),
        (
            "BulkPreview",
            object(&["matches", "sample"], json!({ "matches": count(), "sample": { "type": "array", "items": id() } })),
        ),
        ("QueueList", list("queues", "Queue")),
        ("Queue", queue()),
        ("QueuePaused", object(&["name", "paused"], json!({ "name": text(), "paused": flag() }))),
        (
            "QueueCleared",
            object(
                &["name", "cleared", "kept"],
                json!({
                    "name": text(),
                    "cleared": count(),
                    "kept": object(&["running", "journaled"], json!({ "running": count(), "journaled": count() })),
                }),
            ),
        ),
        ("EffectResolved", object(&["job", "seq", "state"], json!({ "job": id(), "seq": count(), "state": text() }))),
        (
            "ProviderList",
            object(
                &["providers", "pauses"],
                json!({
                    "providers": { "type": "array", "items": text() },
                    "pauses": { "type": "array", "items": reference("Pause") },
                }),
            ),
        ),
        (
            "ProviderPaused",
            object(
                &["provider", "paused", "changed"],
                json!({ "provider": text(), "tenant": nullable("string"), "paused": flag(), "changed": flag() }),
            ),
        ),
        ("LimitList", list("limits", "Limit")),
        ("LimitSet", object(&["scope", "max"], json!({ "scope": text(), "max": nullable("integer") }))),
        ("RateLimitList", list("rateLimits", "RateLimit")),
        (
            "RateLimitSet",
            object(
                &["bucket", "rate", "burst", "source"],
                json!({
                    "bucket": text(), "rate": nullable("string"), "burst": nullable("integer"), "source": nullable("string"),
                }),
            ),
        ),
        (
            "PluginList",
            object(
                &["plugins", "refusals"],
                json!({
                    "plugins": { "type": "array", "items": reference("Plugin") },
                    "refusals": { "type": "array", "items": reference("Refusal") },
                    "nextCursor": nullable("string"),
                }),
            ),
        ),
        ("Plugin", plugin()),
        (
            "Refusal",
            object(
                &["source", "reason", "detail", "refusedAt"],
                json!({
                    "source": text(), "digest": nullable("string"), "plugin": nullable("string"), "reason": text(),
                    "detail": text(), "refusedAt": time(),
                }),
            ),
        ),
        (
            "Published",
            object(
                &["name", "version", "digest", "state"],
                json!({
                    "name": text(), "version": text(), "digest": reference("Digest"), "generation": nullable("integer"),
                    "state": { "type": "string", "enum": ["active", "waiting", "stored"] },
                    "verified": report(), "waiting": {}, "warnings": {},
                }),
            ),
        ),
        (
            "ReleaseChanged",
            object(
                &["name", "version", "digest", "generation", "state"],
                json!({
                    "name": text(), "version": text(), "digest": reference("Digest"), "generation": { "type": "integer" },
                    "state": { "type": "string", "enum": ["active", "waiting"] }, "verified": report(),
                }),
            ),
        ),
        (
            "Retiring",
            object(
                &["name", "state", "mode", "jobs"],
                json!({ "name": text(), "state": text(), "mode": text(), "jobs": count() }),
            ),
        ),
        (
            "Migrated",
            object(
                &["name", "from", "to", "moved", "left", "leftBecause"],
                json!({
                    "name": text(), "from": reference("Digest"), "to": reference("Digest"), "moved": count(), "left": count(),
                    "leftBecause": object(
                        &["running", "inDoubt", "refused", "notGranted"],
                        json!({ "running": count(), "inDoubt": count(), "refused": count(), "notGranted": count() }),
                    ),
                }),
            ),
        ),
        (
            "UsageList",
            object(
                &["name", "days"],
                json!({
                    "name": text(), "tenant": nullable("string"), "days": { "type": "array", "items": reference("UsageDay") },
                }),
            ),
        ),
        ("Replay", replay()),
        (
            "EndpointCreated",
            json!({ "allOf": [reference("Endpoint"), object(&["secret"], json!({ "secret": text() }))] }),
        ),
        ("EndpointRotated", object(&["secret", "previousUntil"], json!({ "secret": text(), "previousUntil": time() }))),
        ("Pinged", object(&["delivery"], json!({ "delivery": id() }))),
        ("Replayed", object(&["replayed"], json!({ "replayed": count() }))),
        ("Live", object(&["status"], json!({ "status": { "type": "string", "const": "ok" } }))),
        ("Ready", object(&["status", "parts"], json!({ "status": reference("HealthStatus"), "parts": parts() }))),
        (
            "Health",
            object(&["status"], json!({ "status": reference("HealthStatus"), "version": text(), "parts": parts() })),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

pub(super) fn page(of: &str) -> Value {
    object(
        &["items"],
        json!({
            "items": { "type": "array", "items": reference(of) },
            "nextCursor": { "type": ["string", "null"], "description": "There is more: `cursor` of the next request." },
        }),
    )
}

fn list(member: &str, of: &str) -> Value {
    let next = json!({ "type": ["string", "null"], "description": "There is more: `cursor` of the next request." });
    object(&[member], json!({ member: { "type": "array", "items": reference(of) }, "nextCursor": next }))
}

/// Of recorded jobs that were run with a release, where somebody asked for it.
fn report() -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": true })
}

fn parts() -> Value {
    json!({ "type": "object", "additionalProperties": reference("HealthPart") })
}

fn queue() -> Value {
    let counts = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
    object(
        &["name", "tier", "paused"],
        json!({
            "name": { "type": "string" },
            "tier": { "type": "integer", "minimum": 1, "maximum": 3 },
            "paused": { "type": "boolean" },
            "counts": counts,
            "estimated": { "type": "array", "items": { "type": "string" }, "description": "States whose count is a guess." },
            "sampledAt": { "type": ["string", "null"], "format": "date-time" },
            "today": counts,
        }),
    )
}

fn plugin() -> Value {
    let ready = json!({
        "type": "object", "required": ["nodes", "of"],
        "properties": { "nodes": { "type": "integer" }, "of": { "type": "integer" } },
    });
    object(
        &["name", "version", "digest", "generation", "jobTypes", "activatedAt", "state", "ready"],
        json!({
            "name": { "type": "string" },
            "version": { "type": "string" },
            "digest": reference("Digest"),
            "generation": { "type": "integer" },
            "jobTypes": { "type": "array", "items": { "type": "string" } },
            "activatedAt": { "type": "string", "format": "date-time" },
            "state": { "type": "string", "enum": ["active", "quarantined", "retiring"] },
            "ready": ready,
            "next": { "type": "object", "additionalProperties": true, "description": "What waits for the nodes." },
            "nodes": { "type": "array", "items": { "type": "object", "additionalProperties": true }, "description": "For admins." },
        }),
    )
}

/// One delivery, or a time.
fn replay() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "delivery": { "type": ["string", "null"], "format": "uuid" },
            "since": { "type": ["string", "null"], "format": "date-time", "description": "In the past, and after 1970." },
            "delivered": { "type": ["boolean", "null"], "description": "Also what arrived." },
        },
        "minProperties": 1,
        "if": { "required": ["delivered"], "properties": { "delivered": { "type": "boolean" } } },
        "then": { "required": ["since"] },
        "not": {
            "required": ["delivery", "since"],
            "properties": { "delivery": { "type": "string" }, "since": { "type": "string" } },
        },
    })
}
