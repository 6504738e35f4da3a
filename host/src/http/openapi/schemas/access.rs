use serde_json::{Value, json};

use super::{closed, object, pages::page, reference};

/// Of keys, revocations, caches, alerts and events: who may come in, and what a person should know.
pub(super) fn all() -> Vec<(String, Value)> {
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let all = [
        ("Nothing", closed(&[], json!({}))),
        ("NewServiceKey", new_key()),
        ("ServiceKey", key()),
        ("ServiceKeyPage", page("ServiceKey")),
        (
            "ServiceKeyCreated",
            json!({ "allOf": [reference("ServiceKey"), object(&["secret"], json!({ "secret": text() }))] }),
        ),
        (
            "ServiceKeyRotated",
            object(
                &["id", "secret", "previousUntil"],
                json!({ "id": { "type": "string", "format": "uuid" }, "secret": text(), "previousUntil": time() }),
            ),
        ),
        (
            "NewRevocation",
            closed(
                &["jti"],
                json!({
                    "jti": name(255, "Of the token."),
                    "exp": { "type": "integer", "minimum": 0, "description": "Seconds since 1970, to come, at most ten years ahead; in a year if it is left out." },
                    "issuer": name(255, "Only of this issuer's tokens."),
                }),
            ),
        ),
        (
            "Revocation",
            object(
                &["jti", "expiresAt", "revokedAt", "revokedBy"],
                json!({ "jti": text(), "issuer": text(), "expiresAt": time(), "revokedAt": time(), "revokedBy": text() }),
            ),
        ),
        ("RevocationPage", page("Revocation")),
        (
            "CacheStats",
            object(
                &["caches"],
                json!({ "caches": { "type": "object", "additionalProperties": reference("CacheNumbers") } }),
            ),
        ),
        ("CacheNumbers", numbers()),
        ("FlushCaches", closed(&[], json!({ "caches": { "type": "array", "minItems": 1, "items": cache() } }))),
        ("CachesFlushed", object(&["flushed"], json!({ "flushed": { "type": "array", "items": cache() } }))),
        (
            "AlertInFull",
            json!({ "allOf": [reference("Alert"), object(&["history"], json!({ "history": history() }))] }),
        ),
        (
            "Silence",
            closed(
                &["for"],
                json!({ "for": { "type": "string", "pattern": SILENCE, "description": "At most 30 days; 0s ends a silence." } }),
            ),
        ),
        (
            "StripeTaken",
            object(&["id", "replayed", "jobs"], json!({ "id": text(), "replayed": { "type": "boolean" }, "jobs": {} })),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A duration of one unit; other ways to write it are taken too.
const SILENCE: &str = "^([0-9]{1,4}(s|m)|([0-9]{1,2}|[1-6][0-9]{2}|7[01][0-9]|720)h|([0-9]|[12][0-9]|30)d)$";

fn name(most: usize, about: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": most, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        "description": about,
    })
}

const ROLES: &str = "A venue admin's key has tenants and all types, an admin's has all of both.";

fn names() -> Value {
    json!({ "type": ["array", "null"], "minItems": 1, "maxItems": 100, "items": name(128, "") })
}

fn new_key() -> Value {
    let mut some = names();
    some["description"] = "null: all.".into();
    let mut schema = closed(
        &["name"],
        json!({
            "name": name(128, "For people."),
            "role": { "type": "string", "enum": ["service", "venue_admin", "admin"], "default": "service", "description": ROLES },
            "tenants": some,
            "jobTypes": some,
        }),
    );
    // Those of the other roles are as the role says.
    schema["if"] = json!({ "properties": { "role": { "enum": ["service", null] } } });
    schema["then"] = json!({ "required": ["tenants", "jobTypes"] });
    schema
}

fn key() -> Value {
    object(
        &["id", "name", "role", "tenants", "jobTypes", "createdAt", "createdBy"],
        json!({
            "id": { "type": "string", "format": "uuid" },
            "name": { "type": "string" },
            "role": { "type": "string", "enum": ["service", "venue_admin", "admin"] },
            "tenants": names(),
            "jobTypes": names(),
            "previousUntil": { "type": "string", "format": "date-time", "description": "The secret before is good until then." },
            "createdAt": { "type": "string", "format": "date-time" },
            "createdBy": { "type": "string" },
            "revokedAt": { "type": "string", "format": "date-time" },
            "revokedBy": { "type": "string" },
            "lastUsedAt": { "type": ["string", "null"], "format": "date-time", "description": "To the minute." },
        }),
    )
}

fn cache() -> Value {
    json!({ "type": "string", "enum": ["schemas", "jwks", "config"] })
}

fn numbers() -> Value {
    let count = || json!({ "type": "integer", "minimum": 0 });
    object(
        &["hits", "misses"],
        json!({ "hits": count(), "misses": count(), "entries": count(), "bytes": count(), "issuers": {} }),
    )
}

fn history() -> Value {
    let change = object(
        &["at", "state", "by"],
        json!({
            "at": { "type": "string", "format": "date-time" },
            "state": { "type": "string" },
            "by": { "type": "string" },
            "until": { "type": "string", "format": "date-time" },
        }),
    );
    json!({ "type": "array", "items": change })
}
