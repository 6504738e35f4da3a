use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret and where it came from: `{ env = "NAME" }` or `{ file = "path" }`. It prints as its source.
#[derive(Clone, Debug)]
pub struct Secret {
    source: Source,
    value: SecretString,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Source {
    Env(String),
    File(PathBuf),
}

impl Secret {
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let source = Source::deserialize(d)?;
        let value = match &source {
            Source::Env(name) => {
                std::env::var(name).map_err(|_| D::Error::custom(format!("environment variable {name} is not set")))?
            }
            Source::File(path) => std::fs::read_to_string(path)
                .map_err(|e| D::Error::custom(format!("cannot read secret file {}: {e}", path.display())))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        };
        Ok(Self { source, value: value.into() })
    }
}
