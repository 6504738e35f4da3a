//! What the author of a plugin has: a project from nothing, cases that are crashed at every effect, one job on the table.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    Db, Host, HostOptions, PASSWORD, SECRET, Sink, component, env, eventually, host::POLICY, message_id, scratch,
    usher, within,
};

/// Longer than building a plugin with its dependencies takes on a busy machine.
const BUILD: Duration = Duration::from_secs(300);

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Plays cases with a component: the exit code, and the report.
fn play(file: &str, cases: &[(&str, Value)]) -> (i32, Value) {
    let dir = scratch("cases");
    for (name, case) in cases {
        fs::write(dir.join(format!("{name}.json")), case.to_string()).unwrap();
    }
    play_in(&component(file), &dir, &[])
}

pub fn play_in(component: &Path, cases: &Path, args: &[&str]) -> (i32, Value) {
    let output = usher()
        .args(["plugin", "test", "--json"])
        .args(args)
        .arg(component)
        .arg("--cases")
        .arg(cases)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::String(text(&output)));
    (output.status.code().unwrap(), report)
}

fn findings(report: &Value) -> Vec<&str> {
    report["cases"][0]["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .map(|f| f.as_str().unwrap())
        .collect()
}

fn sent(n: u32) -> Value {
    json!({"ok": {"messageId": format!("<{n}@example.com>")}})
}

#[test]
fn a_case_is_played_with_its_answers_and_crashed_at_every_effect() {
    let case = json!({
        "type": "guest-mail",
        "payload": {"do": "two-mails", "to": "ada@example.com"},
        "answers": [sent(1), sent(2)],
        "expect": {
            "end": {"completed": [{"messageId": "<1@example.com>"}, {"messageId": "<2@example.com>"}]},
            "effects": [
                {"call": "email.send", "request": {"to": ["ada@example.com"], "subject": "guest one"}},
                {"call": "email.send", "request": {"subject": "guest two"}},
            ],
        },
    });
    let (code, report) = play("guest-effects.wasm", &[("two", case)]);
    assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report}");
    assert_eq!(report["cases"][0]["effects"], 2);
    assert_eq!(report["cases"][0]["crashes"], 3, "before the first, between, after the last");
}

