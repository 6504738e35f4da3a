/// `anna@example.com` as the journal shows it: `a***@example.com`.
pub(super) fn address(address: &str) -> String {
    match address.split_once('@') {
        Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}

/// A server's words: they often repeat the recipient's address, and go into the journal and the job's errors.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_alphanumeric() || c == '@' || "!#$%&'*+-/=?^_`{|}~.".contains(c) => word.push(c),
            end => {
                if word.contains('@') {
                    out.push_str(&address(&word));
                } else {
                    out.push_str(&word);
                }
                word.clear();
                out.extend(end);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_name_nobody() {
        for (said, shown) in [
            ("550 5.1.1 <anna@example.com>: no such user", "550 5.1.1 <a***@example.com>: no such user"),
            ("anna.b+x@example.com unknown", "a***@example.com unknown"),
            ("(zoë@example.com)", "(z***@example.com)"),
            ("@example.com", "****@example.com"),
            ("452 4.2.2 mailbox full", "452 4.2.2 mailbox full"),
        ] {
            assert_eq!(words(said), shown);
        }
    }
}
