use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{
    attachment::{Attached, Attachment},
    sign::Signer,
};
use crate::ids::EffectId;

const MAX_RECIPIENTS: usize = 50;
/// Text and HTML together, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Characters.
const MAX_SUBJECT: usize = 250;
/// Of an address with the name before it, in characters: what fits into a line of a header (RFC 5322, 2.1.1: 998) in any encoding.
const MAX_ADDRESS: usize = 320;

/// What the guest wants to say, unchecked.
#[derive(Debug)]
pub(super) struct Draft {
    pub to: Vec<String>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub reply_to: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// A checked mail, without the identity that the journal gives it.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub to: Vec<Mailbox>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub reply_to: Option<Mailbox>,
    pub attachments: Vec<Attached>,
}

impl Letter {
    /// `max_attachments`: all together, in bytes.
    pub fn new(from: &Mailbox, max_attachments: usize, draft: Draft) -> Result<Self, String> {
        let Draft { to, subject, text, html, reply_to, attachments } = draft;
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(format!("a mail has 1 to {MAX_RECIPIENTS} recipients"));
        }
        if text.len() + html.as_ref().map_or(0, String::len) > MAX_BODY {
            return Err(format!("text and html have at most {MAX_BODY} bytes"));
        }
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT || subject.chars().any(ends_a_line) {
            return Err(format!("a subject has 1 to {MAX_SUBJECT} characters and no line break"));
        }
        let text = body("text", text)?;
        let html = html.map(|html| body("html", html)).transpose()?;
        let to = to.iter().map(|to| address("to", to)).collect::<Result<_, _>>()?;
        let reply_to = reply_to.map(|to| address("reply-to", &to)).transpose()?;
        let attachments = Attached::all(attachments, max_attachments)?;
        let letter = Self { to, subject, text, html, reply_to, attachments };
        // Whatever lettre refuses, it refuses now.
        letter.build(EffectId(uuid::Uuid::nil()), from, &[])?;
        Ok(letter)
    }

    /// Message-ID and bytes, under an identity that is the same on every try.
    pub fn message(&self, id: EffectId, from: &Mailbox, signer: Option<&Signer>) -> Result<(String, Vec<u8>), String> {
        let (message_id, mut message) = self.build(id, from, &self.attachments)?;
        if let Some(signer) = signer {
            let blank = self.html.is_none() && self.attachments.is_empty() && self.text.trim().is_empty();
            signer.sign(&mut message, blank);
        }
        Ok((message_id, message.formatted()))
    }

    fn build(&self, id: EffectId, from: &Mailbox, attachments: &[Attached]) -> Result<(String, Message), String> {
        let message_id = format!("<{id}@{}>", from.email.domain());
        let mut builder = Message::builder()
            .message_id(Some(message_id.clone()))
            .from(from.clone())
            .subject(&self.subject)
            // RFC 3834: nobody's vacation robot shall answer.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let plain = || SinglePart::plain(self.text.clone());
        let both = |html: &String| MultiPart::alternative_plain_html(self.text.clone(), html.clone());
        let built = if attachments.is_empty() {
            match &self.html {
                Some(html) => builder.multipart(both(html)),
                None => builder.singlepart(plain()),
            }
        } else {
            let mixed = MultiPart::mixed();
            let mut mixed = match &self.html {
                Some(html) => mixed.multipart(both(html)),
                None => mixed.singlepart(plain()),
            };
            for attached in attachments {
                mixed = mixed.singlepart(attached.part()?);
            }
            builder.multipart(mixed)
        };
        let message = built.map_err(|e| format!("the mail cannot be built: {e}"))?;
        Ok((message_id, message))
    }

    pub fn bytes(&self) -> usize {
        self.text.len() + self.html.as_ref().map_or(0, String::len)
    }
}

/// What some program may take for the end of a header line, and all other control characters.
pub(super) fn ends_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// One kind of line end, and no other control character: a server that takes a lone CR for a line end would read `\r.\r` as the
/// end of the mail, and what follows as commands ("SMTP smuggling").
fn body(field: &str, text: String) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n')) {
        return Err(format!("{field}: holds a control character"));
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn address(field: &str, text: &str) -> Result<Mailbox, String> {
    if text.chars().count() > MAX_ADDRESS {
        return Err(format!("{field}: an address with its name has at most {MAX_ADDRESS} characters"));
    }
    if text.chars().any(ends_a_line) {
        return Err(format!("{field}: an address has no line break"));
    }
    // The text is not repeated: it is somebody's address.
    text.parse().map_err(|e| format!("{field}: not an address: {e}"))
}
