use std::{
    fmt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

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

impl Secret {
    /// As `{ file = "path" }` would.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        Self::read(Source::File(path.to_owned()))
    }

    /// As `{ env = "NAME" }` would.
    pub fn from_env(name: &str) -> Result<Self, String> {
        Self::read(Source::Env(name.to_owned()))
    }

    /// One that opens nothing, where there has to be one and no provider is ever reached.
    pub fn stand_in(value: &str) -> Self {
        Self { source: Source::Env("STAND_IN".to_owned()), value: value.to_owned().into() }
    }

    fn read(source: Source) -> Result<Self, String> {
        let value = match &source {
            Source::Env(name) => std::env::var(name).map_err(|_| format!("environment variable {name} is not set"))?,
            Source::File(path) => std::fs::read_to_string(path)
                .map_err(|e| format!("cannot read secret file {}: {e}", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        };
        if value.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(Self { source, value: value.into() })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(SecretVisitor)
    }
}

/// Takes a table. Anything else is refused without repeating it: it may be the secret itself.
struct SecretVisitor;

const IN_CLEAR: &str = "a secret is not written here: say { env = \"NAME\" } or { file = \"path\" }";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        let source = Source::deserialize(MapAccessDeserializer::new(map))?;
        Secret::read(source).map_err(de::Error::custom)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(IN_CLEAR))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(de::Error::custom(IN_CLEAR))
    }
}
