use serde_json::json;

use crate::{
    effects::PROVIDERS,
    http::openapi::{
        describe::{Op, any_text, number, some_id, uuid, words},
        refusals::{ADMIN, NO_JOB, NO_PROVIDER, refusal},
    },
};

pub(super) fn all() -> Vec<Op> {
    vec![
        Op::get("/effects", "effects", "listEffects", "Calls of providers, newest first")
            .about("Of live jobs, and of the one that is named also after its end; of the caller's own tenant, an admin sees all.")
            .caller()
            .query("state", "Only those in this state.", words(&["started", "deferred", "doubt", "ended"]))
            .query("provider", "Only those of this provider.", any_text())
            .query("job", "Only those of this job.", uuid())
            .paged()
            .database()
            .answers(200, "A page.", "EffectPage"),
        Op::post("/effects/{job}/{seq}/resolve", "effects", "resolveEffect", "Say what became of an effect in doubt")
            .about("`happened` with what the provider shows of it, `void`, or `resend`.")
            .path("job", "Whose effect it is.", uuid(), some_id())
            .path("seq", "Which of the job's effects, from 0 on.", number(0, 2_147_483_647), json!(0))
            .only(ADMIN)
            .refuses(NO_JOB)
            .body("ResolveEffect", &[("void", json!({ "outcome": "void", "evidence": "Not on Stripe's dashboard." }))])
            .refuses_all(&[
                refusal(409, "not-parked", "The job does not wait for a person."),
                refusal(409, "not-in-doubt", "Effect 0 of this job is not in doubt."),
                refusal(409, "sender-alive", "Who began it may still be sending."),
                refusal(409, "it-happened", "The provider shows that it happened."),
                refusal(409, "may-still-land", "The transaction may still land."),
            ])
            .database()
            .answers(200, "The job goes on, or is dead.", "EffectResolved"),
        Op::get("/providers", "effects", "listProviders", "Providers, and whose calls wait")
            .only(ADMIN)
            .database()
            .answers(200, "All there are.", "ProviderList"),
        provider(Op::post("/providers/{name}/pause", "effects", "pauseProvider", "Pause a provider"))
            .about("Everywhere, or for one tenant. It binds all nodes at once; jobs wait."),
        provider(Op::post("/providers/{name}/resume", "effects", "resumeProvider", "Resume a provider")),
    ]
}

fn provider(op: Op) -> Op {
    op.path("name", "Of the provider.", words(&PROVIDERS), json!("email"))
        .only(ADMIN)
        .refuses(NO_PROVIDER)
        .optional_body("PauseProvider", &[("one-tenant", json!({ "tenant": "acme" })), ("everywhere", json!({}))])
        .database()
        .answers(200, "Whether it is paused, and whether that is news.", "ProviderPaused")
}
