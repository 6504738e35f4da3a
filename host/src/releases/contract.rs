//! The contract as data: what it declares, for people ([`reference`]) and for telling whether it grew or broke.

use std::fmt::Write;

use wit_parser::{Docs, Function, InterfaceId, Resolve, Type, TypeDefKind, TypeId};

use super::world::WIT;

/// One interface of the contract.
pub struct Interface {
    pub name: String,
    pub docs: String,
    pub types: Vec<Item>,
    pub functions: Vec<Item>,
}

/// A type or a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    /// All of it but its docs, as WIT writes it.
    pub shape: String,
    pub docs: String,
    /// Fields of a record, cases of a variant or an enum.
    pub members: Vec<Member>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Empty for a case without a value.
    pub of: String,
    pub docs: String,
}

/// Reads a text of the contract.
pub fn read(wit: &str) -> Result<Vec<Interface>, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("usher.wit", wit).map_err(|e| format!("{e:#}"))?;
    let interfaces = resolve.packages[package].interfaces.clone();
    Ok(interfaces.into_iter().map(|(name, id)| interface(&resolve, name, id)).collect())
}

fn interface(resolve: &Resolve, name: String, id: InterfaceId) -> Interface {
    let interface = &resolve.interfaces[id];
    // What a `use` brings in is declared elsewhere.
    let own = |id: &TypeId| !matches!(resolve.types[*id].kind, TypeDefKind::Type(Type::Id(_)));
    Interface {
        name,
        docs: docs(&interface.docs),
        types: interface.types.values().filter(|id| own(id)).map(|id| declared(resolve, *id)).collect(),
        functions: interface.functions.values().map(|function| self::function(resolve, function)).collect(),
    }
}

fn function(resolve: &Resolve, function: &Function) -> Item {
    let params: Vec<_> =
        function.params.iter().map(|param| format!("{}: {}", param.name, type_name(resolve, param.ty))).collect();
    let result = function.result.map(|result| format!(" -> {}", type_name(resolve, result))).unwrap_or_default();
    Item {
        name: function.name.clone(),
        shape: format!("func({}){result}", params.join(", ")),
        docs: docs(&function.docs),
        members: Vec::new(),
    }
}

fn declared(resolve: &Resolve, id: TypeId) -> Item {
    let definition = &resolve.types[id];
    let optional = |ty: Option<Type>| ty.map(|ty| type_name(resolve, ty)).unwrap_or_default();
    let members: Vec<Member> = match &definition.kind {
        TypeDefKind::Record(record) => {
            let field = |f: &wit_parser::Field| Member {
                name: f.name.clone(),
                of: type_name(resolve, f.ty),
                docs: docs(&f.docs),
            };
            record.fields.iter().map(field).collect()
        }
        TypeDefKind::Variant(variant) => {
            let case = |c: &wit_parser::Case| Member { name: c.name.clone(), of: optional(c.ty), docs: docs(&c.docs) };
            variant.cases.iter().map(case).collect()
        }
        TypeDefKind::Enum(cases) => {
            let case =
                |c: &wit_parser::EnumCase| Member { name: c.name.clone(), of: String::new(), docs: docs(&c.docs) };
            cases.cases.iter().map(case).collect()
        }
        _ => Vec::new(),
    };
    let inside: Vec<_> = members
        .iter()
        .map(|member| match member.of.as_str() {
            "" => member.name.clone(),
            of => format!("{}: {of}", member.name),
        })
        .collect();
    let shape = if members.is_empty() {
        kind_name(resolve, &definition.kind)
    } else {
        format!("{} {{ {} }}", definition.kind.as_str(), inside.join(", "))
    };
    Item { name: definition.name.clone().unwrap_or_default(), shape, docs: docs(&definition.docs), members }
}

