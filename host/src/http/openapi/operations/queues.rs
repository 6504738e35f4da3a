use serde_json::json;

use crate::http::openapi::{
    describe::{Op, name},
    refusals::{ADMIN, NO_QUEUE, refusal},
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/queues", "queues", "listQueues", "Queues, and which are paused")
            .about("For admins with the number of jobs in each state.")
            .caller()
            .paged()
            .database()
            .answers(200, "A page of those that this host has.", "QueueList"),
        one(Op::get("/queues/{name}", "queues", "getQueue", "A queue")).caller().answers(200, "As it is.", "Queue"),
        one(Op::post("/queues/{name}/pause", "queues", "pauseQueue", "Pause a queue"))
            .about("No node claims from it any more; what runs, runs on.")
            .only(ADMIN)
            .answers(200, "It is paused.", "QueuePaused"),
        one(Op::post("/queues/{name}/resume", "queues", "resumeQueue", "Resume a queue")).only(ADMIN).answers(
            200,
            "It goes on.",
            "QueuePaused",
        ),
        one(Op::post("/queues/{name}/clear", "queues", "clearQueue", "Cancel all that waits in a queue"))
            .about("What runs, and what has a journal, is kept.")
            .only(ADMIN)
            .body("ClearQueue", &[("background", json!({ "confirm": "background" }))])
            .refuses(refusal(422, "invalid-request", "/confirm: must be the name of the queue"))
            .answers(200, "It is cleared.", "QueueCleared"),
    ]
}

fn one(op: Op) -> Op {
    op.path("name", "Of the queue.", name(255), json!("background")).refuses(NO_QUEUE).database()
}
