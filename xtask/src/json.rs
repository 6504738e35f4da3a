//! As much JSON as a driver needs (RFC 8259). It reads what our own host and cargo write.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(map) => map.get(key),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_array(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The string at a key, or nothing.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Self::as_str).unwrap_or_default()
    }
}

/// A string as JSON writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.space();
    if reader.rest.is_empty() { Ok(value) } else { Err("text after the JSON value".to_owned()) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("expected {token}")) }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 100 {
            return Err("nested too deep".to_owned());
        }
        self.space();
        match self.rest.chars().next() {
            Some('n') => self.expect("null").map(|()| Json::Null),
            Some('t') => self.expect("true").map(|()| Json::Bool(true)),
            Some('f') => self.expect("false").map(|()| Json::Bool(false)),
            Some('"') => self.string().map(Json::String),
            Some('[') => {
                self.expect("[")?;
                let mut items = Vec::new();
                if self.take("]") {
                    return Ok(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if !self.take(",") {
                        return self.expect("]").map(|()| Json::Array(items));
                    }
                }
            }
            Some('{') => {
                self.expect("{")?;
                let mut map = BTreeMap::new();
                if self.take("}") {
                    return Ok(Json::Object(map));
                }
                loop {
                    self.space();
                    let key = self.string()?;
                    self.expect(":")?;
                    map.insert(key, self.value(depth + 1)?);
                    if !self.take(",") {
                        return self.expect("}").map(|()| Json::Object(map));
                    }
                }
            }
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let end =
            self.rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().map(Json::Number).map_err(|_| format!("not a JSON value: {digits:?}"))
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut out = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).ok_or("unclosed string")?;
            out.push_str(&self.rest[..end]);
            let is_quote = self.rest.as_bytes()[end] == b'"';
            self.rest = &self.rest[end + 1..];
            if is_quote {
                return Ok(out);
            }
            out.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let c = self.rest.chars().next().ok_or("unclosed escape")?;
        self.rest = &self.rest[c.len_utf8()..];
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let high = self.hex()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high).ok_or_else(|| "lone surrogate".to_owned());
                }
                self.expect("\\u")?;
                let low = self.hex()?;
                let point = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                char::from_u32(point).ok_or("lone surrogate")?
            }
            other => other,
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.rest.get(..4).ok_or("short \\u escape")?;
        self.rest = &self.rest[4..];
        u32::from_str_radix(digits, 16).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_reads_back() {
        for text in ["", "a\"b\\c", "\n\u{1}é\u{1f600}"] {
            assert_eq!(parse(&quote(text)), Ok(Json::String(text.to_owned())));
        }
        assert_eq!(parse("\"\\ud83d\\ude00\""), Ok(Json::String("\u{1f600}".to_owned())));
    }

    #[test]
    fn values_nest_and_garbage_is_refused() {
        let value = parse(r#" {"a": [1, -2.5e1, true, null], "b": {"c": "x"}} "#).expect("json");
        assert_eq!(value.get("a").map(|a| a.as_array().len()), Some(4));
        assert_eq!(value.get("b").map(|b| b.text("c")), Some("x"));
        for garbage in ["", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"a"] {
            assert!(parse(garbage).is_err(), "{garbage}");
        }
    }
}
