use std::collections::BTreeMap;

use serde::Deserialize;

/// How names and fields of the old service are read; `map.toml` changes what it names.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Map {
    /// Fields of the old payload that may hold the tenant; the first one that is there does.
    pub tenant: Vec<String>,
    /// Fields of the old payload that may hold the job type, where the old queue's name is no type.
    #[serde(rename = "type")]
    pub type_in: Vec<String>,
    /// A field that holds the payload itself, where nothing but envelope stands beside it.
    pub payload: String,
    /// Fields that the old service put around a payload. They are left out where the new schema neither names them nor allows
    /// more than it names.
    pub envelope: Vec<String>,
    /// Old queue name to new; what is not named loses its `-queue`.
    pub queues: BTreeMap<String, String>,
    /// Old job type to new; what is not named keeps its name.
    pub types: BTreeMap<String, String>,
    /// By new job type.
    pub fields: BTreeMap<String, Fields>,
}

/// What becomes of the fields of a payload.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    pub drop: Vec<String>,
    /// Old name to new.
    pub rename: BTreeMap<String, String>,
}

impl Default for Map {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            tenant: names(&["tenantId"]),
            type_in: names(&["type", "jobType"]),
            payload: "data".to_owned(),
            envelope: names(&[
                "type",
                "jobType",
                "tenantId",
                "userId",
                "addedAt",
                "batchId",
                "batchIndex",
                "options",
                "submittedBy",
            ]),
            queues: BTreeMap::new(),
            types: BTreeMap::new(),
            fields: BTreeMap::new(),
        }
    }
}

impl Map {
    /// Of TOML, or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// What the queue is called here; `None`: the old name is no queue's.
    pub fn queue(&self, old: &str) -> Option<String> {
        let stripped = || old.strip_suffix("-queue").filter(|name| !name.is_empty()).map(str::to_owned);
        self.queues.get(old).cloned().or_else(stripped)
    }

    pub fn job_type(&self, old: &str) -> String {
        self.types.get(old).cloned().unwrap_or_else(|| old.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mapped_and_what_is_not_named_stays() {
        let map = Map::parse("[queues]\npay = \"money\"\n[types]\n\"email.send\" = \"send-email\"").expect("a map");
        assert_eq!(map.queue("pay").as_deref(), Some("money"));
        assert_eq!(map.queue("money-queue").as_deref(), Some("money"));
        assert_eq!(map.queue("nft-mint"), None);
        assert_eq!((map.job_type("email.send"), map.job_type("nft-mint")), ("send-email".into(), "nft-mint".into()));
        assert_eq!(map.tenant, ["tenantId"]);
        assert!(Map::parse("tenants = []").is_err());
    }
}
