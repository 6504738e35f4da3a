use serde_json::json;

use crate::http::openapi::{
    describe::{Op, any_text, some_id, uuid, words},
    refusals::{ADMIN, Refusal, refusal},
};

const NO_ALERT: Refusal = refusal(404, "not-found", "There is no such alert.");

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/alerts", "alerts", "listAlerts", "Alerts, newest first")
            .about("Of the caller's own tenant; an admin sees all. `open`: any but resolved.")
            .caller()
            .query("state", "Only those in this state.", words(&["firing", "acknowledged", "resolved", "open"]))
            .query("severity", "Only these.", words(&["info", "warning", "critical"]))
            .query("rule", "Only those of this rule.", any_text())
            .query("kind", "Only those of this kind.", any_text())
            .paged()
            .database()
            .answers(200, "A page.", "AlertPage"),
        one(Op::get("/alerts/{id}", "alerts", "getAlert", "An alert, with all that became of it")).caller().answers(
            200,
            "As it is.",
            "AlertInFull",
        ),
        one(Op::post("/alerts/{id}/ack", "alerts", "acknowledgeAlert", "Say that somebody sees to it"))
            .only(ADMIN)
            .optional_body("Nothing", &[])
            .refuses(RESOLVED)
            .answers(200, "As it is now.", "Alert"),
        one(Op::post("/alerts/{id}/resolve", "alerts", "resolveAlert", "Say that it is over"))
            .about("While what a rule is about lasts, it is told again only when it was over once.")
            .only(ADMIN)
            .optional_body("Nothing", &[])
            .refuses(RESOLVED)
            .answers(200, "As it is now.", "Alert"),
        one(Op::post("/alerts/{id}/silence", "alerts", "silenceAlert", "Tell nobody for a while"))
            .only(ADMIN)
            .body("Silence", &[("two-hours", json!({ "for": "2h" })), ("end", json!({ "for": "0s" }))])
            .refuses(RESOLVED)
            .answers(200, "As it is now.", "Alert"),
    ]
}

const RESOLVED: Refusal = refusal(409, "alert-resolved", "The alert is resolved.");

fn one(op: Op) -> Op {
    op.path("id", "Of the alert.", uuid(), some_id()).refuses(NO_ALERT).database()
}
