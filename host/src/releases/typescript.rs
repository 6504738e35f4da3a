//! The contract as TypeScript declares it for a plugin, as componentize-qjs shows it: `plugins/sdk-js/contract.d.ts`.

use std::fmt::Write;

use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind};

use super::world::WIT;

const HEAD: &str = "\
// The contract as componentize-qjs shows it. Made of wit/usher.wit by `usher plugin reference --types`; a test fails when it is stale.
//
// A function whose result is a `result` returns the value or throws an Error with the WIT error as its `payload`; an `option` is null
// where there is nothing; a u64 is a number, exact up to 2^53.
";

/// What is called otherwise here, since the language has something of that name, or the SDK.
const NAMES: [(&str, &str); 2] = [("error", "HostError"), ("rejection", "Rejected")];

/// One module for each interface that a plugin may import.
pub fn declarations() -> Result<String, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("usher.wit", WIT).map_err(|e| format!("{e:#}"))?;
    let package = &resolve.packages[package];
    let version = package.name.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let mut out = HEAD.to_owned();
    for (name, id) in &package.interfaces {
        // What a plugin exports is no module to import.
        if name == "handler" {
            continue;
        }
        let interface = &resolve.interfaces[*id];
        out.push('\n');
        comment(&mut out, "", &interface.docs);
        let _ = writeln!(out, "declare module 'usher:plugin/{name}{version}' {{");
        out.push_str(&module(&resolve, interface, &version));
        out.push_str("}\n");
    }
    Ok(out)
}

fn module(resolve: &Resolve, interface: &Interface, version: &str) -> String {
    let mut body = String::new();
    let mut used = Vec::new();
    for (name, id) in &interface.types {
        let definition = &resolve.types[*id];
        match &definition.kind {
            // By `use`, and all that is used is declared in `types`.
            TypeDefKind::Type(Type::Id(_)) => used.push(type_name(name)),
            _ => declared(resolve, &type_name(name), definition, &mut body),
        }
    }
    for function in interface.functions.values() {
        comment(&mut body, "  ", &function.docs);
        let param = |param: &wit_parser::Param| format!("{}: {}", camel(&param.name), of(resolve, param.ty));
        let params: Vec<_> = function.params.iter().map(param).collect();
        let (name, returned) = (camel(&function.name), returned(resolve, function));
        let _ = writeln!(body, "  export function {name}({}): {returned};", params.join(", "));
    }
    // Errors are thrown, and stand nowhere.
    used.retain(|name| body.contains(name.as_str()));
    if !used.is_empty() {
        let names = used.join(", ");
        body.insert_str(0, &format!("  import type {{ {names} }} from 'usher:plugin/types{version}';\n"));
    }
    body
}

fn declared(resolve: &Resolve, name: &str, definition: &TypeDef, out: &mut String) {
    comment(out, "  ", &definition.docs);
    let cases: Vec<(&Docs, String)> = match &definition.kind {
        TypeDefKind::Record(record) => {
            let _ = writeln!(out, "  export interface {name} {{");
            for field in &record.fields {
                comment(out, "    ", &field.docs);
                let _ = writeln!(out, "    {}: {};", camel(&field.name), of(resolve, field.ty));
            }
            out.push_str("  }\n");
            return;
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| match case.ty {
                Some(ty) => format!("{{ tag: '{}'; val: {} }}", case.name, of(resolve, ty)),
                None => format!("{{ tag: '{}' }}", case.name),
            };
            variant.cases.iter().map(|c| (&c.docs, case(c))).collect()
        }
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|c| (&c.docs, format!("'{}'", c.name))).collect(),
        kind => {
            let _ = writeln!(out, "  export type {name} = {};", shape(resolve, kind));
            return;
        }
    };
    let _ = write!(out, "  export type {name} =");
    for (docs, case) in cases {
        out.push('\n');
        comment(out, "    ", docs);
        let _ = write!(out, "    | {case}");
    }
    out.push_str(";\n");
}

fn returned(resolve: &Resolve, function: &Function) -> String {
    let Some(result) = function.result else { return "void".to_owned() };
    let Type::Id(id) = result else { return of(resolve, result) };
    match &resolve.types[id].kind {
        TypeDefKind::Result(result) => result.ok.map_or_else(|| "void".to_owned(), |ok| of(resolve, ok)),
        _ => of(resolve, result),
    }
}

fn of(resolve: &Resolve, ty: Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::String | Type::Char => "string".to_owned(),
        Type::Id(id) => match &resolve.types[id] {
            TypeDef { name: Some(name), .. } => type_name(name),
            definition => shape(resolve, &definition.kind),
        },
        _ => "number".to_owned(),
    }
}

fn shape(resolve: &Resolve, kind: &TypeDefKind) -> String {
    match kind {
        TypeDefKind::Option(inner) => format!("{} | null", of(resolve, *inner)),
        TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
        TypeDefKind::List(inner) => match of(resolve, *inner) {
            inner if inner.contains('|') => format!("({inner})[]"),
            inner => format!("{inner}[]"),
        },
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<_> = tuple.types.iter().map(|ty| of(resolve, *ty)).collect();
            format!("[{}]", types.join(", "))
        }
        TypeDefKind::Type(ty) => of(resolve, *ty),
        // The contract has none of these.
        _ => "unknown".to_owned(),
    }
}

fn comment(out: &mut String, indent: &str, docs: &Docs) {
    let text = docs.contents.as_deref().unwrap_or_default().trim();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    match lines.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(out, "{indent}/** {one} */");
        }
        lines => {
            let _ = writeln!(out, "{indent}/**");
            for line in lines {
                let _ = writeln!(out, "{indent} * {line}");
            }
            let _ = writeln!(out, "{indent} */");
        }
    }
}

/// `delay-ms` is `delayMs`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &capital(word))
}

/// `new-job` is `NewJob`.
fn type_name(name: &str) -> String {
    match NAMES.iter().find(|(there, _)| *there == name) {
        Some((_, here)) => (*here).to_owned(),
        None => name.split('-').map(capital).collect(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_language() {
        assert_eq!((camel("delay-ms"), camel("call")), ("delayMs".to_owned(), "call".to_owned()));
        assert_eq!((type_name("new-job"), type_name("error")), ("NewJob".to_owned(), "HostError".to_owned()));
    }

    #[test]
    fn the_types_of_the_sdk_are_the_contracts() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk-js/contract.d.ts");
        let there = std::fs::read_to_string(file).unwrap_or_default();
        let fresh = declarations().expect("the contract");
        assert!(!fresh.contains("unknown"), "a type that is not known here");
        assert!(there == fresh, "stale: usher plugin reference --types > plugins/sdk-js/contract.d.ts");
    }
}
