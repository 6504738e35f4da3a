//! Reading the signatures of a request (RFC 9421). Not by `httpsig`, which signs what goes out: it writes the parameters in an
//! order of its own, and a signature is over those of its signer's.

use hmac::{Hmac, KeyInit, Mac};
use sfv::{Dictionary, FieldType, InnerList, Key, List, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

use super::Message;

/// Longest header that is looked at, in bytes.
const MAX_FIELD: usize = 8 * 1024;
/// Most signatures of one request.
const MOST: usize = 8;

/// One signature of a request, as it says of itself. Nothing of it is believed before [`Self::is_by`] says so.
#[derive(Debug)]
pub struct Offered {
    list: InnerList,
    mac: Vec<u8>,
}

/// Why a request's signature cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error("Signature, Signature-Input and Content-Digest have at most {MAX_FIELD} bytes and {MOST} signatures")]
    TooLong,
    #[error(
        "Signature and Signature-Input must be dictionaries as RFC 9651 writes them, with each label and parameter once"
    )]
    NoDictionary,
    #[error("Signature and Signature-Input do not hold the same signatures")]
    Unpaired,
    #[error("a parameter of the signature has another type than RFC 9421 says")]
    Parameter,
    #[error("the signature covers a component twice, or one that this host does not look at")]
    Component,
    #[error("the signature covers a header that the request does not have")]
    NotThere,
}

/// All signatures of a request, by the values of its two headers.
pub fn offered(input: &str, signature: &str) -> Result<Vec<Offered>, Unsound> {
    let (inputs, macs) = (dictionary(input)?, dictionary(signature)?);
    if inputs.len() > MOST {
        return Err(Unsound::TooLong);
    }
    if inputs.len() != macs.len() {
        return Err(Unsound::Unpaired);
    }
    let pair = |(label, entry): (Key, ListEntry)| match (entry, macs.get(&label)) {
        (ListEntry::InnerList(list), Some(ListEntry::Item(item))) => {
            let mac = item.bare_item.as_byte_sequence().ok_or(Unsound::Unpaired)?.to_vec();
            Ok(Offered { list, mac })
        }
        _ => Err(Unsound::Unpaired),
    };
    inputs.into_iter().map(pair).collect()
}

impl Offered {
    /// `None`, too, where it is no text.
    pub fn key_id(&self) -> Option<&str> {
        self.text("keyid").ok().flatten()
    }

    pub fn alg(&self) -> Result<Option<&str>, Unsound> {
        self.text("alg")
    }

    pub fn nonce(&self) -> Result<Option<&str>, Unsound> {
        self.text("nonce")
    }

    /// Seconds since the Unix epoch, as `expires` is.
    pub fn created(&self) -> Result<Option<i64>, Unsound> {
        self.number("created")
    }

    pub fn expires(&self) -> Result<Option<i64>, Unsound> {
        self.number("expires")
    }

    /// Whether it covers the whole of this component.
    pub fn covers(&self, component: &str) -> bool {
        self.list.items.iter().any(|item| {
            item.params.is_empty() && item.bare_item.as_string().is_some_and(|name| name.as_str() == component)
        })
    }

