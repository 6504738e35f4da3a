use serde_json::json;
use utoipa::openapi::{ObjectBuilder, Type};

use crate::http::openapi::{
    describe::{Op, any_text, flag, name, number, text},
    refusals::{ACTIVATE, ADMIN, COMPONENT, NO_PLUGIN, NO_RELEASE, PUBLISH, refusal},
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/plugins", "plugins", "listPlugins", "What serves, and what was refused and why")
            .caller()
            .paged()
            .database()
            .answers(200, "A page.", "PluginList"),
        publish(),
        one(Op::get("/plugins/{name}", "plugins", "getPlugin", "A plugin")).caller().answers(
            200,
            "As it is.",
            "Plugin",
        ),
        one(Op::get(
            "/plugins/{name}/releases",
            "plugins",
            "listReleases",
            "Who activated what and when, newest first",
        ))
        .caller()
        .paged()
        .answers(200, "A page.", "ReleasePage"),
        delete_release(),
        usage(),
        one(Op::post(
            "/plugins/{name}/activate",
            "plugins",
            "activateRelease",
            "Make a stored release the one that serves",
        ))
        .only(ADMIN)
        .query("unverified", "Whatever `plugins.require_verify` finds.", flag())
        .body("Activate", &[("version", json!({ "version": "0.1.0" }))])
        .refuses(NO_RELEASE)
        .refuses_all(&ACTIVATE)
        .answers(200, "It serves.", "ReleaseChanged")
        .answers(202, "It waits for other nodes.", "ReleaseChanged"),
        one(Op::post(
            "/plugins/{name}/rollback",
            "plugins",
            "rollbackRelease",
            "Go back to the release that served before",
        ))
        .only(ADMIN)
        .query("unverified", "Whatever `plugins.require_verify` finds.", flag())
        .optional_body("Rollback", &[("named", json!({ "version": "0.1.0" }))])
        .refuses(NO_RELEASE)
        .refuses_all(&ACTIVATE)
        .refuses(refusal(409, "nothing-before", "No other release of this plugin has served."))
        .answers(200, "It serves.", "ReleaseChanged")
        .answers(202, "It waits for other nodes.", "ReleaseChanged"),
        one(Op::post("/plugins/{name}/retire", "plugins", "retirePlugin", "Let a plugin go"))
            .about("Submits of its types are refused from now on; once no job of them is left, the types are free.")
            .only(ADMIN)
            .body("Retire", &[("drain", json!({ "mode": "drain" }))])
            .refuses(refusal(409, "already-retired", "The plugin owns no job types any more."))
            .refuses(refusal(409, "just-changed", "Another change came first; look, and ask again."))
            .answers(202, "It has begun.", "Retiring"),
        migrate(),
    ]
}

fn one(op: Op) -> Op {
    op.path("name", "Of the plugin.", name(255), json!("analytics")).refuses(NO_PLUGIN).database()
}

fn publish() -> Op {
    Op::post("/plugins", "plugins", "publishPlugin", "Publish a component")
        .about("201 for a new release, 200 for bytes that are there.")
        .only(ADMIN)
        .query("activate", "`false`: it is stored only.", flag())
        .query("unverified", "Whatever `plugins.require_verify` finds.", flag())
        .header("Usher-Signature", "A detached Ed25519 signature of the body, base64.", any_text(), false)
        .raw_body(
            "application/wasm",
            "The component, with its manifest embedded (`usher plugin pack`).",
            ObjectBuilder::new().schema_type(Type::String).content_media_type("application/wasm"),
        )
        .refuses_all(&PUBLISH)
        .refuses_all(&COMPONENT)
        .database()
        .answers(201, "A new release.", "Published")
        .answers(200, "It was there.", "Published")
}

fn delete_release() -> Op {
    one(Op::delete("/plugins/{name}/releases/{digest}", "plugins", "deleteRelease", "Delete a release's bytes"))
        .path(
            "digest",
            "Of the release.",
            text(64, 71).pattern(Some("^(sha256:)?[0-9a-f]{64}$")),
            json!(format!("sha256:{}", "0".repeat(64))),
        )
        .only(ADMIN)
        .refuses(NO_RELEASE)
        .refuses(refusal(409, "release-serves", "The release serves, or waits to."))
        .refuses(refusal(409, "release-in-use", "A job names the release."))
        .refuses(refusal(422, "invalid-request", "/digest: not a sha256 digest"))
        .answers_empty(204, "It is gone.")
}

fn usage() -> Op {
    Op::get("/plugins/{name}/usage", "plugins", "getUsage", "What a plugin used, by day (UTC)")
        .about("For the caller's own tenant, all for an admin.")
        .path("name", "Of the plugin; of one that is not there, nothing was used.", any_text(), json!("analytics"))
        .caller()
        .refuses(NO_PLUGIN)
        .query("days", "So many, today included; 7 if it is left out.", number(1, 92))
        .query("tenant", "For admins.", text(1, 128))
        .refuses(ADMIN)
        .database()
        .answers(200, "Each day that it ran.", "UsageList")
}

fn migrate() -> Op {
    one(Op::post(
        "/plugins/{name}/migrate",
        "plugins",
        "migrateJobs",
        "Move jobs that are held to one release to another",
    ))
    .only(ADMIN)
    .query("unverified", "Also to a release that has never served.", flag())
    .body("Migrate", &[("versions", json!({ "from": "0.1.0", "to": "0.2.0" }))])
    .refuses(NO_RELEASE)
    .refuses(refusal(409, "release-cannot-run", "Nothing was changed: it does not link."))
    .refuses(refusal(409, "release-never-served", "The release has never served."))
    .refuses(refusal(409, "release-quarantined", "The release is in quarantine."))
    .answers(200, "How many, and why not the others.", "Migrated")
}