#[test]
fn what_is_not_as_expected_is_told_with_its_place() {
    let case = json!({
        "type": "guest-mail",
        "payload": {"do": "mail", "subject": "Hi"},
        "answers": [sent(1), sent(2)],
        "expect": {
            "end": {"completed": {"messageId": "<7@example.com>"}},
            "effects": [{"call": "email.send", "request": {"subject": "Ho"}}, {"call": "upstream.call"}],
        },
    });
    let (code, report) = play("guest-effects.wasm", &[("other", case)]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(
        findings(&report),
        [
            "end.completed.messageId: expected \"<7@example.com>\", is \"<1@example.com>\"",
            "effects[0].request.subject: expected \"Ho\", is \"Hi\"",
            "effects[1]: expected upstream.call, is not there",
            "answers: the last 1 were not asked for",
        ]
    );
}

#[test]
fn a_plugin_that_asks_otherwise_after_a_crash_is_found_out_by_place_and_field() {
    let case = json!({
        "type": "guest-mail",
        "payload": {"do": "nondeterministic"},
        "answers": [sent(1)],
        "expect": {"end": {"retry": "fail-once, as asked"}, "effects": [{"call": "email.send"}]},
    });
    let (code, report) = play("guest-effects.wasm", &[("attempt", case)]);
    assert_eq!(code, 1, "{report}");
    let said = findings(&report).join("\n");
    let field = r#"effect 0 differs; subject: was "guest 1", then "guest 2""#;
    assert!(said.contains(&format!("crashed before the first effect: {field}")), "{said}");
    assert!(said.contains(&format!("crashed after effect 0: {field}")), "{said}");
}

#[test]
fn an_effect_that_a_later_attempt_adds_or_drops_is_found_out() {
    let steps = |attempts: Value| {
        json!({
            "type": "guest-mail",
            "payload": {"do": "steps", "steps": [
                {"do": "mail", "subject": "always"}, {"do": "mail", "subject": "sometimes", "attempts": attempts},
            ]},
            "answers": [sent(1), sent(2)],
        })
    };
    for (attempts, said) in [
        (json!([1]), "crashed after effect 0: effect 1 (email.send) is not asked for any more"),
        (json!([2]), "crashed after effect 0: effect 1 (email.send) was not asked for before"),
    ] {
        let (code, report) = play("guest-effects.wasm", &[("steps", steps(attempts))]);
        assert_eq!(code, 1);
        assert!(findings(&report).contains(&said), "{said}: {report}");
    }
}

#[test]
fn a_result_a_job_or_an_event_that_depends_on_the_attempt_is_found_out() {
    let found = |component: &str, job_type: &str, what: Value| {
        let (code, report) = play(component, &[("attempt", json!({"type": job_type, "payload": what}))]);
        assert_eq!(code, 1, "{report}");
        findings(&report).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    // Its result is the attempt's number.
    let found_end = found("guest.wasm", "guest", json!({"do": "ok"}));
    let end = "crashed before the first effect: \
               it ends differently: was completed {\"attempt\":1}, then completed {\"attempt\":2}";
    assert!(found_end.iter().any(|said| said == end), "{found_end:?}");

    let child = json!({"do": "enqueue", "type": "guest-money", "payload": {"do": "ok"}, "attempts": [1]});
    let event = json!({"do": "publish", "event": "guest.happened", "data": {"n": 1}, "attempts": [1]});
    for (component, job_type, step, what, named) in [
        ("guest.wasm", "guest", child, "its jobs differ: were [", "guest-money"),
        ("guest-webhook.wasm", "guest-webhook", event, "its events differ: were [", "guest.happened"),
    ] {
        let found = found(component, job_type, json!({"do": "steps", "steps": [step]}));
        let begins = format!("crashed before the first effect: {what}");
        let is_it = |said: &String| said.starts_with(&begins) && said.contains(named) && said.ends_with(", then []");
        assert!(found.iter().any(is_it), "{found:?}");
    }
}

#[test]
fn time_and_randomness_are_the_same_after_a_crash() {
    let case = json!({
        "type": "guest-mail",
        "payload": {"do": "time-around-mail"},
        "at": "2030-01-01T00:00:00Z",
        "answers": [sent(1)],
        "expect": {
            "end": {"completed": {"before": {"now": 1_893_456_000_000_u64}, "after": {"now": 1_893_456_001_000_u64}}},
            "effects": [{"call": "email.send"}],
        },
    });
    let (code, report) = play("guest-effects.wasm", &[("time", case)]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn what_the_host_refuses_is_refused_here_too_and_takes_no_answer() {
    let mail = |more: Value| {
        let mut payload = json!({"do": "mail", "catch": true});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    let case = json!({
        "type": "guest-mail-single",
        "payload": {"do": "steps", "steps": [mail(json!({"to": "nobody"})), mail(json!({}))]},
        "expect": {"end": {"completed": [{"error": "invalid"}, {"error": "denied"}]}, "effects": [{"call": "email.send"}]},
    });
    let (code, report) = play("guest-effects.wasm", &[("refused", case)]);
    assert_eq!(code, 0, "{report}");
    let case = json!({
        "type": "guest-mail",
        "payload": mail(json!({"profile": "other"})),
        "expect": {"end": {"completed": {"error": "denied"}}, "effects": [{"call": "email.send"}]},
    });
    let (code, report) = play("guest-effects.wasm", &[("profile", case)]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn limits_hold_and_a_trap_has_its_name() {
    let case = |what: &str, kind: &str| json!({"type": "guest", "payload": {"do": what}, "expect": {"end": {"trapped": kind}}});
    let cases = [
        ("loop", "cpu-limit"),
        ("panic", "trap-unreachable"),
        ("allocate", "memory-limit"),
        ("recurse", "stack-overflow"),
    ];
    let cases: Vec<_> = cases.iter().map(|(what, kind)| (*what, case(what, kind))).collect();
    let (code, report) = play("guest.wasm", &cases);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn children_and_events_are_part_of_what_is_expected() {
    let child = json!({
        "type": "guest",
        "payload": {"do": "enqueue", "type": "guest-money", "payload": {"do": "ok"}, "key": "k", "delayMs": 5},
        "expect": {
            "end": {"completed": {}},
            "jobs": [{"type": "guest-money", "payload": {"do": "ok"}, "key": "k", "delayMs": 5}],
        },
    });
    let (code, report) = play("guest.wasm", &[("child", child)]);
    assert_eq!(code, 0, "{report}");
    let child = json!({
        "type": "guest", "payload": {"do": "enqueue", "type": "another", "payload": {}, "catch": true},
        "expect": {"end": {"completed": {"error": "denied"}}},
    });
    let (code, report) = play("guest.wasm", &[("denied", child)]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn an_update_writes_what_came_of_it_and_the_next_run_agrees() {
    let dir = scratch("update");
    let file = dir.join("one.json");
    let case = "{\n  \"type\": \"guest-mail\",\n  \"payload\": {\"do\":  \"mail\"},\n  \"answers\": [{\"ok\": {\"messageId\": \"<1@example.com>\"}}]\n}";
    fs::write(&file, case).unwrap();
    let component = component("guest-effects.wasm");
    let (code, report) = play_in(&component, &dir, &[]);
    assert!(code == 1 && findings(&report)[0].contains("--update"), "{report}");
    let (code, report) = play_in(&component, &dir, &["--update"]);
    assert_eq!((code, &report["cases"][0]["updated"]), (0, &json!(true)), "{report}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("{\"do\":  \"mail\"}"), "the payload stays as it was written: {written}");
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap()["expect"]["effects"][0]["request"]["subject"], "guest");
    let (code, report) = play_in(&component, &dir, &[]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn a_case_that_is_none_is_told_with_its_file_and_nothing_is_run() {
    let good = json!({"type": "guest", "payload": {"do": "ok"}});
    let with = |key: &str, value: Value| {
        let mut case = good.clone();
        case[key] = value;
        case
    };
    for (case, said) in [
        (with("type", json!("ghost")), "owns no job type \"ghost\" (it has guest"),
        (with("answer", json!([])), "unknown field `answer`"),
        (with("answers", json!([{"maybe": 1}])), "unknown variant `maybe`"),
        (with("expect", json!({"end": {"done": 1}})), "unknown variant `done`"),
    ] {
        let (code, report) = play("guest.wasm", &[("bad", case)]);
        let report = report.to_string();
        assert!(
            code == 2 && report.contains("bad.json") && report.contains(&said.replace('"', "\\\"")),
            "{said}: {report}"
        );
    }
    let empty = scratch("no-cases");
    let (code, report) = play_in(&component("guest.wasm"), &empty, &[]);
    assert!(code == 2 && report.to_string().contains("holds no case"), "{report}");
    let wrong = scratch("no-component").join("a.wasm");
    fs::write(&wrong, "#!/bin/sh").unwrap();
    fs::write(empty.join("one.json"), good.to_string()).unwrap();
    let (code, report) = play_in(&wrong, &empty, &[]);
    assert!(code == 2 && report.to_string().contains("is no WebAssembly"), "{report}");
}

#[test]
fn an_answer_that_is_none_of_this_provider_ends_the_case_and_says_what_is_missing() {
    let case = json!({
        "type": "guest-mail", "payload": {"do": "mail"}, "answers": [{"ok": {"id": "pi_1"}}],
        "expect": {"end": {"completed": {}}, "effects": [{"call": "email.send"}]},
    });
    let (code, report) = play("guest-effects.wasm", &[("wrong", case)]);
    assert_eq!(code, 1);
    let said = findings(&report).join("\n");
    assert!(said.contains("effect 0 (email.send): /answer") && said.contains("messageId"), "{said}");
    // What a host would keep to itself is no answer either.
    for (answer, why) in [
        (json!({"status": 503}), "/answer/status: no guest is shown 503"),
        (json!({"status": 429}), "/answer/status: no guest is shown 429"),
        (json!({"status": 200, "text": "x".repeat(300 << 10)}), "max_response"),
    ] {
        let case = json!({
            "type": "guest-mail", "payload": {"do": "upstream", "path": "/x"}, "answers": [{"ok": answer}],
            "expect": {"end": {"completed": {}}, "effects": [{"call": "upstream.call"}]},
        });
        let (code, report) = play("guest-effects.wasm", &[("kept", case)]);
        let said = findings(&report).join("\n");
        assert!(code == 1 && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn one_job_runs_on_the_table_and_shows_what_it_asked() {
    let dir = scratch("run");
    let run = |payload: &str, answers: Option<&str>| {
        let mut command = usher();
        fs::write(dir.join("payload.json"), payload).unwrap();
        command.args(["plugin", "run"]).arg(component("guest-effects.wasm")).args([
            "--type",
            "guest-mail",
            "--payload",
        ]);
        command.arg(dir.join("payload.json"));
        if let Some(answers) = answers {
            fs::write(dir.join("answers.json"), answers).unwrap();
            command.arg("--answers").arg(dir.join("answers.json"));
        }
        command.output().unwrap()
    };
    let mail = r#"{"do": "mail", "to": "ada@example.com"}"#;
    let done = run(mail, Some(r#"[{"ok": {"messageId": "<1@example.com>"}}]"#));
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("effect  0 email.send") && said.contains("ada@example.com"), "{said}");
    assert!(said.contains("end     completed") && said.contains("<1@example.com>"), "{said}");
    // Without an answer it stops at the call, and shows what one looks like.
    let stopped = run(mail, None);
    let said = text(&stopped);
    assert!(stopped.status.code() == Some(1) && said.contains(r#"{"ok": {"messageId": "<1@example.com>"}}"#), "{said}");
    let wrong = run("{", None);
    assert!(wrong.status.code() == Some(2) && text(&wrong).contains("payload.json"), "{}", text(&wrong));
}

#[test]
fn a_component_of_another_toolchain_is_crashed_at_every_effect_too() {
    let order = |language: &str| {
        json!({
            "type": format!("order-{language}"),
            "payload": {"orderId": "1", "email": "ada@example.com", "items": [{"sku": "a", "quantity": 2}]},
            "answers": [
                {"ok": {"status": 200, "json": {"total": 1250, "currency": "EUR"}}}, sent(1), {"ok": {"status": 200}},
            ],
            "expect": {
                "end": {"completed": {"order": "1", "total": 1250, "mail": {"sent": "<1@example.com>"}, "told": 200}},
                "effects": [{"call": "upstream.call"}, {"call": "email.send"}, {"call": "upstream.call"}],
                "events": [{"type": "order.confirmed", "data": {"order": "1"}}],
            },
        })
    };
    for language in ["rust", "ts"] {
        let (code, report) = play(&format!("order-{language}.wasm"), &[("order", order(language))]);
        assert_eq!((code, &report["cases"][0]["crashes"]), (0, &json!(4)), "{language}: {report}");
    }
}

#[test]
fn what_a_component_of_another_toolchain_prints_is_shown() {
    let payload = scratch("print").join("payload.json");
    let order =
        json!({"orderId": "1", "email": "a@example.com", "items": [{"sku": "a", "quantity": 1}], "trouble": "print"});
    fs::write(&payload, order.to_string()).unwrap();
    for language in ["ts", "py"] {
        let file = component(&format!("order-{language}.wasm"));
        let ran = usher().args(["plugin", "run"]).arg(file).arg("--payload").arg(&payload).output().unwrap();
        let said = text(&ran);
        assert_eq!(ran.status.code(), Some(0), "{language}: {said}");
        assert!(said.contains("log     info  said by the guest"), "{language}: {said}");
        assert!(said.contains("log     warn  complained by the guest"), "{language}: {said}");
    }
}

/// `usher`, building where the other guests are built: std and what is shared is there.
fn builder(dir: &Path) -> Command {
    let mut command = usher();
    command.current_dir(dir).env("CARGO_TARGET_DIR", Path::new(&env("USHER_GUESTS")).join("../wasm"));
    command
}

fn project(name: &str) -> PathBuf {
    project_in("rust", name)
}

/// Its job says whom it greets.
fn talking_project(name: &str) -> PathBuf {
    let dir = project(name);
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    let talking = "job.payload;\n    usher_plugin::log::info(\"to greet\", &[(\"who\", &name)]);";
    let talking = code.replacen("job.payload;", talking, 1);
    assert_ne!(talking, code);
    fs::write(dir.join("src/lib.rs"), talking).unwrap();
    dir
}

/// In a folder whose name has a space.
fn project_in(lang: &str, name: &str) -> PathBuf {
    let dir = scratch("a project");
    let made = builder(&dir).args(["plugin", "new", name, "--lang", lang]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    dir.join(name)
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_built_and_swapped_in_under_a_version_of_its_own() {
    let dir = project("author-dev");
    let into = scratch("watched");
    let mut dev = builder(&dir)
        .args(["plugin", "dev", "--into"])
        .arg(&into)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let version = || {
        let checked = usher().args(["plugin", "check"]).arg(into.join("author-dev.wasm")).output().unwrap();
        let said = text(&checked);
        said.lines().find_map(|line| line.strip_prefix("plugin: author-dev ")).map(str::to_owned)
    };
    let first = within(BUILD, "the first build", async || version()).await;
    assert!(first.starts_with("0.1.0+dev."), "{first}");
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    fs::write(dir.join("src/lib.rs"), "no code").unwrap();
    fs::write(dir.join("src/lib.rs"), code.replace("\"Welcome\"", "\"Well come\"")).unwrap();
    let second = within(BUILD, "the second build", async || version().filter(|version| *version != first)).await;
    assert!(second.starts_with("0.1.0+dev."), "{second}");
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plugin_says_on_the_host_comes_along() {
    let dir = talking_project("author-talks");
    let db = Db::new().await;
    let policy = "[plugins.policy.author-talks]\nemail = [\"default\"]\n".to_owned();
    let options = HostOptions { plugins: vec!["guest.wasm"], policy: Some(policy + POLICY), ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let shown = scratch("shown").join("lines");
    let mut dev = builder(&dir)
        .args(["plugin", "dev", "--into"])
        .arg(host.plugins())
        .stdout(fs::File::create(&shown).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shows = |words: &[&str]| {
        let shown = fs::read_to_string(&shown).unwrap_or_default();
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        shown.lines().any(has).then_some(())
    };
    within(BUILD, "the host takes it", async || shows(&["host    takes author-talks 0.1.0+dev."])).await;
    let other = host.client().submit("guest", json!({"do": "log", "message": "of another plugin"})).await;
    host.client().wait(&other, "completed").await;
    // There is no mail server, and what it says comes before the mail.
    let id = host.client().submit("author-talks", json!({"name": "Ada", "email": "ada@example.com"})).await;
    eventually("its line", async || shows(&["log     info ", &id, "to greet who=Ada"])).await;
    assert_eq!(shows(&["of another plugin"]), None);

    // Saved again: the next job runs the new code.
    let versions = || {
        let shown = fs::read_to_string(&shown).unwrap_or_default();
        shown.lines().filter(|line| line.starts_with("host    takes author-talks")).count()
    };
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    fs::write(dir.join("src/lib.rs"), code.replace("\"to greet\"", "\"to greet anew\"")).unwrap();
    within(BUILD, "the host takes the second build", async || (versions() == 2).then_some(())).await;
    let id = host.client().submit("author-talks", json!({"name": "Bob", "email": "bob@example.com"})).await;
    eventually("the new line", async || shows(&["log     info ", &id, "to greet anew who=Bob"])).await;
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_runs_on_a_host_against_the_sandboxes_that_it_has() {
    let dir = talking_project("author-runs");
    let (db, sink) = (Db::new().await, Sink::start().await);
    let policy = "[plugins.policy.author-runs]\nemail = [\"default\"]\n".to_owned();
    let host =
        Host::start(&db, Some(&sink), HostOptions { policy: Some(policy + POLICY), ..HostOptions::default() }).await;
    let run = |payload: &str, more: &[&str]| {
        fs::write(dir.join("payload.json"), payload).unwrap();
        let mut command = builder(&dir);
        command.args(["plugin", "run", "--payload", "payload.json", "--on", &host.base, "--into"]).arg(host.plugins());
        command.arg("--config").arg(host.data_dir.join("usher.toml")).args(more);
        command.env("USHER_TEST_JWT", SECRET).env("USHER_TEST_SMTP_PASSWORD", PASSWORD).output().unwrap()
    };
    let ada = r#"{"name": "Ada", "email": "ada@example.com"}"#;
    let done = run(ada, &[]);
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let mails = sink.wait_mails(1).await;
    let id = message_id(&mails[0]);
    assert!(said.contains("host    serves author-runs 0.1.0+dev."), "{said}");
    assert!(said.contains("log     info  to greet who=Ada"), "{said}");
    assert!(said.contains("effect  0 email.send {") && said.contains("\n        ok\n"), "{said}");
    assert!(said.contains("end     completed {") && said.contains(id), "{said}");
    // The same once more is another job, though the manifest's key is the same.
    let again = run(ada, &["--tenant", "t1"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!(sink.wait_mails(2).await.len(), 2);
    let job = text(&again).lines().find_map(|line| line.strip_prefix("job     ").map(str::to_owned)).unwrap();
    assert_eq!(host.client().job(&job).await["state"], "completed");

    sink.say_of("nobody@example.com", "550 5.1.1 no such mailbox").await;
    let refused = run(r#"{"name": "Ada", "email": "nobody@example.com"}"#, &[]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("\n        rejected") && said.contains("end     dead permanent"), "{said}");
    assert!(said.contains("failed  attempt 1, guest-permanent: "), "{said}");
    let wrong = run(r#"{"name": 1, "email": "ada@example.com"}"#, &[]);
    let said = text(&wrong);
    assert!(
        wrong.status.code() == Some(1) && said.contains("wrong   /name") && said.contains("invalid-payload"),
        "{said}"
    );
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    fs::write(dir.join("plugin.toml"), manifest.replace("\"communication\"", "\"nowhere\"")).unwrap();
    let not_taken = run(ada, &[]);
    let said = text(&not_taken);
    assert!(
        not_taken.status.code() == Some(1) && said.contains("the host refuses it (") && said.contains("nowhere"),
        "{said}"
    );
    let both = run(ada, &["--answers", "payload.json"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both));
    assert_eq!(sink.mails().await.len(), 2);
}
