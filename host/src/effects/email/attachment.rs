use lettre::message::{
    Attachment as Builder, Body, SinglePart,
    header::{ContentTransferEncoding, ContentType},
};
use sha2::{Digest, Sha256};

use super::message::ends_a_line;

/// Of one mail.
const MAX_COUNT: usize = 20;
/// Characters.
const MAX_NAME: usize = 200;
/// Bytes; RFC 6838 allows type and subtype 127 each.
const MAX_TYPE: usize = 200;

/// A file beside the text, as the guest gave it.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub name: String,
    pub content_type: String,
    pub content: Vec<u8>,
}

impl Attachment {
    /// What makes it what it is, without its content.
    pub(super) fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "contentType": self.content_type,
            "bytes": self.content.len(),
            "sha256": hex::encode(Sha256::digest(&self.content)),
        })
    }
}

/// A checked one.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    name: String,
    content_type: ContentType,
    content: Vec<u8>,
}

impl Attached {
    /// `limit`: all of them together, in bytes.
    pub fn all(attachments: Vec<Attachment>, limit: usize) -> Result<Vec<Self>, String> {
        if attachments.len() > MAX_COUNT {
            return Err(format!("a mail has at most {MAX_COUNT} attachments"));
        }
        let bytes: usize = attachments.iter().map(|attachment| attachment.content.len()).sum();
        if bytes > limit {
            return Err(format!("the attachments have {bytes} bytes, and this profile takes {limit}"));
        }
        attachments.into_iter().enumerate().map(|(n, attachment)| Self::new(attachment, n)).collect()
    }

    fn new(Attachment { name, content_type, content }: Attachment, n: usize) -> Result<Self, String> {
        if !is_name(&name) {
            return Err(format!(
                "attachments/{n}: a name has 1 to {MAX_NAME} characters, of which none is a control character, a quote, a slash or turns the direction of writing"
            ));
        }
        let parsed = is_type(&content_type).then(|| ContentType::parse(&content_type).ok()).flatten();
        let content_type = parsed.ok_or_else(|| {
            format!(
                "attachments/{n}: a content type is type/subtype in ASCII, perhaps with parameters and without quotes; no multipart, no message"
            )
        })?;
        Ok(Self { name, content_type, content })
    }

    pub fn bytes(&self) -> usize {
        self.content.len()
    }

    /// Always in base64: what is binary is not to be taken for lines of text.
    pub fn part(&self) -> Result<SinglePart, String> {
        let body = Body::new_with_encoding(self.content.clone(), ContentTransferEncoding::Base64)
            .map_err(|_| "an attachment cannot be encoded".to_owned())?;
        Ok(Builder::new(self.name.clone()).body(body, self.content_type.clone()))
    }
}

/// A file's name for people: no path, nothing that could end the header, nothing that hides its ending.
fn is_name(name: &str) -> bool {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (1..=MAX_NAME).contains(&name.chars().count())
        && !name.chars().any(|c| ends_a_line(c) || turns(c) || matches!(c, '"' | '/' | '\\'))
        && ![".", ".."].contains(&name.trim())
}

fn is_type(text: &str) -> bool {
    // RFC 6838, 4.2.
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let lower = text.to_ascii_lowercase();
    text.len() <= MAX_TYPE
        && text.bytes().all(|b| (b' '..=b'~').contains(&b) && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'(' | b')'))
        && text
            .split(';')
            .next()
            .and_then(|essence| essence.trim_end().split_once('/'))
            .is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
        // Both have a structure of their own, which base64 would break (RFC 2046).
        && !lower.starts_with("multipart/")
        && !lower.starts_with("message/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, content_type: &str, bytes: usize, limit: usize) -> Result<Vec<Attached>, String> {
        let (name, content_type) = (name.to_owned(), content_type.to_owned());
        Attached::all(vec![Attachment { name, content_type, content: vec![0; bytes] }], limit)
    }

    #[test]
    fn sound_ones_are_taken_up_to_the_limit() {
        for (name, content_type) in [
            ("invoice.pdf", "application/pdf"),
            ("Rechnung für Zoë.pdf", "application/pdf"),
            ("termin.ics", "text/calendar; method=REQUEST; charset=utf-8"),
            (".hidden", "application/vnd.ms-excel.sheet.macroEnabled.12"),
        ] {
            let taken = all(name, content_type, 10, 10).expect(name);
            taken[0].part().expect(name);
        }
        assert!(all("a", "text/plain", 11, 10).expect_err("too many bytes").contains("11 bytes"));
        let many = |n| vec![Attachment { name: "a".to_owned(), content_type: "a/b".to_owned(), content: vec![] }; n];
        assert!(Attached::all(many(20), 0).is_ok() && Attached::all(many(21), 0).is_err());
    }

    #[test]
    fn names_and_types_that_could_be_more_than_that_are_refused() {
        let long = "x".repeat(201);
        for name in [
            "",
            ".",
            " .. ",
            &long,
            "a\r\nBcc: b@example.com",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{85}b",
            "a\tb",
            "a\"b",
            "a/b",
            "..\\b",
            "invoice\u{202e}fdp.exe",
            "a\u{2066}b",
        ] {
            assert!(all(name, "text/plain", 0, 0).is_err(), "{name:?}");
        }
        let long = format!("text/{long}");
        for content_type in [
            "",
            "text",
            "/",
            "text/",
            "/plain",
            "text/plain/x",
            "text plain",
            "text/plain\r\nX: y",
            "text/plain\nX",
            "text/plain\0",
            "text/plain; name=\"x\"",
            "text/plain; a=\u{2028}",
            "text/pläin",
            "multipart/mixed; boundary=x",
            "Message/rfc822",
            &long,
        ] {
            assert!(all("a", content_type, 0, 0).is_err(), "{content_type:?}");
        }
    }
}
