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

#[cfg(test)]
mod tests {
    use solana_keypair::Signer;

    use super::*;

    #[test]
    fn a_mint_is_the_same_for_ever_and_another_for_each_job_and_label() {
        let dir = std::env::temp_dir().join(format!("usher-mint-key-{}", uuid::Uuid::new_v4()));
        std::fs::write(&dir, "a mint key of the unit tests, long enough").expect("written");
        let key = Secret::from_file(&dir).expect("a secret");
        let _ = std::fs::remove_file(&dir);
        let job = JobId(uuid::uuid!("01890a5d-ac96-774b-bcce-b302099a8057"));
        let of = |job, label| keypair(&key, job, label).pubkey().to_string();
        // Mints that are on the chain depend on it.
        assert_eq!(of(job, "seat-1"), "FIXED");
        assert_ne!(of(job, "seat-1"), of(job, "seat-2"));
        assert_ne!(of(job, "seat-1"), of(JobId::new(), "seat-1"));
    }
}
