//! `usher plugin test` and `run` with scripted answers: what came of it is told, and each case is crashed at every effect.

use std::fs;

use serde_json::{Value, json};

use super::{play_in, text};
use crate::support::{component, scratch, usher};

/// Plays cases with a component: the exit code, and the report.
fn play(file: &str, cases: &[(&str, Value)]) -> (i32, Value) {
    let dir = scratch("cases");
    for (name, case) in cases {
        fs::write(dir.join(format!("{name}.json")), case.to_string()).unwrap();
    }
    play_in(&component(file), &dir, &[])
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
