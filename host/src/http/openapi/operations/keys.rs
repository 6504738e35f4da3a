use serde_json::json;

use crate::http::openapi::{
    describe::{Op, some_id, uuid},
    refusals::{ADMIN, Refusal, refusal},
};

const OFF: Refusal =
    refusal(503, "service-keys-off", "Service keys are off on this host: its operator has set no auth.services.key.");

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/keys", "keys", "listKeys", "Keys with which services sign")
            .about("Also the revoked ones.")
            .only(ADMIN)
            .paged()
            .database()
            .answers(200, "A page.", "ServiceKeyPage"),
        Op::post("/keys", "keys", "createKey", "Make a key")
            .about("Only this answer, and that of a rotation, hold a secret. `null`: all tenants, all types.")
            .only(ADMIN)
            .body(
                "NewServiceKey",
                &[("shop", json!({ "name": "shop", "tenants": ["acme"], "jobTypes": ["send-email"] }))],
            )
            .refuses(OFF)
            .database()
            .answers(201, "It is made.", "ServiceKeyCreated")
            .with_header("Location", "The key."),
        one(Op::get("/keys/{id}", "keys", "getKey", "A key")).answers(200, "As it is.", "ServiceKey"),
        one(Op::delete("/keys/{id}", "keys", "revokeKey", "Revoke a key"))
            .about("For good: nothing that is signed with it is taken any more.")
            .answers_empty(204, "It is revoked."),
        one(Op::post("/keys/{id}/rotate", "keys", "rotateKey", "Make a new secret"))
            .about("The one before is good until `previousUntil`.")
            .refuses(OFF)
            .refuses(refusal(409, "key-revoked", "The key is revoked."))
            .answers(200, "The new secret.", "ServiceKeyRotated"),
    ]
}

fn one(op: Op) -> Op {
    op.path("id", "Of the key.", uuid(), some_id())
        .only(ADMIN)
        .refuses(refusal(404, "not-found", "There is no such key."))
        .database()
}
