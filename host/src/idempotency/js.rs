//! JSON as JavaScript reads and writes it: `JSON.parse`, `JSON.stringify` and `String` of ECMA-262, as far as keys of the old
//! service were made by them.

use std::{cmp::Ordering, collections::HashMap, fmt::Write};

/// A value as `JSON.parse` makes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Js {
    Null,
    Bool(bool),
    Number(f64),
    /// UTF-16, in which half of a pair may stand alone.
    Text(Vec<u16>),
    List(Vec<Js>),
    /// In the order in which JavaScript lists the keys.
    Object(Vec<(Vec<u16>, Js)>),
}

/// Deeper than any payload that is taken.
const MAX_DEPTH: usize = 256;

impl Js {
    /// `None`: it is no JSON, or too deep.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        (reader.at == text.len()).then_some(value)
    }

    /// A field of an object; `None` is JavaScript's `undefined`.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(key, _)| key.iter().copied().eq(name.encode_utf16())).map(|(_, value)| value)
    }

    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(yes) => *yes,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) => true,
        }
    }

    /// `JSON.stringify(value)`.
    pub fn stringify(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Number(number) if number.is_finite() => number_text(*number, out),
            Self::Number(_) => out.push_str("null"),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (n, (key, value)) in fields.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// `${value}`. Half of a pair becomes U+FFFD, as it does on the way to a database.
    pub fn text(&self) -> String {
        let mut units = Vec::new();
        self.units(&mut units);
        String::from_utf16_lossy(&units)
    }

    fn units(&self, out: &mut Vec<u16>) {
        match self {
            Self::Null => out.extend("null".encode_utf16()),
            Self::Bool(yes) => out.extend(if *yes { "true" } else { "false" }.encode_utf16()),
            Self::Number(number) => {
                let mut text = String::new();
                number_text(*number, &mut text);
                out.extend(text.encode_utf16());
            }
            Self::Text(text) => out.extend(text),
            Self::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(u16::from(b','));
                    }
                    // Array.prototype.join leaves null out.
                    if *item != Self::Null {
                        item.units(out);
                    }
                }
            }
            Self::Object(_) => out.extend("[object Object]".encode_utf16()),
        }
    }

    /// The keys as they come out of PostgreSQL's `jsonb`: shorter ones first, then by their bytes.
    #[must_use]
    pub fn through_jsonb(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::through_jsonb).collect()),
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields
                    .into_iter()
                    .map(|(key, value)| (String::from_utf16_lossy(&key), key, value.through_jsonb()))
                    .collect();
                fields.sort_by(|(a, ..), (b, ..)| a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes())));
                Self::Object(in_order(fields.into_iter().map(|(_, key, value)| (key, value)).collect()))
            }
            plain => plain,
        }
    }
}

/// Whole numbers that an array could have as an index come first, by their size; the others stay as they were.
fn in_order(mut fields: Vec<(Vec<u16>, Js)>) -> Vec<(Vec<u16>, Js)> {
    fields.sort_by(|(a, _), (b, _)| match (index(a), index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    fields
}

/// An array index of ECMA-262: 0 to 2^32 − 2, in its shortest form.
fn index(key: &[u16]) -> Option<u32> {
    let digit = |unit: &u16| (u16::from(b'0')..=u16::from(b'9')).contains(unit);
    if key.is_empty() || key.len() > 10 || !key.iter().all(digit) || (key.len() > 1 && key.first() == Some(&48)) {
        return None;
    }
    let number = key.iter().fold(0_u64, |sum, unit| sum * 10 + u64::from(unit - 48));
    u32::try_from(number).ok().filter(|number| *number != u32::MAX)
}

/// `Number::toString` in base 10: the shortest digits that read back as this number, which Rust finds too, written as
/// JavaScript places them.
fn number_text(number: f64, out: &mut String) {
    if number.is_nan() {
        return out.push_str("NaN");
    }
    if number == 0.0 {
        return out.push('0');
    }
    if number < 0.0 {
        out.push('-');
    }
    if number.is_infinite() {
        return out.push_str("Infinity");
    }
    // d.ddde±x
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The point stands after so many digits.
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or_default());
    match point {
        1..=21 if point >= count => {
            out.push_str(&digits);
            out.push_str(&zeros(point - count));
        }
        1..=21 => {
            let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or_default());
            out.push_str(whole);
            out.push('.');
            out.push_str(rest);
        }
        -5..=0 => {
            out.push_str("0.");
            out.push_str(&zeros(-point));
            out.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            out.push_str(first);
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
            // Into a string: it cannot fail.
            let _ = write!(out, "e{}{}", if point > 0 { '+' } else { '-' }, (point - 1).abs());
        }
    }
}

/// `QuoteJSONString`.
fn quote(text: &[u16], out: &mut String) {
    out.push('"');
    for unit in char::decode_utf16(text.iter().copied()) {
        match unit {
            Ok('"') => out.push_str("\\\""),
            Ok('\\') => out.push_str("\\\\"),
            Ok('\u{8}') => out.push_str("\\b"),
            Ok('\u{c}') => out.push_str("\\f"),
            Ok('\n') => out.push_str("\\n"),
            Ok('\r') => out.push_str("\\r"),
            Ok('\t') => out.push_str("\\t"),
            Ok(c) if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            Ok(c) => out.push(c),
            Err(half) => {
                let _ = write!(out, "\\u{:04x}", half.unpaired_surrogate());
            }
        }
    }
    out.push('"');
}

/// Reads JSON as `JSON.parse` does.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, value: Js) -> Option<Js> {
        self.rest().starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Js> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'n' => self.word("null", Js::Null),
            b't' => self.word("true", Js::Bool(true)),
            b'f' => self.word("false", Js::Bool(false)),
            b'"' => self.string().map(Js::Text),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Js> {
        self.take(b'[')?;
        let mut items = Vec::new();
        self.space();
        if self.take(b']').is_some() {
            return Some(Js::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Js::List(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Js> {
        self.take(b'{')?;
        let mut fields: Vec<(Vec<u16>, Js)> = Vec::new();
        // Where a key stands: a second one takes the place of the first.
        let mut places: HashMap<Vec<u16>, usize> = HashMap::new();
        self.space();
        if self.take(b'}').is_some() {
            return Some(Js::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            match places.get(&key).and_then(|place| fields.get_mut(*place)) {
                Some(field) => field.1 = value,
                None => {
                    places.insert(key.clone(), fields.len());
                    fields.push((key, value));
                }
            }
            self.space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Js::Object(in_order(fields)));
            }
        }
    }

    fn string(&mut self) -> Option<Vec<u16>> {
        self.take(b'"')?;
        let mut units = Vec::new();
        let mut buffer = [0; 2];
        loop {
            let c = self.rest().chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(units),
                '\\' => {
                    let escaped = self.peek()?;
                    self.at += 1;
                    units.push(match escaped {
                        b'"' | b'\\' | b'/' => u16::from(escaped),
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4)?;
                            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                                return None;
                            }
                            self.at += 4;
                            u16::from_str_radix(digits, 16).ok()?
                        }
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => units.extend_from_slice(c.encode_utf16(&mut buffer)),
            }
        }
    }

    fn number(&mut self) -> Option<Js> {
        let from = self.at;
        let _ = self.take(b'-');
        let whole = self.digits();
        let leading_zero = self.text.as_bytes().get(self.at - whole) == Some(&b'0');
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        if self.take(b'.').is_some() && self.digits() == 0 {
            return None;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return None;
            }
        }
        self.text.get(from..self.at)?.parse().ok().map(Js::Number)
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }
}

#[cfg(test)]
mod tests;
