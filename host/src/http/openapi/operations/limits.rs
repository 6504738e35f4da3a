use serde_json::json;

use crate::http::openapi::{
    describe::{Op, text},
    refusals::{ADMIN, refusal},
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/limits", "limits", "listLimits", "Limits of concurrency, and how much of each is taken")
            .only(ADMIN)
            .paged()
            .database()
            .answers(200, "A page.", "LimitList"),
        Op::put("/limits/{scope}", "limits", "setLimit", "Set a limit of concurrency, or take it away")
            .about(
                "In the whole cluster: `queue/NAME`, `type/NAME`; on each node: `node`, `node/queue/NAME`, \
                 `node/type/NAME`. The slashes may be written as they are, or as %2F.",
            )
            .path("scope", "What is limited.", text(1, 300), json!("queue/background"))
            .only(ADMIN)
            .refuses(refusal(404, "not-found", "There is no \"x\" to limit."))
            .body("SetLimit", &[("five", json!({ "max": 5 })), ("none", json!({ "max": null }))])
            .database()
            .answers(200, "As it is now.", "LimitSet"),
        Op::get("/rate-limits", "limits", "listRateLimits", "Rate limits, and what is held or waited for")
            .about("Of tenants' buckets, the caller's own; an admin sees all.")
            .caller()
            .paged()
            .database()
            .answers(200, "A page.", "RateLimitList"),
        Op::put("/rate-limits/{bucket}", "limits", "setRateLimit", "Set a rate limit, or take it away")
            .about(
                "A rate of `null` takes away what was set, and the configuration's limit counts again. Binds all nodes \
                 within moments. The slashes may be written as they are, or as %2F.",
            )
            .path("bucket", "What is limited.", text(1, 300), json!("provider/email"))
            .only(ADMIN)
            .refuses(refusal(404, "not-found", "There is no \"x\" to limit."))
            .body(
                "SetRateLimit",
                &[("a-hundred", json!({ "rate": "100/s", "burst": 50 })), ("as-configured", json!({ "rate": null }))],
            )
            .database()
            .answers(200, "As it is now.", "RateLimitSet"),
    ]
}
