use crate::config::GrantSet;

/// The contract, as this host serves it.
pub const WIT: &str = include_str!("../../../wit/usher.wit");

/// The interfaces of the contract that need no grant.
pub const FREE: [&str; 4] = ["types", "context", "log", "progress"];

/// What a plugin with these grants may import, by interface.
pub fn interfaces(grants: &GrantSet) -> Vec<&'static str> {
    let asked = [
        ("jobs", &grants.jobs),
        ("webhook", &grants.webhook),
        ("stripe", &grants.stripe),
        ("solana", &grants.solana),
        ("email", &grants.email),
        ("sms", &grants.sms),
        ("push", &grants.push),
        ("upstream", &grants.upstream),
    ];
    FREE.into_iter().chain(asked.into_iter().filter(|(_, names)| !names.is_empty()).map(|(name, _)| name)).collect()
}

/// The contract with one more world, `plugin`, that holds what these grants allow and nothing else. For toolchains that import
/// the whole of the world that they are given.
pub fn package(grants: &GrantSet) -> String {
    let mut text = WIT.trim_end().to_owned();
    text.push_str("\n\n/// What this plugin's manifest asks for.\nworld plugin {\n");
    for interface in interfaces(grants).into_iter().filter(|interface| *interface != "types") {
        text.push_str(&format!("  import {interface};\n"));
    }
    text.push_str("  export handler;\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use wit_parser::{Resolve, WorldKey};

    use super::*;

    fn imports(grants: &GrantSet) -> Vec<String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("usher.wit", &package(grants)).expect("a WIT package");
        let world = resolve.select_world(&[package], Some("plugin")).expect("the world");
        let name = |key: &WorldKey| resolve.name_world_key(key);
        resolve.worlds[world].imports.keys().map(name).collect()
    }

    #[test]
    fn a_world_of_its_own_holds_what_was_granted_and_nothing_else() {
        let grants = GrantSet { email: vec!["default".to_owned()], ..GrantSet::default() };
        let named = |names: &[&str]| -> Vec<String> {
            let mut all: Vec<_> = names.iter().map(|name| format!("usher:plugin/{name}@0.1.0")).collect();
            all.sort();
            all
        };
        let mut got = imports(&grants);
        got.sort();
        assert_eq!(got, named(&["context", "email", "log", "progress", "types"]));
        let mut got = imports(&GrantSet::default());
        got.retain(|name| !name.contains("/types@"));
        got.sort();
        assert_eq!(got, named(&["context", "log", "progress"]));
    }

    #[test]
    fn every_interface_of_the_contract_is_free_or_needs_a_grant() {
        let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let some = all(&["x"]);
        let everything = GrantSet {
            email: some.clone(),
            sms: some.clone(),
            push: some.clone(),
            upstream: some.clone(),
            jobs: some.clone(),
            webhook: some.clone(),
            stripe: some.clone(),
            solana: some,
        };
        let mut resolve = Resolve::default();
        let package = resolve.push_str("usher.wit", WIT).expect("a WIT package");
        let mut declared: Vec<_> = resolve.packages[package].interfaces.keys().cloned().collect();
        declared.retain(|name| name != "handler");
        let mut known = all(&interfaces(&everything));
        declared.sort();
        known.sort();
        assert_eq!(declared, known);
    }
}
