//! Numbers of cards in other people's words. A guest or a provider may put one where nobody expects it; it is not written down.

use std::ops::Range;

use serde_json::Value;

use super::{Asked, CallEnd};
use crate::journal::{Answer, Rejection};

const VEIL: &str = "(card number)";

/// How many digits stand together where people write a number in parts, longest first.
const PARTS: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

/// There is what may be a card's number (ISO/IEC 7812-1): 13 to 19 digits, in one or in the usual parts, of a network for cards,
/// with the right check digit. What touches a letter is part of an id or a hash.
pub(super) fn is_in(text: &str) -> bool {
    !found(text).is_empty()
}

/// The text, with `(card number)` in place of each.
pub(super) fn veiled(text: String) -> String {
    let mut out = String::new();
    let mut rest = 0;
    for number in found(&text) {
        out.push_str(&text[rest..number.start]);
        out.push_str(VEIL);
        rest = number.end;
    }
    if rest == 0 {
        return text;
    }
    out.push_str(&text[rest..]);
    out
}

/// The same for each text in it.
pub(super) fn veil(value: &mut Value) {
    match value {
        Value::String(text) => *text = veiled(std::mem::take(text)),
        Value::Object(fields) => fields.values_mut().for_each(veil),
        Value::Array(items) => items.iter_mut().for_each(veil),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl CallEnd {
    /// The same for a provider's words. An `Ok` is the provider's own business: it may be a file.
    pub(super) fn without_cards(self) -> Self {
        match self {
            Self::Answer(answer) => Self::Answer(refusal(answer)),
            Self::Unreachable(message) => Self::Unreachable(veiled(message)),
            Self::Transient { message, retry_after } => Self::Transient { message: veiled(message), retry_after },
            Self::Doubt { message, retry_after } => Self::Doubt { message: veiled(message), retry_after },
            Self::Unknown(message) => Self::Unknown(veiled(message)),
        }
    }
}

impl Asked {
    /// As [`CallEnd::without_cards`].
    pub(super) fn without_cards(self) -> Self {
        match self {
            Self::Answer(answer) => Self::Answer(refusal(answer)),
            Self::Absent => Self::Absent,
            Self::Unclear(message) => Self::Unclear(veiled(message)),
            Self::NotNow { message, after } => Self::NotNow { message: veiled(message), after },
        }
    }
}

pub(super) fn refusal(answer: Answer) -> Answer {
    match answer {
        Answer::Ok(value) => Answer::Ok(value),
        Answer::Denied(message) => Answer::Denied(veiled(message)),
        Answer::Invalid(message) => Answer::Invalid(veiled(message)),
        Answer::Rejected(Rejection { code, message, status }) => {
            Answer::Rejected(Rejection { code: veiled(code), message: veiled(message), status })
        }
    }
}

fn found(text: &str) -> Vec<Range<usize>> {
    let text = text.as_bytes();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in (0..text.len()).filter(|at| text[*at].is_ascii_digit()) {
        match parts.last_mut() {
            Some(part) if part.end == at => part.end += 1,
            _ => parts.push(at..at + 1),
        }
    }
    let mut found = Vec::new();
    let mut left = parts.as_slice();
    while !left.is_empty() {
        let taken = number(text, left);
        if let Some(taken) = taken {
            found.push(left[0].start..left[taken - 1].end);
        }
        left = &left[taken.unwrap_or(1)..];
    }
    found
}

/// Of how many of these parts the number is that begins with the first.
fn number(text: &[u8], parts: &[Range<usize>]) -> Option<usize> {
    let is_apart = |wanted: &[usize]| {
        wanted.len() <= parts.len()
            && wanted.iter().zip(parts).all(|(length, part)| part.len() == *length)
            && parts[..wanted.len()]
                .windows(2)
                .all(|two| two[1].start - two[0].end == 1 && matches!(text[two[0].end], b' ' | b'-'))
    };
    let whole = [parts[0].len()];
    let whole = Some(&whole[..]).filter(|whole| (13..=19).contains(&whole[0]));
    let mut shapes = PARTS.into_iter().chain(whole);
    let taken = shapes.find(|shape| is_apart(shape) && is_number(text, parts[0].start..parts[shape.len() - 1].end));
    taken.map(<[usize]>::len)
}

fn is_number(text: &[u8], at: Range<usize>) -> bool {
    let touches = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let before = at.start.checked_sub(1).and_then(|before| text.get(before));
    let digits = text[at.clone()].iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
    // Luhn's sum: from the right, every second digit twice, its own digits added.
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(n, digit)| match digit * 2 {
            _ if n % 2 == 0 => digit,
            twice => twice / 10 + twice % 10,
        })
        .sum();
    (b'2'..=b'6').contains(&text[at.start]) && sum.is_multiple_of(10) && !touches(before) && !touches(text.get(at.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cards_number_is_found_as_people_and_programs_write_it() {
        for (said, shown) in [
            ("No such PaymentMethod: '4242424242424242'", "No such PaymentMethod: '(card number)'"),
            ("4242 4242 4242 4242", "(card number)"),
            ("card 5555-5555-5555-4444, 12/34", "card (card number), 12/34"),
            ("4242 4242 4242 4242 12/34", "(card number) 12/34"),
            ("Amex 3782 822463 10005.", "Amex (card number)."),
            ("378282246310005 and 6011111111111117", "(card number) and (card number)"),
            ("number=4242424242424242&cvc=123", "number=(card number)&cvc=123"),
            ("pm_4242424242424242", "pm_(card number)"),
            ("ü4222222222222ü", "ü(card number)ü"),
        ] {
            assert!(is_in(said), "{said}");
            assert_eq!(veiled(said.to_owned()), shown);
        }
    }

    #[test]
    fn what_is_none_stays_as_it_is() {
        for said in [
            "",
            "4242424242424241",
            "424242424242",
            "42424242424242424242",
            "1764268144000",
            "4242 4242  4242 4242",
            "pi_3abc4242424242424242",
            "4242424242424242ab",
            "0b3a4242-4242-5242-8242-424242424242",
            "ends in 4242, 4 of 16 digits",
        ] {
            assert!(!is_in(said), "{said}");
            assert_eq!(veiled(said.to_owned()), said);
        }
    }

    #[test]
    fn texts_are_looked_through_wherever_they_stand_and_numbers_are_not() {
        let mut value =
            serde_json::json!({"a": ["4242424242424242", {"b": "x 4242424242424242"}], "n": 4_242_424_242_424_242_u64});
        veil(&mut value);
        let want = serde_json::json!({"a": [VEIL, {"b": format!("x {VEIL}")}], "n": 4_242_424_242_424_242_u64});
        assert_eq!(value, want);
    }
}
