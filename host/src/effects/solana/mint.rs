use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use solana_keypair::Keypair;

use crate::{config::Secret, ids::JobId};

/// The key pair of a mint: the same for the same key, job and label, on every host and every attempt, whatever the
/// generation. Since an account can be made only once, neither a crash nor two tries that both arrive can mint twice.
pub(super) fn keypair(key: &Secret, job: JobId, label: &str) -> Keypair {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(b"usher/solana/mint/");
    // Of a fixed length, so that it cannot run into the label.
    mac.update(job.0.as_bytes());
    mac.update(label.as_bytes());
    Keypair::new_from_array(mac.finalize().into_bytes().into())
}