    /// What is signed (RFC 9421, 2.5). `field`: the value of a header, by its name in lower case.
    pub fn base(&self, message: &Message<'_>, field: impl Fn(&str) -> Option<String>) -> Result<String, Unsound> {
        let mut base = String::new();
        let mut seen = Vec::with_capacity(self.list.items.len());
        for item in &self.list.items {
            let name = item.bare_item.as_string().ok_or(Unsound::Component)?.as_str();
            // Parts and other forms of a header (";sf", ";key", ";bs") are none that we need.
            if !item.params.is_empty() || seen.contains(&name) || !is_name(name) {
                return Err(Unsound::Component);
            }
            seen.push(name);
            let value = match name {
                "@method" => message.method.to_owned(),
                "@authority" => message.authority.to_owned(),
                "@path" => message.path.to_owned(),
                // An absent query is signed as an empty one (RFC 9421, 2.2.7).
                "@query" => format!("?{}", message.query.unwrap_or_default()),
                derived if derived.starts_with('@') => return Err(Unsound::Component),
                header => field(header).ok_or(Unsound::NotThere)?,
            };
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        let list: List = vec![ListEntry::InnerList(self.list.clone())];
        base.push_str(&format!("\"@signature-params\": {}", list.serialize().unwrap_or_default()));
        Ok(base)
    }

    /// Whether who has this key signed this base, by `hmac-sha256`. Takes as long for a wrong signature as for a right one.
    pub fn is_by(&self, key: &[u8], base: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)");
        mac.update(base.as_bytes());
        mac.verify_slice(&self.mac).is_ok()
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Unsound> {
        match self.list.params.iter().find(|(key, _)| key.as_str() == name) {
            Some((_, value)) => value.as_string().map(|text| Some(text.as_str())).ok_or(Unsound::Parameter),
            None => Ok(None),
        }
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Unsound> {
        match self.list.params.iter().find(|(key, _)| key.as_str() == name) {
            Some((_, value)) => value.as_integer().map(|n| Some(n.into())).ok_or(Unsound::Parameter),
            None => Ok(None),
        }
    }
}

/// Whether all digests of a `Content-Digest` (RFC 9530) that we know are this body's, and there is one.
pub fn is_digest_of(field: &str, body: &[u8]) -> bool {
    let Ok(digests) = dictionary(field) else { return false };
    let mut known = 0;
    for (name, entry) in &digests {
        let ListEntry::Item(item) = entry else { return false };
        let Some(given) = item.bare_item.as_byte_sequence() else { return false };
        let is_right = match name.as_str() {
            "sha-256" => <[u8; 32]>::from(Sha256::digest(body)).as_slice() == given,
            "sha-512" => <[u8; 64]>::from(Sha512::digest(body)).as_slice() == given,
            _ => continue,
        };
        if !is_right {
            return false;
        }
        known += 1;
    }
    known > 0
}

/// A reader of structured fields lets the last of two equal names win, another may let the first: what is not written as it
/// would be written again is refused, so that no two readers understand it differently.
fn dictionary(text: &str) -> Result<Dictionary, Unsound> {
    if text.len() > MAX_FIELD {
        return Err(Unsound::TooLong);
    }
    let parsed: Dictionary = Parser::new(text).parse().map_err(|_| Unsound::NoDictionary)?;
    if parsed.serialize().as_deref() == Some(text) { Ok(parsed) } else { Err(Unsound::NoDictionary) }
}

/// A header's in lower case, or a derived component's: nothing that would need an escape in the base.
fn is_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let rest = name.strip_prefix('@').unwrap_or(name);
    !rest.is_empty() && rest.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;
    use crate::signature::{Signer, content_digest};

    const MESSAGE: Message<'_> = Message {
        method: "POST",
        authority: "example.com",
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        fields: &[],
    };

    fn field(name: &str) -> Option<String> {
        match name {
            "date" => Some("Tue, 20 Apr 2021 02:07:55 GMT".to_owned()),
            "content-type" => Some("application/json".to_owned()),
            _ => None,
        }
    }

    /// RFC 9421 B.2.5: the parameters stand in another order than our signer's.
    #[test]
    fn the_signature_of_the_specification_is_good() {
        const KEY: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let key = STANDARD.decode(KEY).expect("base64");
        let input = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
        let signature = "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:";
        let all = offered(input, signature).expect("sound");
        let base = all[0].base(&MESSAGE, field).expect("all there");
        assert!(all[0].is_by(&key, &base));
        assert!(!all[0].is_by(b"another", &base));
        assert_eq!((all[0].key_id(), all[0].created()), (Some("test-shared-secret"), Ok(Some(1_618_884_473))));
        assert_eq!((all[0].alg(), all[0].nonce(), all[0].expires()), (Ok(None), Ok(None), Ok(None)));
        assert!(all[0].covers("date") && !all[0].covers("@method"));
        let shorter = offered(input, "sig-b25=:pxcQw6G3AjtMBQjwo8XzkQ==:").expect("sound");
        assert!(!shorter[0].is_by(&key, &base), "a part of it is not it");
    }

