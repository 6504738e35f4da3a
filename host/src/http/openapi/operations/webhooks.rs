use serde_json::json;

use crate::http::openapi::{
    describe::{Op, any_text, some_id, uuid, words},
    refusals::{CHANGES, NO_ENDPOINT, OTHER_TENANT, Refusal, refusal},
};

const OFF: Refusal =
    refusal(503, "webhooks-off", "Webhooks are off on this host: its operator has set no webhooks.key.");

pub(super) fn all() -> Vec<Op> {
    vec![
        family(Op::get("/webhook-endpoints", "webhooks", "listEndpoints", "Where tenants want their events"))
            .about("The caller's own tenant's; an admin sees all.")
            .query("tenant", "For admins; others may name their own.", any_text())
            .paged()
            .refuses(OTHER_TENANT)
            .answers(200, "A page.", "EndpointPage"),
        family(Op::post("/webhook-endpoints", "webhooks", "createEndpoint", "Make an endpoint"))
            .about("Only this answer, and that of a rotation, hold a secret.")
            .body(
                "NewEndpoint",
                &[("some", json!({ "url": "https://hooks.example.com/usher", "events": ["payment.completed"] }))],
            )
            .refuses(refusal(409, "too-many-endpoints", "A tenant has at most 50 endpoints."))
            .answers(201, "It is made.", "EndpointCreated")
            .with_header("Location", "The endpoint."),
        one(Op::get("/webhook-endpoints/{id}", "webhooks", "getEndpoint", "An endpoint")).answers(
            200,
            "As it is.",
            "Endpoint",
        ),
        one(Op::patch("/webhook-endpoints/{id}", "webhooks", "changeEndpoint", "Change an endpoint"))
            .body("ChangeEndpoint", &[("enable", json!({ "state": "enabled" }))])
            .answers(200, "As it is now.", "Endpoint"),
        one(Op::delete("/webhook-endpoints/{id}", "webhooks", "deleteEndpoint", "Delete an endpoint"))
            .about("What was on its way is not sent any more.")
            .answers_empty(204, "It is gone."),
        one(Op::get(
            "/webhook-endpoints/{id}/deliveries",
            "webhooks",
            "listDeliveries",
            "What became of events, newest first",
        ))
        .query("state", "Only those in this state.", words(&["pending", "delivered", "failed"]))
        .paged()
        .answers(200, "A page.", "DeliveryPage"),
        one(Op::post("/webhook-endpoints/{id}/ping", "webhooks", "pingEndpoint", "Send a `webhook.ping`"))
            .refuses(DISABLED)
            .answers(202, "It is on its way.", "Pinged"),
        one(Op::post("/webhook-endpoints/{id}/replay", "webhooks", "replayDeliveries", "Send deliveries again"))
            .about("One, or what failed since a time (with `delivered`, all since then).")
            .body("Replay", &[("since", json!({ "since": "2025-01-01T00:00:00Z" }))])
            .refuses(refusal(404, "not-found", "This endpoint has no such delivery."))
            .refuses(DISABLED)
            .answers(202, "So many are on their way.", "Replayed"),
        one(Op::post("/webhook-endpoints/{id}/rotate", "webhooks", "rotateEndpoint", "Make a new secret"))
            .about("The one before signs too, until `previousUntil`.")
            .answers(200, "The new secret.", "EndpointRotated"),
    ]
}

const DISABLED: Refusal = refusal(409, "endpoint-disabled", "The endpoint is disabled. Enable it first.");

fn family(op: Op) -> Op {
    op.only(CHANGES).refuses(OFF).database()
}

fn one(op: Op) -> Op {
    family(op.path("id", "Of the endpoint.", uuid(), some_id())).refuses(NO_ENDPOINT)
}
