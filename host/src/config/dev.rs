use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngExt;

use super::{Algorithm, Config, Issuer, Secret};

/// The issuer that `--dev` makes; `usher token mint` finds its secret in the data folder.
pub const DEV_ISSUER: &str = "dev";

impl Config {
    /// Fills in what `--dev` promises: an issuer with a random secret of its own (0600), keys for webhooks and
    /// services (the same), a plugins folder, an artifact cache. What the file says stays.
    pub fn fill_dev(&mut self, data_dir: &Path) -> Result<(), String> {
        // Closed to readers, open to walk through: the server's own user lives in a folder below.
        make_dir(data_dir, 0o711)?;
        if self.auth.issuers.is_empty() {
            self.auth.issuers.push(dev_issuer(data_dir)?);
        }
        if self.webhooks.key.is_none() {
            self.webhooks.key = Some(dev_secret(&data_dir.join("dev-webhooks-key"))?);
        }
        if self.auth.services.key.is_none() {
            self.auth.services.key = Some(dev_secret(&data_dir.join("dev-services-key"))?);
        }
        let plugins = self.plugins.dir.get_or_insert_with(|| data_dir.join("plugins"));
        make_dir(plugins, 0o700)?;
        self.runtime.artifacts.get_or_insert_with(|| data_dir.join("artifacts"));
        Ok(())
    }
}

fn dev_issuer(data_dir: &Path) -> Result<Issuer, String> {
    Ok(Issuer {
        name: DEV_ISSUER.to_owned(),
        algorithm: Algorithm::HS256,
        secret: Some(dev_secret(&data_dir.join("dev-secret"))?),
        public_key: None,
        jwks: None,
        kid: None,
        iss: None,
        aud: None,
    })
}

/// Random, and the same at the next start.
fn dev_secret(path: &Path) -> Result<Secret, String> {
    // create_new: two hosts that start at once agree on one secret.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let bytes: [u8; 48] = rand::rng().random();
            file.write_all(URL_SAFE_NO_PAD.encode(bytes).as_bytes())
                .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(format!("cannot make {}: {error}", path.display())),
    }
    Secret::from_file(path)
}

/// Made with that mode where it is not there yet.
fn make_dir(dir: &Path, mode: u32) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(|e| format!("cannot make the folder {}: {e}", dir.display()))
}
