use utoipa::openapi::{ObjectBuilder, schema::SchemaType};

use super::jobs::STATES;
use crate::http::openapi::{
    describe::{Op, any_text, some_id, uuid, words},
    refusals::{NO_JOB, OTHER_TENANT, Refusal, refusal},
};

const REFUSED: [Refusal; 3] = [
    refusal(400, "invalid-event-id", "The Last-Event-ID is none that this API gave out."),
    refusal(404, "events-off", "Event streams are off on this host: its operator has set events.enabled = false."),
    refusal(429, "too-many-streams", "Not followed: this caller has as many streams as it may."),
];

pub(super) fn all() -> Vec<Op> {
    vec![
        stream(Op::get("/events", "events", "followEvents", "What happens to jobs, as it happens"))
            .about(
                "Server-sent events of the caller's own tenant; an admin sees all. Submits and ends come from the outbox and \
                 are resumed by `Last-Event-ID` without a gap; what runs, progress and log lines are told by the way.",
            )
            .query("type", "Only jobs of this type.", any_text())
            .query("state", "Only this state.", words(&STATES))
            .query("tenant", "For admins; others may name their own.", any_text())
            .refuses(OTHER_TENANT),
        stream(Op::get("/jobs/{id}/events", "events", "followJob", "What happens to a job, as it happens"))
            .about("The first event says how things are.")
            .path("id", "Of the job.", uuid(), some_id())
            .query("state", "Only this state.", words(&STATES))
            .refuses(NO_JOB),
    ]
}

fn stream(op: Op) -> Op {
    op.caller()
        .header("Last-Event-ID", "The last event that was seen, as it was named.", any_text(), false)
        .refuses_all(&REFUSED)
        .database()
        .answers_with(200, "A stream, until the token expires, an hour at most.", "text/event-stream", lines())
}

/// A program that knows of streams takes each event apart before it looks at it; one that does not has a text.
fn lines() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}