fn type_name(resolve: &Resolve, ty: Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[id] {
            definition if definition.name.is_some() => definition.name.clone().unwrap_or_default(),
            definition => kind_name(resolve, &definition.kind),
        },
        Type::String => "string".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn kind_name(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |ty: Type| type_name(resolve, ty);
    match kind {
        TypeDefKind::Option(inner) => format!("option<{}>", name(*inner)),
        TypeDefKind::List(inner) => format!("list<{}>", name(*inner)),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(|ty| name(*ty)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(result) => match (result.ok, result.err) {
            (Some(ok), Some(err)) => format!("result<{}, {}>", name(ok), name(err)),
            (None, Some(err)) => format!("result<_, {}>", name(err)),
            (Some(ok), None) => format!("result<{}>", name(ok)),
            (None, None) => "result".to_owned(),
        },
        TypeDefKind::Type(ty) => name(*ty),
        other => other.as_str().to_owned(),
    }
}

fn docs(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().replace('\n', " ")
}

/// `docs/reference.md`.
pub fn reference() -> Result<String, String> {
    let mut out = String::from(
        "# Reference of the contract\n\n\
         Made of [wit/usher.wit](../wit/usher.wit) by `usher plugin reference`; a test fails when it is stale. What each \
         promise is worth: [contract.md](contract.md). Limits, templates and errors: [plugin-authors.md](plugin-authors.md).\n",
    );
    for interface in read(WIT)? {
        let _ = write!(out, "\n## `{}`\n\n{}\n", interface.name, interface.docs);
        for function in &interface.functions {
            let Item { name, shape, docs, .. } = function;
            let _ = write!(out, "\n### `{name}: {shape}`\n\n{docs}\n");
        }
        for declared in &interface.types {
            let kind = declared.shape.split([' ', '<']).next().unwrap_or_default();
            let _ = write!(out, "\n### {kind} `{}`\n\n{}\n", declared.name, declared.docs);
            if declared.members.is_empty() {
                let _ = write!(out, "\n`{}`\n", declared.shape);
                continue;
            }
            out.push_str("\n| | | |\n|---|---|---|\n");
            for Member { name, of, docs } in &declared.members {
                let of = if of.is_empty() { String::new() } else { format!("`{of}`") };
                let _ = writeln!(out, "| `{name}` | {of} | {} |", docs.replace('|', "\\|"));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// `interface.name` to its shape.
    fn shapes(wit: &str) -> BTreeMap<String, String> {
        let interfaces = read(wit).expect("a WIT package");
        let item =
            |interface: &Interface, item: &Item| (format!("{}.{}", interface.name, item.name), item.shape.clone());
        interfaces.iter().flat_map(|i| i.types.iter().chain(&i.functions).map(move |it| item(i, it))).collect()
    }

    /// Each published version with its text.
    fn published() -> Vec<(String, String)> {
        let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compat");
        let entries = std::fs::read_dir(kept).expect("the folder of what is kept");
        let versions = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
        let wit = |version: std::path::PathBuf| {
            let wit = std::fs::read_to_string(version.join("usher.wit")).expect("the contract of that day");
            (version.display().to_string(), wit)
        };
        let published: Vec<_> = versions.map(wit).collect();
        assert!(!published.is_empty(), "0.1.0 is kept");
        published
    }

    #[test]
    fn what_was_published_is_there_still_and_unchanged() {
        let today = shapes(WIT);
        for (version, wit) in published() {
            let kept = shapes(&wit);
            assert!(kept.len() > 40, "{version}: {}", kept.len());
            for (name, shape) in kept {
                assert_eq!(
                    today.get(&name),
                    Some(&shape),
                    "{version}: {name}: track 0.1 is closed for what it has; see docs/contract.md"
                );
            }
        }
    }

    /// Of what the docs of a function or a field say: the units, the effect classes, and the errors.
    #[derive(Default)]
    struct Meaning {
        units: Vec<&'static str>,
        classes: Vec<&'static str>,
        errors: Vec<&'static str>,
    }

    fn meanings(wit: &str) -> BTreeMap<String, Meaning> {
        let mut all = BTreeMap::new();
        let units = |docs: &str| -> Vec<_> { UNITS.into_iter().filter(|unit| speaks_of(docs, &[*unit])).collect() };
        for interface in read(wit).expect("a WIT package") {
            for declared in &interface.types {
                for Member { name, docs, .. } in &declared.members {
                    let place = format!("{}.{}.{name}", interface.name, declared.name);
                    all.insert(place, Meaning { units: units(docs), ..Meaning::default() });
                }
            }
            for function in &interface.functions {
                let said = said(&interface, function);
                let named = |word: &&str| said.contains(&format!("`{word}`"));
                let meaning = Meaning {
                    units: units(&function.docs),
                    // Of what never gets into the journal it is said without quotes.
                    classes: CLASSES
                        .into_iter()
                        .filter(|class| named(class) || said.contains(&format!("class: {class}")))
                        .collect(),
                    errors: ERRORS.into_iter().filter(named).collect(),
                };
                all.insert(format!("{}.{}", interface.name, function.name), meaning);
            }
        }
        all
    }

    #[test]
    fn what_a_published_call_means_is_what_it_still_means() {
        let today = meanings(WIT);
        let mut classes = 0;
        for (version, wit) in published() {
            for (name, then) in meanings(&wit) {
                let now = today.get(&name).expect("it is there still");
                assert_eq!(now.classes, then.classes, "{version}: {name}: its effect class");
                // Words may be added where a version said less than it meant.
                assert!(then.units.iter().all(|unit| now.units.contains(unit)), "{version}: {name}: {:?}", then.units);
                assert!(
                    then.errors.iter().all(|case| now.errors.contains(case)),
                    "{version}: {name}: {:?}",
                    then.errors
                );
                classes += then.classes.len();
            }
        }
        assert!(classes > 10, "classes are known by their words: {classes}");
    }

    /// What a number counts, in words of its docs.
    const UNITS: [&str; 9] = [
        "milliseconds",
        "bytes",
        "bits",
        "smallest unit",
        "percent",
        "count",
        "number of",
        "status code",
        "reply code",
    ];
    /// How a call is repeated, as the journal says it, and of what never gets there.
    const CLASSES: [&str; 7] = ["read", "idempotent", "asked", "resend", "once", "none", "committed"];

    /// How a call may fail.
    const ERRORS: [&str; 6] = ["denied", "invalid", "rejected", "retry", "retry-after", "permanent"];

    /// Whole words: an account is no count.
    fn speaks_of(docs: &str, phrases: &[&str]) -> bool {
        let words: Vec<_> = docs.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let text = format!(" {} ", words.join(" ").to_lowercase());
        phrases.iter().any(|phrase| text.contains(&format!(" {phrase} ")))
    }

    /// Bytes in a list say their unit by their type.
    fn is_number(of: &str) -> bool {
        let of = of.strip_prefix("option<").and_then(|of| of.strip_suffix('>')).unwrap_or(of);
        of.strip_prefix('u').is_some_and(|width| width.parse::<u8>().is_ok())
    }

    /// Names and types of a function's parameters, and its result, from its shape.
    fn signature(function: &Item) -> (Vec<(&str, &str)>, &str) {
        let inside = function.shape.strip_prefix("func(").expect("a function");
        let (params, result) = inside.split_once(')').expect("a closed list");
        let params = params.split(", ").filter_map(|param| param.split_once(": ")).collect();
        (params, result.strip_prefix(" -> ").unwrap_or_default())
    }

    /// What a function's docs say, with those that it points to.
    fn said(interface: &Interface, function: &Item) -> String {
        let mut said = format!("{} {}", interface.docs, function.docs);
        for other in &interface.functions {
            if function.docs.contains(&format!("Errors as for `{}`", other.name)) {
                said.push_str(&other.docs);
            }
        }
        said
    }

    #[test]
    fn everything_says_what_it_is() {
        for interface in read(WIT).expect("a WIT package") {
            assert!(!interface.docs.is_empty(), "{}", interface.name);
            for item in interface.types.iter().chain(&interface.functions) {
                assert!(!item.docs.is_empty(), "{}.{}", interface.name, item.name);
            }
            // What is exported is no call of the host.
            if interface.name == "handler" {
                continue;
            }
            for function in &interface.functions {
                let said = said(&interface, function);
                let (_, class) = said.split_once("class").unwrap_or_default();
                assert!(speaks_of(class, &CLASSES), "{}.{}: its effect class", interface.name, function.name);
            }
        }
    }

    #[test]
    fn each_number_says_its_unit_and_each_field_what_it_is() {
        let mut numbers = 0;
        for interface in read(WIT).expect("a WIT package") {
            for declared in interface.types.iter().filter(|declared| declared.shape.starts_with("record")) {
                for member in &declared.members {
                    let place = format!("{}.{}.{}", interface.name, declared.name, member.name);
                    assert!(!member.docs.is_empty(), "{place}");
                    if is_number(&member.of) {
                        numbers += 1;
                        assert!(speaks_of(&member.docs, &UNITS), "{place}: its unit: {}", member.docs);
                    }
                }
            }
            for function in &interface.functions {
                let (params, result) = signature(function);
                let place = format!("{}.{}", interface.name, function.name);
                for (name, _) in params.iter().filter(|(_, of)| is_number(of)) {
                    numbers += 1;
                    let is_named = function.docs.contains(&format!("`{name}`"));
                    assert!(is_named && speaks_of(&function.docs, &UNITS), "{place}: {name} and its unit");
                }
                if is_number(result) {
                    numbers += 1;
                    assert!(speaks_of(&function.docs, &UNITS), "{place}: the unit of its result");
                }
            }
        }
        assert!(numbers > 15, "numbers are known by their type: {numbers}");
    }

    #[test]
    fn each_function_that_can_fail_names_its_errors() {
        let interfaces = read(WIT).expect("a WIT package");
        let types = interfaces.iter().find(|interface| interface.name == "types").expect("what all share");
        let mut failing = 0;
        for interface in &interfaces {
            for function in &interface.functions {
                let (_, result) = signature(function);
                let Some((_, error)) = result.strip_suffix('>').and_then(|result| result.rsplit_once(", ")) else {
                    assert!(!result.starts_with("result"), "{}.{}: {result}", interface.name, function.name);
                    continue;
                };
                failing += 1;
                let error = types.types.iter().find(|declared| declared.name == error).expect("a shared error");
                let said = said(interface, function);
                // Where nothing leaves before the job's success there is nobody who could say no.
                let is_committed = ["jobs", "webhook"].contains(&interface.name.as_str());
                for case in error.members.iter().filter(|case| !(is_committed && case.name == "rejected")) {
                    assert!(
                        said.contains(&format!("`{}`", case.name)),
                        "{}.{}: when is it {}?",
                        interface.name,
                        function.name,
                        case.name
                    );
                }
            }
        }
        assert!(failing > 10, "{failing}");
    }

    #[test]
    fn the_reference_is_fresh() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
        let there = std::fs::read_to_string(file).unwrap_or_default();
        assert!(there == reference().expect("the contract"), "stale: usher plugin reference > docs/reference.md");
    }
}
