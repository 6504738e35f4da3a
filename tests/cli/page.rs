//! docs/cli.md, held against the binary, and what completes its commands.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use crate::support::{scratch, usher};

/// All commands that have none below them, and those that do something by themselves, with their help.
fn commands(path: &[String], found: &mut BTreeMap<String, String>) {
    let output = usher().args(path).arg("--help").output().unwrap();
    assert!(output.status.success(), "{path:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A long text of a command goes on below its name.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap();
    let acts = names.is_empty() || !usage.contains("COMMAND");
    if acts {
        found.insert(path.join(" "), help.clone());
    }
    for name in names {
        commands(&[path, &[name.to_owned()]].concat(), found);
    }
}

#[test]
fn the_page_of_the_command_line_names_what_there_is() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let page = fs::read_to_string(page).unwrap();
    let mut there = BTreeMap::new();
    commands(&[], &mut there);
    assert!(there.len() > 25 && there.contains_key("jobs submit"), "{:?}", there.keys());
    // | `usher jobs list` | … |
    let section = page.lines().skip_while(|line| *line != "## Commands").skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| `usher "));
    let mut named = BTreeMap::new();
    for row in rows {
        let (name, rest) = row.split_once('`').unwrap();
        assert!(named.insert(name.to_owned(), rest.to_owned()).is_none(), "{name} is there twice");
    }
    let missing: Vec<_> = there.keys().filter(|name| !named.contains_key(*name)).collect();
    assert!(missing.is_empty(), "docs/cli.md does not name {missing:?}");
    let gone: Vec<_> = named.keys().filter(|name| !there.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/cli.md names what is not there: {gone:?}");
    // What a row says of an option is so.
    for (name, rest) in &named {
        for option in rest.split('`').skip(1).step_by(2).flat_map(str::split_whitespace) {
            let option = option.split(['=', '[', '\\']).next().unwrap_or_default();
            if option.starts_with("--") {
                assert!(there[name].contains(option), "{name} has no {option}");
            }
        }
    }
    // The codes that the page explains are all there are.
    let codes =
        page.lines().skip_while(|line| *line != "## Exit codes").skip(1).take_while(|line| !line.starts_with("## "));
    let codes: Vec<_> =
        codes.filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok()).collect();
    assert_eq!(codes, [0, 1, 2, 3]);
}

#[test]
fn shells_are_told_how_to_complete() {
    let dir = scratch("completions");
    for (shell, parts, check) in [
        ("bash", ["complete -F _usher", "jobs", "--payload"], ["bash", "-n"]),
        ("zsh", ["#compdef usher", "jobs", "--payload"], ["zsh", "-n"]),
        ("fish", ["complete -c usher", "jobs", "payload"], ["fish", "--no-execute"]),
    ] {
        let output = usher().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        for part in parts {
            assert!(script.contains(part), "{shell}: {part}");
        }
        let file = dir.join(shell);
        fs::write(&file, &script).unwrap();
        // Only bash is everywhere.
        match Command::new(check[0]).arg(check[1]).arg(&file).output() {
            Ok(checked) => assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr)),
            Err(error) => assert!(shell != "bash", "{error}"),
        }
    }
}
