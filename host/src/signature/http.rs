use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use httpsig::prelude::{
    AlgorithmName, HttpSigError, HttpSignatureBase, HttpSignatureParams, SharedKey,
    message_component::{HttpMessageComponent, HttpMessageComponentId},
};
use sha2::{Digest, Sha256};

/// The name under which our signature stands among those of a request.
const LABEL: &str = "usher";

/// Signs requests as RFC 9421 says, by `hmac-sha256`.
pub struct Signer {
    key_id: String,
    key: SharedKey,
}

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub method: &'a str,
    /// Host and port as in `Host`: without the scheme's own port.
    pub authority: &'a str,
    pub path: &'a str,
    /// Without the question mark.
    pub query: Option<&'a str>,
    /// Header fields, by lower-case name.
    pub fields: &'a [(&'a str, &'a str)],
}

/// The headers that carry a signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    pub signature_input: String,
    pub signature: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed")]
pub struct SignError(#[from] HttpSigError);

impl Signer {
    pub fn new(key_id: &str, key: &[u8]) -> Self {
        Self { key_id: key_id.to_owned(), key: SharedKey::HmacSha256(key.to_owned()) }
    }

    /// Over `@method`, `@authority`, `@path`, `@query` and the fields. `created`: seconds since the Unix epoch. A nonce is what
    /// lets a verifier tell a replay.
    pub fn sign(&self, message: &Message<'_>, created: u64, nonce: Option<&str>) -> Result<Signed, SignError> {
        // An absent query is signed as an empty one (RFC 9421 2.2.7).
        let query = format!("?{}", message.query.unwrap_or_default());
        let mut components = vec![
            ("@method", message.method),
            ("@authority", message.authority),
            ("@path", message.path),
            ("@query", query.as_str()),
        ];
        components.extend_from_slice(message.fields);
        let mut params = self.params(&components, created)?;
        params.set_alg(&AlgorithmName::HmacSha256);
        if let Some(nonce) = nonce {
            params.set_nonce(nonce);
        }
        self.sign_all(&components, &params, LABEL)
    }

    fn params(&self, components: &[(&str, &str)], created: u64) -> Result<HttpSignatureParams, SignError> {
        let ids: Result<Vec<_>, _> =
            components.iter().map(|(name, _)| HttpMessageComponentId::try_from(*name)).collect();
        let mut params = HttpSignatureParams::try_new(&ids?)?;
        params.set_created(created).set_keyid(&self.key_id);
        Ok(params)
    }

    fn sign_all(
        &self,
        components: &[(&str, &str)],
        params: &HttpSignatureParams,
        label: &str,
    ) -> Result<Signed, SignError> {
        let lines: Result<Vec<_>, _> = params
            .covered_components
            .iter()
            .zip(components)
            .map(|(id, (_, value))| HttpMessageComponent::try_from((id, [(*value).to_owned()].as_slice())))
            .collect();
        let base = HttpSignatureBase::try_new(&lines?, params)?;
        let headers = base.build_signature_headers(&self.key, Some(label))?;
        Ok(Signed {
            signature_input: headers.signature_input_header_value(),
            signature: headers.signature_header_value(),
        })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// `Content-Digest` of a body, by sha-256 (RFC 9530).
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9421 B.2.5, "Signing a Request Using hmac-sha256".
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        const KEY: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let signer = Signer::new("test-shared-secret", &STANDARD.decode(KEY).expect("base64"));
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
        ];
        let params = signer.params(&components, 1_618_884_473).expect("sound");
        let signed = signer.sign_all(&components, &params, "sig-b25").expect("signs");
        assert_eq!(
            signed.signature_input,
            r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#
        );
        assert_eq!(signed.signature, "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    }

    /// RFC 9530, appendix D (the representation of `{"hello": "world"}` with a line break).
    #[test]
    fn a_digest_is_the_one_of_the_specification() {
        assert_eq!(
            content_digest(b"{\"hello\": \"world\"}\n"),
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
        );
    }

    #[test]
    fn every_part_counts() {
        let signer = Signer::new("k", &[7; 32]);
        let fields = [("content-digest", "sha-256=:x:"), ("x-tenant-id", "t1")];
        let message =
            Message { method: "POST", authority: "h:81", path: "/v1/mint", query: Some("a=b"), fields: &fields };
        let signed = signer.sign(&message, 1, Some("n")).expect("signs");
        assert_eq!(
            signed.signature_input,
            "usher=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"x-tenant-id\")\
             ;created=1;nonce=\"n\";alg=\"hmac-sha256\";keyid=\"k\""
        );
        let others = [
            signer.sign(&Message { method: "PUT", ..message }, 1, Some("n")),
            signer.sign(&Message { authority: "h", ..message }, 1, Some("n")),
            signer.sign(&Message { path: "/v1/burn", ..message }, 1, Some("n")),
            signer.sign(&Message { query: None, ..message }, 1, Some("n")),
            signer.sign(&Message { fields: &fields[..1], ..message }, 1, Some("n")),
            signer.sign(&message, 2, Some("n")),
            signer.sign(&message, 1, Some("m")),
            signer.sign(&message, 1, None),
            Signer::new("k", &[8; 32]).sign(&message, 1, Some("n")),
        ];
        for other in others {
            assert_ne!(other.expect("signs").signature, signed.signature);
        }
        assert_eq!(signer.sign(&message, 1, Some("n")).expect("signs"), signed);
        assert_eq!(format!("{signer:?}"), "Signer { key_id: \"k\", .. }");
    }
}
