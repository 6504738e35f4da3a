//! Signing what goes out: webhooks as Standard Webhooks says (standardwebhooks.com, specification 1.0, symmetric keys), calls to
//! upstreams as RFC 9421 says. Reading the signatures of what comes in, by the same RFC, and by Stripe.
//!
//! Owns: the secrets of webhook endpoints and of service keys, which are derived and never stored, and the signatures made with
//! them; HTTP message signatures and content digests; how Stripe signs its events.
//! Refuses: to print a secret; only `reveal` gives one out.
//! Invariant: the same host key, endpoint or service key, and generation give the same secret, on every host and for ever.
//! Tables: none.

mod http;
mod incoming;
mod stripe;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;
use uuid::Uuid;

pub use self::{
    http::{Message, SignError, Signed, Signer, content_digest},
    incoming::{Offered, Unsound, is_digest_of, offered},
    stripe::{StripeSignature, StripeSignatureError},
};

/// Length of a secret, in bytes; the specification wants 24 to 64.
const SECRET: usize = 32;

/// One generation of an endpoint's secret.
#[derive(Debug)]
pub struct WebhookSecret(SecretBox<[u8; SECRET]>);

impl WebhookSecret {
    /// HMAC-SHA256 of the host's key over the endpoint and the generation.
    pub fn derive(host_key: &str, endpoint: Uuid, generation: i32) -> Self {
        let mac = hmac(host_key.as_bytes(), &format!("usher/webhook-secret/{endpoint}/{generation}"));
        Self(SecretBox::new(Box::new(mac)))
    }

    /// As a receiver's library takes it.
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0.expose_secret()))
    }

    /// One entry of the header `webhook-signature`. `timestamp`: seconds since the Unix epoch.
    pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let mac = hmac(self.0.expose_secret(), &format!("{id}.{timestamp}.{body}"));
        format!("v1,{}", STANDARD.encode(mac))
    }
}

/// One generation of a service key's secret. The text is the key, byte for byte: nobody need decode it.
#[derive(Debug)]
pub struct ServiceSecret(SecretString);

impl ServiceSecret {
    /// HMAC-SHA256 of the host's key over the service key and the generation.
    pub fn derive(host_key: &str, key: Uuid, generation: i32) -> Self {
        let mac = hmac(host_key.as_bytes(), &format!("usher/service-key/{key}/{generation}"));
        Self(format!("usher_sk_{}", URL_SAFE_NO_PAD.encode(mac)).into())
    }

    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

fn hmac(key: &[u8], text: &str) -> [u8; SECRET] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_the_one_of_the_reference_libraries() {
        let bytes: [u8; 24] =
            STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64").try_into().expect("24 bytes");
        let body = r#"{"test": 2432232314}"#;
        let mac = hmac(&bytes, &format!("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{body}"));
        assert_eq!(STANDARD.encode(mac), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_differ_by_key_endpoint_and_generation_and_print_nothing() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let secret = WebhookSecret::derive("k", one, 1);
        assert_eq!(secret.reveal(), WebhookSecret::derive("k", one, 1).reveal());
        for other in [("k", one, 2), ("k", two, 1), ("l", one, 1)] {
            assert_ne!(secret.reveal(), WebhookSecret::derive(other.0, other.1, other.2).reveal());
        }
        let text = secret.reveal();
        assert!(text.starts_with("whsec_") && text.len() == 6 + 44, "{text}");
        assert!(!format!("{secret:?}").contains(&text[6..20]));
        let secret = ServiceSecret::derive("k", one, 1);
        assert_eq!(secret.reveal(), ServiceSecret::derive("k", one, 1).reveal());
        for other in [("k", one, 2), ("k", two, 1), ("l", one, 1)] {
            assert_ne!(secret.reveal(), ServiceSecret::derive(other.0, other.1, other.2).reveal());
        }
        assert!(secret.reveal().starts_with("usher_sk_") && secret.reveal().len() == 9 + 43, "{}", secret.reveal());
        assert!(!format!("{secret:?}").contains(&secret.reveal()[9..20]));
    }
}
