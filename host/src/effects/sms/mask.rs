/// Fewer digits in a row are no number of a telephone, but a code or an amount.
const SHORTEST: usize = 7;

/// `+4915112345678` as the journal shows it: `+49…78`.
pub(super) fn number(number: &str) -> String {
    let chars: Vec<_> = number.chars().collect();
    match chars.as_slice() {
        [a, b, c, .., y, z] if chars.len() >= SHORTEST => format!("{a}{b}{c}…{y}{z}"),
        _ => "…".to_owned(),
    }
}

/// A provider's words, in which numbers are shortened however they are written: they go into the journal and the job's errors.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_digit() || (c == '+' && run.is_empty()) => run.push(c),
            // Between two groups of digits, not before the first.
            Some(c) if !run.is_empty() && matches!(c, ' ' | '-' | '.' | '(' | ')' | '/') => run.push(c),
            end => {
                let after = run.trim_end_matches([' ', '-', '.', '(', ')', '/']).len();
                let (digits, rest) = run.split_at(after);
                if digits.bytes().filter(u8::is_ascii_digit).count() >= SHORTEST {
                    out.push_str(&number(digits));
                } else {
                    out.push_str(digits);
                }
                out.push_str(rest);
                run.clear();
                if end == Some('+') {
                    run.push('+');
                } else {
                    out.extend(end);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_name_nobody() {
        assert_eq!(number("+4915112345678"), "+49…78");
        assert_eq!(number("+1"), "…");
        for (said, shown) in [
            (
                "The 'To' number +4915112345678 is not a valid phone number.",
                "The 'To' number +49…78 is not a valid phone number.",
            ),
            ("To: (555) 010-0123, code 21211", "To: (555…23, code 21211"),
            ("491511234567 and +15550100123+15550100124", "491…67 and +15…23+15…24"),
            ("1234567", "123…67"),
            ("error 21610 after 3 of 10 tries", "error 21610 after 3 of 10 tries"),
        ] {
            assert_eq!(words(said), shown);
        }
    }
}
