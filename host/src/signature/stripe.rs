use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far apart Stripe's clock and ours may be, in seconds, in either direction. Stripe's libraries use the same, for the past.
const TOLERANCE: u64 = 300;
/// Stripe sends one for each secret that is valid: two, while one is rolled.
const MAX_SIGNATURES: usize = 16;

/// A header `Stripe-Signature`, read: `t=…,v1=…` with further schemes that do not count
/// (docs.stripe.com/webhooks, "Verify webhook signatures manually").
#[derive(Debug)]
pub struct StripeSignature<'a> {
    /// Digits, as they were signed.
    timestamp: &'a str,
    v1: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeSignatureError {
    #[error("the header Stripe-Signature is none of Stripe's")]
    Malformed,
    #[error("the header Stripe-Signature has no signature of the scheme v1")]
    NoSignature,
    #[error("the signature was made more than 300 s from now")]
    Stale,
}

impl<'a> StripeSignature<'a> {
    /// `now`: seconds since the Unix epoch.
    pub fn parse(header: &'a str, now: u64) -> Result<Self, StripeSignatureError> {
        let (mut timestamp, mut v1) = (None, Vec::new());
        for part in header.split(',') {
            let (scheme, value) = part.split_once('=').ok_or(StripeSignatureError::Malformed)?;
            match scheme {
                // Which of two would have been signed?
                "t" if timestamp.is_some() => return Err(StripeSignatureError::Malformed),
                "t" => timestamp = Some(value),
                "v1" if v1.len() == MAX_SIGNATURES => return Err(StripeSignatureError::Malformed),
                "v1" => {
                    let mut signature = [0; 32];
                    hex::decode_to_slice(value, &mut signature).map_err(|_| StripeSignatureError::Malformed)?;
                    v1.push(signature);
                }
                // v0 is of test events, by a key that everybody could know.
                _ => {}
            }
        }
        let timestamp = timestamp.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
        let timestamp = timestamp.ok_or(StripeSignatureError::Malformed)?;
        let at: u64 = timestamp.parse().map_err(|_| StripeSignatureError::Malformed)?;
        if v1.is_empty() {
            return Err(StripeSignatureError::NoSignature);
        }
        if at.abs_diff(now) > TOLERANCE {
            return Err(StripeSignatureError::Stale);
        }
        Ok(Self { timestamp, v1 })
    }

    /// Whether one of the signatures was made with this secret (`whsec_…`, all of it) over this body, compared in constant time.
    pub fn is_by(&self, secret: &str, body: &[u8]) -> bool {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length (RFC 2104)");
        mac.update(self.timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        self.v1.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test_secret";
    const BODY: &[u8] = br#"{"id": "evt_test_webhook", "object": "event"}"#;
    /// Of the body at 12345, as PyPI's `stripe` makes it.
    const V1: &str = "395b26b7ef792ff083b1a90b88cad1f6b4b584dd6a0c494af88fbef279b8fc1d";

    fn parse(header: &str, now: u64) -> Result<StripeSignature<'_>, StripeSignatureError> {
        StripeSignature::parse(header, now)
    }

    #[test]
    fn a_signature_is_the_one_of_stripes_library() {
        let header = format!("t=12345,v1={},v1={V1},v0=abc", "0".repeat(64));
        let signature = parse(&header, 12345).expect("sound");
        assert!(signature.is_by(SECRET, BODY));
        assert!(!signature.is_by("whsec_another", BODY));
        assert!(!signature.is_by("test_secret", BODY), "its prefix is part of the secret");
        assert!(!signature.is_by(SECRET, b"{}"));
        let moved = format!("t=12346,v1={V1}");
        assert!(!parse(&moved, 12345).expect("sound").is_by(SECRET, BODY));
        let padded = format!("t=012345,v1={V1}");
        assert!(!parse(&padded, 12345).expect("sound").is_by(SECRET, BODY), "signed is what was written");
    }

    #[test]
    fn the_time_may_be_five_minutes_off_either_way() {
        let header = format!("t=12345,v1={V1}");
        for (now, sound) in [(12345 + 300, true), (12345 + 301, false), (12345 - 300, true), (12345 - 301, false)] {
            assert_eq!(parse(&header, now).map(drop), if sound { Ok(()) } else { Err(StripeSignatureError::Stale) });
        }
    }

    #[test]
    fn what_is_no_such_header_is_told_from_one_that_is_not_signed() {
        use StripeSignatureError::{Malformed, NoSignature};
        let many = "t=12345".to_owned() + &format!(",v1={V1}").repeat(17);
        for (header, error) in [
            (String::new(), Malformed),
            ("t=12345".to_owned(), NoSignature),
            (format!("t=12345,v0={V1}"), NoSignature),
            (format!("v1={V1}"), Malformed),
            (format!("t=,v1={V1}"), Malformed),
            (format!("t=-5,v1={V1}"), Malformed),
            (format!("t=99999999999999999999999,v1={V1}"), Malformed),
            (format!("t=12345,t=12345,v1={V1}"), Malformed),
            ("t=12345,v1=abc".to_owned(), Malformed),
            (format!("t=12345;v1={V1}"), Malformed),
            (format!("t=12345,{V1}"), Malformed),
            (many, Malformed),
        ] {
            assert_eq!(parse(&header, 12345).map(drop), Err(error), "{header}");
        }
    }
}
