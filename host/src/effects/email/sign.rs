use lettre::{
    Message,
    message::{
        dkim::{DkimCanonicalization, DkimCanonicalizationType as Form, DkimConfig},
        header::HeaderName,
    },
};

use crate::config::Dkim;

/// lettre signs each name once, and finds only what stands in the message's own headers: Content-Type and
/// Content-Transfer-Encoding are the body's to it, and a signature that named them would not verify. Those that a mail
/// of ours does not have are named, too, so that nobody can add one.
const SIGNED: [&str; 9] =
    ["From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted"];

/// Signs the mails of one profile (RFC 6376).
pub(super) struct Signer {
    relaxed: DkimConfig,
    /// lettre's relaxed form of a body of nothing but line breaks is not what RFC 6376 says; its simple one is.
    blank: DkimConfig,
}

impl Signer {
    pub fn new(dkim: &Dkim) -> Result<Self, String> {
        let config = |body| {
            let key = dkim.signing_key().map_err(|e| format!("dkim.key: {e}"))?;
            let headers = SIGNED.map(HeaderName::new_from_ascii_str).to_vec();
            let form = DkimCanonicalization { header: Form::Relaxed, body };
            Ok::<_, String>(DkimConfig::new(dkim.selector.clone(), dkim.domain.clone(), key, headers, form))
        };
        Ok(Self { relaxed: config(Form::Relaxed)?, blank: config(Form::Simple)? })
    }

    pub fn sign(&self, message: &mut Message, blank: bool) {
        message.sign(if blank { &self.blank } else { &self.relaxed });
    }
}
