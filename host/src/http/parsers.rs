//! The parsers of our own that a stranger's bytes reach, each as a check of bytes: none of them panics, and what each promises of
//! what it has read holds. `fuzz/` runs them under libFuzzer; the tests below feed them mutations of what they were made for.
//! Only with the feature `fuzzing`, or for tests.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::DateTime;
use serde_json::Value;

use super::{jobs, prefer};
use crate::{
    idempotency::Template,
    releases::manifest,
    signature::{Message, is_digest_of, offered},
};

/// Between what a target splits its bytes into.
const CUT: char = '\u{1f}';

/// A key template, and a payload for it (JSON) behind the first `CUT`.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (template, payload) = text.split_once(CUT).unwrap_or((text, "{}"));
    let Ok(template) = Template::parse(template) else { return };
    let Ok(payload) = serde_json::from_str::<Value>(payload) else { return };
    match template.render(&payload, DateTime::UNIX_EPOCH) {
        Ok((values, text)) => {
            assert!(!values.is_empty(), "a key of nothing is everybody's");
            assert!(text.chars().count() <= 255 && !text.chars().any(char::is_control), "{text:?}");
        }
        Err(no_key) => assert!(no_key.pointer.is_empty() || no_key.pointer.starts_with('/'), "{no_key:?}"),
    }
}

/// `Signature-Input`, `Signature`, and `Content-Digest`, between `CUT`s.
pub fn signature_input(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split(CUT);
    let mut next = || parts.next().unwrap_or_default();
    let (input, signature, digest) = (next(), next(), next());
    let is_sound = is_digest_of(digest, b"body");
    assert!(!is_sound || digest.contains("sha-"), "a digest that we cannot know: {digest:?}");
    let Ok(all) = offered(input, signature) else { return };
    let message = Message { method: "POST", authority: "x", path: "/jobs", query: None, fields: &[] };
    for one in &all {
        let _ = (one.key_id(), one.alg(), one.nonce(), one.created(), one.expires());
        if let Ok(base) = one.base(&message, |name| Some(format!("value of {name}"))) {
            // One line for each component, and the last one for the signature's own parameters: no more can be smuggled in.
            let last = base.lines().next_back().unwrap_or_default();
            assert!(last.starts_with("\"@signature-params\": ("), "{base:?}");
            assert!(!one.is_by(b"a key that nobody has", &base), "{input:?} {signature:?}");
        }
    }
}

/// A manifest, and the one schema that it names behind the first `CUT`.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (toml, schema) = text.split_once(CUT).unwrap_or((text, "{}"));
    let files = BTreeMap::from([("schema.json".to_owned(), schema.to_owned())]);
    if let Ok(found) = manifest::parse(toml, &files) {
        assert!(!found.jobs.is_empty() && !found.name.is_empty(), "{found:?}");
        assert!(manifest::files_named(toml).is_ok(), "what is read names its files");
        let place = manifest::version_place(toml).ok().and_then(|place| toml.get(place));
        assert!(place.is_some(), "and has a version at a place of its text");
    }
}

/// Lines of `Idempotency-Key`.
pub fn idempotency_key(bytes: &[u8]) {
    if let Ok(Some(key)) = jobs::idempotency_key(&headers("idempotency-key", bytes)) {
        assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{key:?}");
    }
}

/// Lines of `Prefer`.
pub fn prefer(bytes: &[u8]) {
    let headers = headers("prefer", bytes);
    if let Some(wait) = prefer::wait(&headers) {
        assert!(wait.as_secs() <= 60, "{headers:?}");
    }
}

