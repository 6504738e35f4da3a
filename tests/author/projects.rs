//! `usher plugin new`, `build`, `check` and `test` in a project: in each language, and with faults.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{builder, project, project_in, text};
use crate::support::env;

#[test]
fn a_project_is_made_built_and_tested_outside_of_this_repository() {
    let dir = project("author-made");
    let built = builder(&dir).args(["plugin", "build"]).output().unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let checked = builder(&dir).args(["plugin", "check", "target/author-made.wasm"]).output().unwrap();
    let said = text(&checked);
    assert!(
        said.contains("usher:plugin/email@0.1.0") && !said.contains("usher:plugin/stripe"),
        "only what it calls: {said}"
    );
    let tested = builder(&dir).args(["plugin", "test"]).output().unwrap();
    assert!(tested.status.success() && text(&tested).contains("ok   welcome"), "{}", text(&tested));
    // A second one beside it is refused, and nothing is overwritten.
    let again = builder(dir.parent().unwrap()).args(["plugin", "new", "author-made"]).output().unwrap();
    assert!(again.status.code() == Some(2) && text(&again).contains("is there already"), "{}", text(&again));
    for wrong in ["Upper", "-x", "x-", "a/b", "", "1st"] {
        let refused = builder(&dir).args(["plugin", "new", "--", wrong]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{wrong}: {}", text(&refused));
    }
}

#[test]
fn a_project_in_typescript_or_javascript_is_made_built_and_tested() {
    let dir = project_in("ts", "author-script");
    let run = |args: &[&str]| builder(&dir).args(["plugin"]).args(args).output().unwrap();
    let bare = run(&["build"]);
    let said = text(&bare);
    assert!(bare.status.code() == Some(2) && said.contains("node_modules/.bin/tsc: run `npm ci`"), "{said}");
    symlink(Path::new(&env("USHER_TEST_JS")).join("node_modules"), dir.join("node_modules")).unwrap();
    let tested = run(&["test"]);
    let said = text(&tested);
    assert!(tested.status.success() && said.contains("ok   welcome (1 effect, 2 crash points)"), "{said}");
    let said = text(&run(&["check", "target/author-script.wasm"]));
    assert!(
        said.contains("usher:plugin/email@0.1.0") && !said.contains("usher:plugin/stripe"),
        "its own world: {said}"
    );
    // The SDK is that of this binary, and can be had again.
    fs::write(dir.join("vendor/usher/usher.ts"), "").unwrap();
    let renewed = run(&["new", "--sdk"]);
    assert!(renewed.status.success() && text(&renewed).contains("vendor/usher"), "{}", text(&renewed));

    let code = fs::read_to_string(dir.join("src/plugin.ts")).unwrap();
    fs::write(dir.join("src/plugin.ts"), code.replace("to: [email]", "to: email")).unwrap();
    let wrong = run(&["build"]);
    let said = text(&wrong);
    assert!(wrong.status.code() == Some(1) && said.contains("src/plugin.ts("), "the compiler's own words: {said}");
    fs::write(dir.join("src/plugin.ts"), &code).unwrap();
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    fs::write(dir.join("plugin.toml"), manifest.replace("email = [\"default\"]", "")).unwrap();
    let wrong = run(&["build"]);
    let said = text(&wrong);
    assert!(!wrong.status.success() && said.contains("usher:plugin/email@0.1.0"), "not granted, and named: {said}");
    fs::write(dir.join("plugin.toml"), manifest).unwrap();

    fs::remove_file(dir.join("src/plugin.ts")).unwrap();
    let script = "import { send } from 'usher:plugin/email@0.1.0';
        import { plugin } from '../vendor/usher/usher.js';
        export const handler = plugin(({ name, email }) => send({
          profile: 'default', to: [email], subject: 'Welcome', text: `Hello, ${name}.`, html: null, replyTo: null, attachments: [],
        }));";
    fs::write(dir.join("src/plugin.js"), script).unwrap();
    let tested = run(&["test"]);
    assert!(tested.status.success() && text(&tested).contains("ok   welcome"), "JavaScript: {}", text(&tested));
}

#[test]
fn a_project_in_python_is_made_built_and_tested() {
    let dir = project_in("py", "author-snake");
    let run = |args: &[&str]| builder(&dir).args(["plugin"]).args(args).env_remove("VIRTUAL_ENV").output().unwrap();
    let bare = run(&["build"]);
    let said = text(&bare);
    assert!(bare.status.code() == Some(2) && said.contains(".venv/bin/pip install -r requirements.txt"), "{said}");
    symlink(env("USHER_TEST_PY"), dir.join(".venv")).unwrap();
    let tested = run(&["test"]);
    let said = text(&tested);
    assert!(tested.status.success() && said.contains("ok   welcome (1 effect, 2 crash points)"), "{said}");
}

#[test]
fn a_project_without_code_is_told_what_code_would_be() {
    let dir = project("author-empty");
    fs::remove_file(dir.join("Cargo.toml")).unwrap();
    let built = builder(&dir).args(["plugin", "build"]).output().unwrap();
    let said = text(&built);
    assert!(built.status.code() == Some(2) && said.contains("src/plugin.ts") && said.contains("src/app.py"), "{said}");
}

#[test]
fn a_fault_of_the_project_is_told_with_its_line_or_the_import() {
    let dir = project("author-faulty");
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    let build = |from: &str, to: &str| {
        let changed = manifest.replace(from, to);
        assert_ne!(changed, manifest);
        fs::write(dir.join("plugin.toml"), changed).unwrap();
        let built = builder(&dir).args(["plugin", "build"]).output().unwrap();
        assert_eq!(built.status.code(), Some(2), "{}", text(&built));
        text(&built)
    };
    let said = build("email = [\"default\"]", "");
    assert!(
        said.contains("plugin.toml:5: the code calls usher:plugin/email@0.1.0, but [grants] has no email"),
        "{said}"
    );
    let said = build("{email}", "{e mail}");
    assert!(said.contains("line 12: job.0.idempotency.key (author-faulty)"), "{said}");
    let said = build("queue = ", "quue = ");
    assert!(said.contains("line 10"), "{said}");
    let said = build("schema.json", "shema.json");
    assert!(said.contains("shema.json"), "{said}");
    fs::write(dir.join("plugin.toml"), &manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), "fn process(").unwrap();
    let built = builder(&dir).args(["plugin", "build"]).output().unwrap();
    let said = text(&built);
    assert!(built.status.code() == Some(1) && said.contains("src/lib.rs"), "rustc's own words: {said}");
}
