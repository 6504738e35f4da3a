//! The types of the JS SDK are kept by hand: they name what the contract names.

use std::collections::BTreeSet;

const WIT: &str = include_str!("../../wit/usher.wit");
const TYPES: &str = include_str!("../../plugins/sdk-js/contract.d.ts");

/// `delay-ms` is `delayMs`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &word[..1].to_uppercase() + &word[1..])
}

/// Every name with a colon behind it: functions, parameters, fields.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let before_colons = code.match_indices(':').map(|(at, _)| &code[..at]);
    let names = before_colons.map(|before| before.rsplit(|c| !is_name(c)).next().unwrap_or_default().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_types_for_typescript_name_all_that_the_contract_has() {
    let mut interfaces = 0;
    for part in WIT.split("\ninterface ").skip(1) {
        let (name, body) = part.split_once(" {").unwrap();
        let body = body.split("\n}").next().unwrap();
        // What a plugin exports is no module to import.
        if name == "handler" {
            continue;
        }
        let module = TYPES.split(&format!("declare module 'usher:plugin/{name}@0.1.0'")).nth(1);
        let module = module.unwrap_or_else(|| panic!("no module for {name}")).split("declare module").next().unwrap();
        for wanted in named(body) {
            let wanted = camel(&wanted);
            let there = [":", "("].iter().any(|end| module.contains(&format!("{wanted}{end}")));
            assert!(there, "usher:plugin/{name} has {wanted}, contract.d.ts has not");
        }
        interfaces += 1;
    }
    assert_eq!(interfaces, 12, "a new interface needs its module");
}