    #[test]
    fn what_our_signer_signs_we_take() {
        let fields = [("content-type", "application/json")];
        let message = Message { fields: &fields, ..MESSAGE };
        let signed = Signer::new("k", b"key").sign(&message, 7, Some("n")).expect("signs");
        let all = offered(&signed.signature_input, &signed.signature).expect("sound");
        let base = |message: &Message<'_>| all[0].base(message, field).expect("all there");
        assert!(all[0].is_by(b"key", &base(&MESSAGE)));
        for other in [
            Message { method: "PUT", ..MESSAGE },
            Message { authority: "example.org", ..MESSAGE },
            Message { path: "/bar", ..MESSAGE },
            Message { query: None, ..MESSAGE },
        ] {
            assert!(!all[0].is_by(b"key", &base(&other)), "{other:?}");
        }
        assert_eq!((all[0].nonce(), all[0].alg()), (Ok(Some("n")), Ok(Some("hmac-sha256"))));
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let good = r#"a=("@method");created=1;keyid="k""#;
        assert!(offered(good, "a=:AAAA:").is_ok());
        for (input, signature) in [
            (r#"a=("@method");created=1;created=2;keyid="k""#, "a=:AAAA:"),
            (r#"a=("@method");keyid="k", a=("@path");keyid="k""#, "a=:AAAA:"),
            (r#"a=( "@method" );keyid="k""#, "a=:AAAA:"),
            (r#"a=("@method");keyid="k",b=();keyid="l""#, "a=:AAAA:, b=:AAAA:"),
            (good, "a=:AAAA:, a=:AAAB:"),
            (good, "a=:AAB=:"),
            (good, "a=:AA=:"),
            (good, "a=AAAA"),
            (good, ""),
            ("", ""),
            ("a", "a=:AAAA:"),
            (r#"A=("@method")"#, "A=:AAAA:"),
            (good, "b=:AAAA:"),
            (good, "a=:AAAA:, b=:AAAA:"),
            (good, "a=(:AAAA:)"),
            (r#"a="@method""#, "a=:AAAA:"),
        ] {
            assert!(offered(input, signature).is_err(), "{input} / {signature}");
        }
        let many: Vec<_> = (0..9).map(|n| (format!("s{n}=()"), format!("s{n}=:AAAA:"))).collect();
        let (inputs, macs): (Vec<_>, Vec<_>) = many.into_iter().unzip();
        assert_eq!(offered(&inputs.join(", "), &macs.join(", ")).err(), Some(Unsound::TooLong));
        let long = format!(r#"a=();keyid="{}""#, "k".repeat(MAX_FIELD));
        assert_eq!(offered(&long, "a=:AAAA:").err(), Some(Unsound::TooLong));
    }

    #[test]
    fn components_and_parameters_are_those_that_we_know() {
        let base = |components: &str| {
            let input = format!("a=({components});keyid=\"k\"");
            offered(&input, "a=:AAAA:").expect("sound")[0].base(&MESSAGE, field)
        };
        assert_eq!(
            base(r#""@query" "content-type""#).as_deref(),
            Ok("\"@query\": ?param=Value&Pet=dog\n\"content-type\": application/json\n\
                \"@signature-params\": (\"@query\" \"content-type\");keyid=\"k\"")
        );
        for components in [
            r#""@method" "@method""#,
            r#""date";sf"#,
            r#""@target-uri""#,
            r#""@status""#,
            r#""Date""#,
            "date",
            "7",
            r#""a b""#,
            r#""""#,
            r#""@""#,
        ] {
            assert_eq!(base(components), Err(Unsound::Component), "{components}");
        }
        assert_eq!(base(r#""x-tenant-id""#), Err(Unsound::NotThere));
        let odd = |params: &str| offered(&format!("a=(){params}"), "a=:AAAA:").expect("sound").remove(0);
        assert_eq!(odd(";created=\"1\"").created(), Err(Unsound::Parameter));
        assert_eq!(odd(";created=1.5").created(), Err(Unsound::Parameter));
        assert_eq!(odd(";nonce=abc").nonce(), Err(Unsound::Parameter));
        assert_eq!(odd(";alg").alg(), Err(Unsound::Parameter));
        assert_eq!(odd(";keyid=7").key_id(), None);
    }

    #[test]
    fn a_digest_is_the_bodys_or_it_is_none() {
        let body = b"{\"hello\": \"world\"}\n";
        assert!(is_digest_of(&content_digest(body), body));
        // RFC 9530, appendix D.
        let long = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
        assert!(is_digest_of(long, body));
        assert!(
            is_digest_of(&format!("md5=:AAAA:, {}", content_digest(body)), body),
            "what we do not know does not count"
        );
        for field in [
            "",
            "md5=:AAAA:",
            &content_digest(b"another"),
            &format!("{}, {}", content_digest(body), sha512(b"another")),
            &format!("{}, {}", content_digest(b"another"), content_digest(body)),
            &content_digest(body).replace("sha-256", "sha-512"),
            "sha-256=\"x\"",
            "sha-256",
        ] {
            assert!(!is_digest_of(field, body), "{field}");
        }
    }

    fn sha512(body: &[u8]) -> String {
        format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(body)))
    }
}
