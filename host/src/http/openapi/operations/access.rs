use serde_json::json;

use crate::http::openapi::{
    describe::{Op, any_text, time},
    refusals::{ADMIN, refusal},
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/audit", "audit", "listAudit", "What people did, newest first")
            .only(ADMIN)
            .query("subject", "Only what this person or service did.", any_text())
            .query("action", "Only this.", any_text())
            .query("target", "Only what was done to this.", any_text())
            .query("tenant", "Only for this tenant.", any_text())
            .query("since", "From this time on.", time())
            .query("until", "Before this time.", time())
            .paged()
            .database()
            .answers(200, "A page.", "AuditPage"),
        Op::get("/revocations", "audit", "listRevocations", "Tokens that are let in no more, newest first")
            .only(ADMIN)
            .paged()
            .database()
            .answers(200, "A page.", "RevocationPage"),
        Op::post("/revocations", "audit", "revokeToken", "Let a token in nowhere any more")
            .about("By its `jti`. Saying it again changes nothing but the time, if that is later.")
            .only(ADMIN)
            .body("NewRevocation", &[("stolen", json!({ "jti": "0f4d2c1e-lost-laptop" }))])
            .refuses(refusal(409, "too-many-revocations", "There are too many revocations."))
            .database()
            .answers(201, "No node lets it in any more.", "Revocation"),
        Op::get("/cache/stats", "host", "getCacheStats", "What this host keeps in memory and on disk")
            .about("Hits and misses; what lies on disk is for callers, and the issuers by name for admins.")
            .optional_caller()
            .answers(200, "Cache by cache.", "CacheStats")
            .with_header("Usher-Authentication", "For whom the answer is: `caller`, `anonymous`, or `invalid`."),
        Op::post("/cache/flush", "host", "flushCaches", "Read caches anew, on all nodes")
            .about("Never keys of idempotency: they are no cache.")
            .only(ADMIN)
            .optional_body("FlushCaches", &[("some", json!({ "caches": ["schemas", "config"] }))])
            .database()
            .answers(200, "Which.", "CachesFlushed"),
    ]
}