fn headers(name: &'static str, bytes: &[u8]) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some((HeaderName::from_static(name), HeaderValue::from_bytes(line).ok()?))).fold(
        HeaderMap::new(),
        |mut map, (name, value)| {
            map.append(name, value);
            map
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the grammars are made of: put in, now and then, as it is.
    const WORDS: [&str; 28] = [
        "{",
        "}",
        "{UTC date}",
        "{UTC hour}",
        " or ",
        ".",
        "\u{1f}",
        "\"",
        "\\",
        "'",
        "=",
        ";",
        ",",
        "(",
        ")",
        ":",
        "[[job]]",
        "[",
        "]",
        "\n",
        "\r\n",
        "\0",
        "\u{1b}",
        "wait=",
        "99999999999999999999",
        "null",
        "\u{202e}",
        "sha-256=:",
    ];
    const TEMPLATES: [&str; 4] = [
        "payment-{venueId}-{userId}-{eventId}-{amount}\u{1f}{\"venueId\":\"v\",\"userId\":\"u\",\"eventId\":1,\"amount\":5000}",
        "nft-{eventId}-{seatId or ticketId}\u{1f}{\"eventId\":\"e\",\"ticketId\":\"t\"}",
        "email-{template}-{to}-{UTC date}\u{1f}{\"template\":\"x\",\"to\":\"a@example.com\"}",
        "{a.b.c}\u{1f}{\"a\":{\"b\":{\"c\":true}}}",
    ];
    const INPUTS: [&str; 2] = [
        "sig1=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\");created=1618884473;keyid=\"k\";nonce=\"n\";alg=\"hmac-sha256\"\
         \u{1f}sig1=:pxcQw6G3AjtMBQjwo8XzkQ==:\u{1f}sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "a=(\"date\");keyid=\"k\", b=();expires=1\u{1f}a=:AAAA:, b=:AAAA:\u{1f}md5=:AAAA:, sha-512=:AAAA:",
    ];
    const MANIFEST: &str = "[plugin]\nname = \"payments\"\nversion = \"0.2.0\"\n[grants]\nstripe = [\"create-payment-intent\"]\n[[job]]\n\
         type = \"payment-process\"\nqueue = \"money\"\nschema = \"schema.json\"\n\
         idempotency = { key = \"payment-{venueId}\", ttl = \"24h\" }\nlimits = { memory = \"32MiB\", effects = 1 }\n\
         \u{1f}{\"type\":\"object\",\"required\":[\"venueId\"],\"properties\":{\"venueId\":{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}}}";
    const KEYS: [&str; 3] = ["order-4711", "\"order-4711\"", "a\nb"];
    const PREFERENCES: [&str; 3] = ["wait=30", "respond-async, wait=10;x=\"a,b\"", "foo=\"\\\"\"; wait=1\nwait=2"];

    /// splitmix64.
    struct Rng(u64);

    impl Rng {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) % end.max(1) as u64) as usize
        }
    }

    /// The same ones in each run.
    fn mutations(seeds: &[&str], count: u64, check: fn(&[u8])) {
        for seed in seeds {
            check(seed.as_bytes());
        }
        for n in 0..count {
            let mut rng = Rng(n);
            let mut bytes = seeds[rng.below(seeds.len())].as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                mutate(&mut bytes, seeds, &mut rng);
            }
            check(&bytes);
        }
    }

    fn mutate(bytes: &mut Vec<u8>, seeds: &[&str], rng: &mut Rng) {
        let at = rng.below(bytes.len() + 1);
        let end = (at + rng.below(16)).min(bytes.len());
        match rng.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..end, WORDS[rng.below(WORDS.len())].bytes())),
            3 => {
                let again: Vec<_> = bytes[at..end].repeat(1 + rng.below(50));
                drop(bytes.splice(at..at, again));
            }
            4 => {
                let other = seeds[rng.below(seeds.len())].as_bytes();
                let from = rng.below(other.len());
                drop(bytes.splice(at.., other[from..].iter().copied()));
            }
            _ => bytes.truncate(at),
        }
    }

    #[test]
    fn templates_withstand_mutations() {
        mutations(&TEMPLATES, 20_000, template);
    }

    #[test]
    fn signatures_withstand_mutations() {
        mutations(&INPUTS, 20_000, signature_input);
    }

    #[test]
    fn manifests_withstand_mutations() {
        mutations(&[MANIFEST], 2_000, manifest);
    }

    #[test]
    fn headers_withstand_mutations() {
        mutations(&KEYS, 10_000, idempotency_key);
        mutations(&PREFERENCES, 10_000, prefer);
    }

    #[test]
    fn the_seeds_are_what_their_parsers_take() {
        assert!(Template::parse("payment-{venueId}").is_ok());
        for input in INPUTS {
            let mut parts = input.split(CUT);
            assert!(offered(parts.next().unwrap_or_default(), parts.next().unwrap_or_default()).is_ok(), "{input}");
        }
        let (toml, schema) = MANIFEST.split_once(CUT).expect("two parts");
        let files = BTreeMap::from([("schema.json".to_owned(), schema.to_owned())]);
        assert_eq!(manifest::parse(toml, &files).map(|found| found.jobs.len()).ok(), Some(1));
        assert_eq!(prefer::wait(&headers("prefer", PREFERENCES[1].as_bytes())).map(|wait| wait.as_secs()), Some(10));
    }
}
