//! `NAME`: sends one mail.

use serde::Deserialize;
use usher_plugin::{
    Failure, Job,
    email::{Message, Sent},
};

/// As `schema.json` has it.
#[derive(Deserialize)]
struct Payload {
    name: String,
    email: String,
}

fn process(job: Job<Payload>) -> Result<Sent, Failure> {
    let Payload { name, email } = job.payload;
    let sent = Message::new(email, "Welcome", format!("Hello, {name}.")).send()?;
    Ok(sent)
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_plugin::testing::Host;

    use super::*;

    fn job() -> Job<Payload> {
        Job::sample("NAME", Payload { name: "Ada".to_owned(), email: "ada@example.com".to_owned() })
    }

    #[test]
    fn the_mail_goes_to_whom_the_payload_names() {
        let mut host = Host::new().ok(json!({"messageId": "<1@example.com>"}));
        let sent = host.run(|| process(job())).unwrap();
        assert_eq!(sent.message_id, "<1@example.com>");
        assert_eq!(host.effects()[0].request["to"], json!(["ada@example.com"]));
        assert_eq!(host.effects()[0].request["text"], "Hello, Ada.");
    }

    #[test]
    fn an_address_that_nobody_has_is_a_permanent_failure() {
        let mut host = Host::new().rejected("550", "no such user");
        let failure = host.run(|| process(job())).unwrap_err();
        assert_eq!(failure, Failure::permanent("rejected (550): no such user"));
    }
}
