use serde_json::{Value, json};

use super::{Shop, file, first, shop};
use crate::support::component;

const SHOP: &str = "guest-shop";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_release_verifies_clean_and_nothing_leaves() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    rig.orders(4).await;
    let before = rig.left().await;
    // Another version of the same code, and the very release that ran.
    let said = rig.run(&["plugin", "verify", &file(&shop("0.2.0", "nothing")), "--last", "1000"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(said.last_line(), "verify: jobs=8 same=8 different=0 failed=0 skipped=0 unfit=0", "{}", said.out);
    let own = component("guest-shop.wasm").display().to_string();
    let said = rig.run(&["plugin", "verify", &own, "--type", SHOP]).await;
    assert_eq!(said.last_line(), "verify: jobs=4 same=4 different=0 failed=0 skipped=0 unfit=0", "{}", said.out);
    // The newest first, and no more than asked for.
    let said = rig.run(&["plugin", "verify", &own, "--last", "3"]).await;
    assert_eq!(said.last_line(), "verify: jobs=3 same=3 different=0 failed=0 skipped=0 unfit=0", "{}", said.out);
    assert_eq!(rig.left().await, before, "nothing left, nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_is_found_and_named() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    let ids = rig.orders(3).await;
    let before = rig.left().await;
    let group = |group: Value, what: Value| {
        for (field, value) in what.as_object().unwrap() {
            assert_eq!(&group[field], value, "{field} of {group}");
        }
        group
    };
    let transfer = "stripe.create-transfer";
    for (plant, expected, text) in [
        (
            "amount",
            json!({"what": "field", "of": "effect", "place": 0, "call": transfer, "fields": ["amount"]}),
            "effect 0 (stripe.create-transfer) differs in amount",
        ),
        (
            "order",
            json!({"what": "order", "place": 0, "call": transfer, "with": 1, "instead": "email.send"}),
            "another order",
        ),
        ("drop", json!({"what": "dropped", "of": "effect", "place": 1, "call": "email.send"}), "is dropped"),
        ("extra", json!({"what": "additional", "of": "effect", "place": 3, "call": "email.send"}), "is additional"),
        // No journal holds a body; what the release before sends shows what it is.
        ("body", json!({"what": "field", "place": 2, "call": "upstream.call", "fields": ["body"]}), "differs in body"),
        (
            "child",
            json!({"what": "field", "of": "job", "call": "guest-shop-note", "fields": ["payload/amount"]}),
            "enqueued job 0 (guest-shop-note) differs in payload/amount",
        ),
        (
            "event",
            json!({"what": "field", "of": "event", "call": "guest.happened", "fields": ["data/amount"]}),
            "event 0",
        ),
        ("result", json!({"what": "result", "fields": ["amount"]}), "the result differs in amount"),
    ] {
        let (code, report) = rig.verify(&shop("0.2.0", plant)).await;
        assert_eq!(code, 1, "{plant}: {report}");
        // The notes are the same.
        let counts = (&report["jobs"], &report["same"], &report["different"], &report["failed"], &report["skipped"]);
        assert_eq!(counts, (&json!(6), &json!(3), &json!(3), &json!(0), &json!(0)), "{plant}: {report}");
        assert_eq!(report["groups"].as_array().unwrap().len(), 1, "{plant}: {report}");
        let found = group(first(&report).clone(), expected);
        assert!(found["text"].as_str().unwrap().contains(text), "{plant}: {found}");
        assert_eq!((&found["verdict"], &found["type"], &found["jobs"]), (&json!("different"), &json!(SHOP), &json!(3)));
        let examples: Vec<_> = found["examples"].as_array().unwrap().iter().map(|example| &example["job"]).collect();
        assert!(examples.len() == 3 && examples.iter().all(|id| ids.iter().any(|known| **id == *known)), "{found}");
        if plant == "amount" {
            let detail = found["examples"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("amount: journaled 12") && detail.contains(", now 12"), "{detail}");
        } else {
            assert!(!found.to_string().contains("Thank you"), "no content of a mail: {found}");
        }
    }
    assert_eq!(rig.left().await, before, "nothing left, nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_traps_or_never_ends_fails() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    rig.orders(2).await;
    for (plant, kind) in [("trap", "trap-unreachable"), ("loop", "cpu-limit")] {
        let (code, report) = rig.verify(&shop("0.2.0", plant)).await;
        assert_eq!(code, 1, "{plant}: {report}");
        assert_eq!(
            (&report["same"], &report["different"], &report["failed"]),
            (&json!(2), &json!(0), &json!(2)),
            "{report}"
        );
        let group = first(&report);
        assert_eq!((&group["verdict"], &group["kind"]), (&json!("failed"), &json!(kind)), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_told_from_a_release_that_differs() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    let good = file(&shop("0.2.0", "nothing"));
    let core = file(&wat::parse_str("(module)").unwrap());
    let bare = file(&wat::parse_str("(component)").unwrap());
    for (args, said) in [
        (&["/nowhere.wasm"][..], "/nowhere.wasm"),
        (&[&core], "usher plugin pack"),
        (&[&bare], "manifest"),
        (&[&good, "--last", "0"], "--last"),
        (&[&good, "--type", "nobodys"], "no job type \"nobodys\""),
    ] {
        let done = rig.run(&[&["plugin", "verify"][..], args].concat()).await;
        assert!(done.code == 2 && done.err.contains(said), "{args:?}: {} {}", done.code, done.err);
    }
    // Nothing is recorded yet: there is nothing to say against it.
    let done = rig.run(&["plugin", "verify", &good]).await;
    assert!(done.code == 0 && done.out.contains("there is nothing to compare with"), "{}{}", done.out, done.err);
    assert_eq!(done.last_line(), "verify: jobs=0 same=0 different=0 failed=0 skipped=0 unfit=0");
}
