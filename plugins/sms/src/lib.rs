//! `send-sms`: one text message, from one of three templates or as the payload words it.

use serde::Deserialize;
use serde_json::Value;
use usher_plugin::{
    Failure, Job,
    sms::{self, Message, Sent},
};

/// Of a code whose payload does not say it.
const MINUTES: u32 = 10;

/// As `schema.json` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    profile: Option<String>,
    to: String,
    template: Option<String>,
    data: Option<Value>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "template", content = "data")]
enum Template {
    TicketReady { event_name: String, url: String },
    EventReminder { event_name: String, starts_at: String, venue_name: String },
    VerificationCode { code: String, minutes: Option<u32> },
}

impl Template {
    fn text(&self) -> String {
        match self {
            Self::TicketReady { event_name, url } => format!("Your ticket for {event_name} is ready: {url}"),
            Self::EventReminder { event_name, starts_at, venue_name } => {
                format!("{event_name} starts {starts_at}, {venue_name}. See you there!")
            }
            // The code comes first, where a telephone's preview shows it.
            Self::VerificationCode { code, minutes } => {
                let minutes = minutes.unwrap_or(MINUTES);
                format!("{code} is your verification code. It is good for {minutes} minutes. Give it to nobody.")
            }
        }
    }
}

impl Payload {
    fn text(&self) -> Result<String, Failure> {
        match (&self.template, &self.data, &self.message) {
            (None, None, Some(message)) => Ok(message.clone()),
            (Some(template), Some(data), None) => {
                let tagged = serde_json::json!({ "template": template, "data": data });
                match serde_json::from_value::<Template>(tagged) {
                    Ok(template) => Ok(template.text()),
                    Err(error) => Err(Failure::permanent(format_args!("/data: {error}"))),
                }
            }
            _ => Err(Failure::permanent("a text message has either a template with data or a message")),
        }
    }
}

fn process(job: Job<Payload>) -> Result<Sent, Failure> {
    let text = job.payload.text()?;
    let Payload { profile, to, .. } = job.payload;
    Ok(Message::new(to, text).profile(profile.as_deref().unwrap_or(sms::DEFAULT_PROFILE)).send()?)
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(mut payload: Value) -> Result<String, Failure> {
        payload["to"] = json!("+4915112345678");
        serde_json::from_value::<Payload>(payload).expect("fields as the schema has them").text()
    }

    #[test]
    fn a_template_is_filled_from_its_data() {
        for (template, data, shown) in [
            (
                "ticket-ready",
                json!({"eventName": "Jazz", "url": "https://t.example/1"}),
                "Your ticket for Jazz is ready: https://t.example/1",
            ),
            (
                "event-reminder",
                json!({"eventName": "Jazz", "startsAt": "today at 20:00", "venueName": "Blue Hall"}),
                "Jazz starts today at 20:00, Blue Hall. See you there!",
            ),
            (
                "verification-code",
                json!({"code": "123456"}),
                "123456 is your verification code. It is good for 10 minutes. Give it to nobody.",
            ),
            (
                "verification-code",
                json!({"code": "123456", "minutes": 5}),
                "123456 is your verification code. It is good for 5 minutes. Give it to nobody.",
            ),
        ] {
            assert_eq!(text(json!({"template": template, "data": data})), Ok(shown.to_owned()));
        }
        assert_eq!(text(json!({"message": "Doors open at 19:00."})), Ok("Doors open at 19:00.".to_owned()));
    }

    #[test]
    fn a_payload_of_both_or_neither_or_without_a_field_is_refused() {
        for payload in [
            json!({}),
            json!({"template": "ticket-ready"}),
            json!({"data": {}}),
            json!({"template": "ticket-ready", "data": {"eventName": "Jazz"}}),
            json!({"template": "other", "data": {}}),
            json!({"template": "verification-code", "data": {"code": "1234"}, "message": "Hi"}),
        ] {
            assert!(matches!(text(payload.clone()), Err(Failure::Permanent(_))), "{payload}");
        }
    }
}
