use utoipa::openapi::ObjectBuilder;

use crate::http::openapi::{
    describe::{Op, text},
    refusals::{BODY, SUBMIT, refusal},
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::post("/webhooks/stripe", "webhooks", "receiveStripeEvent", "Take an event of Stripe")
            .about("Let in by Stripe's signature over the body as it came; stored once by its id. The same again is 200, and nothing more.")
            .header("Stripe-Signature", "Of a webhook endpoint whose secret this host knows.", text(1, 4_096), true)
            .raw_body("application/json", "As Stripe sends it.", ObjectBuilder::new())
            .refuses(refusal(400, "invalid-signature", "Not let in: the signature does not match."))
            .refuses(refusal(404, "inbound-off", "This host takes no events of Stripe."))
            .refuses_all(&BODY)
            .refuses_all(&SUBMIT)
            .database()
            .answers(200, "It is committed.", "StripeTaken"),
    ]
}
