use lettre::{
    Message,
    message::{Mailbox, MultiPart, SinglePart},
};

use crate::ids::EffectId;

const MAX_RECIPIENTS: usize = 50;
/// Text and HTML together, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Characters.
const MAX_SUBJECT: usize = 250;

/// A checked mail, without the identity that the journal gives it.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub to: Vec<Mailbox>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub reply_to: Option<Mailbox>,
}

impl Letter {
    pub fn new(
        from: &Mailbox,
        to: &[String],
        subject: String,
        text: String,
        html: Option<String>,
        reply_to: Option<&str>,
    ) -> Result<Self, String> {
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(format!("a mail has 1 to {MAX_RECIPIENTS} recipients"));
        }
        if text.len() + html.as_ref().map_or(0, String::len) > MAX_BODY {
            return Err(format!("text and html have at most {MAX_BODY} bytes"));
        }
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return Err(format!("a subject has 1 to {MAX_SUBJECT} characters and no line break"));
        }
        let to = to.iter().map(|to| address("to", to)).collect::<Result<_, _>>()?;
        let reply_to = reply_to.map(|to| address("reply-to", to)).transpose()?;
        let letter = Self { to, subject, text, html, reply_to };
        // Whatever lettre refuses, it refuses now.
        letter.message(EffectId(uuid::Uuid::nil()), from)?;
        Ok(letter)
    }

    /// The bytes, under an identity that is the same on every try.
    pub fn message(&self, id: EffectId, from: &Mailbox) -> Result<(String, Vec<u8>), String> {
        let message_id = format!("<{id}@{}>", from.email.domain());
        let mut builder = Message::builder()
            .message_id(Some(message_id.clone()))
            .from(from.clone())
            .subject(&self.subject)
            // RFC 3834: nobody's vacation robot shall answer.
            .raw_header(lettre::message::header::HeaderValue::new(
                lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let built = match &self.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(self.text.clone(), html.clone())),
            None => builder.singlepart(SinglePart::plain(self.text.clone())),
        };
        built.map(|message| (message_id, message.formatted())).map_err(|e| format!("the mail cannot be built: {e}"))
    }
}

fn address(field: &str, text: &str) -> Result<Mailbox, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{field}: an address has no line break"));
    }
    // The text is not repeated: it is somebody's address.
    text.parse().map_err(|e| format!("{field}: not an address: {e}"))
}
