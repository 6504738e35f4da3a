use std::io::{self, Write};

/// Writes events with their control characters escaped, as JSON does it: a field may hold what a stranger has sent, and a
/// newline in it would begin a line of their own, an escape would speak to the terminal of whoever reads.
pub(super) struct Escaped<W>(pub W);

impl<W: Write> Write for Escaped<W> {
    /// The formatter writes an event in one piece, with the one newline that is meant at its end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match escaped(event) {
            Some(text) => self.0.write_all(text.as_bytes())?,
            None => self.0.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `None`: there is nothing to escape, as in almost all.
fn escaped(event: &[u8]) -> Option<String> {
    let (body, end) = match event.strip_suffix(b"\n") {
        Some(body) => (body, "\n"),
        None => (event, ""),
    };
    // Plain text is ASCII without control characters.
    if body.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.push_str(end);
    Some(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what changes the direction of text.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &[u8]) -> String {
        let mut out = Escaped(Vec::new());
        assert_eq!(out.write(event).expect("written"), event.len(), "all of it");
        String::from_utf8(out.0).expect("text")
    }

    #[test]
    fn an_event_stays_one_line_and_says_nothing_to_a_terminal() {
        assert_eq!(written(b"plain text\n"), "plain text\n");
        assert_eq!(written("Gr\u{fc}\u{df}e\n".as_bytes()), "Gr\u{fc}\u{df}e\n");
        assert_eq!(written(b"a\nb\r\tc\x1b[31m\x00\x7f\n"), "a\\u000ab\\u000d\\u0009c\\u001b[31m\\u0000\\u007f\n");
        assert_eq!(written("\u{9b}31m \u{202e}x\u{2028}".as_bytes()), "\\u009b31m \\u202ex\\u2028");
        assert_eq!(written(b"\xff\n"), "\u{fffd}\n");
    }

    #[test]
    fn json_stays_json() {
        let line = serde_json::json!({ "path": "\u{7f}\u{9b}\n" }).to_string();
        let read: serde_json::Value = serde_json::from_str(&written(line.as_bytes())).expect("JSON");
        assert_eq!(read["path"], "\u{7f}\u{9b}\n");
    }
}
