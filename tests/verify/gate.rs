use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Said, Shop, file, shop};
use crate::{
    plugins::{drop_bytes, refusal},
    support::{Answer, eventually, read, token, usher},
};

const POLICY: &str = "[plugins.require_verify]\nlast = 50\n";

async fn publish(rig: &Shop, path: &str, component: Vec<u8>) -> Answer {
    let request = rig.host.admin().request(Method::POST, path).header("content-type", "application/wasm");
    read(request.body(component).send().await.unwrap()).await
}

/// `what`: activate or rollback, with a query.
async fn change(rig: &Shop, what: &str, version: &str) -> Answer {
    let path = format!("/plugins/guest-shop/{what}");
    rig.host.admin().send(Method::POST, &path, Some(json!({ "version": version }))).await
}

fn is_refused(answer: &Answer) {
    let slug = (&answer.body["type"], &answer.body["reason"]);
    let expected = (&json!("urn:usher:problem:verify-failed"), &json!("verify-failed"));
    assert_eq!((answer.status, slug), (StatusCode::CONFLICT, expected), "{}", answer.body);
}

async fn version(rig: &Shop) -> Value {
    rig.host.client().get("/plugins/guest-shop").await.body["version"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_otherwise_is_not_published_unless_an_admin_says_so() {
    // The first one has no history, and passes.
    let rig = Shop::start(vec!["guest-shop.wasm"], POLICY).await;
    assert_eq!(version(&rig).await, "0.1.0");
    rig.orders(2).await;
    let before = rig.left().await;

    let bad = shop("0.2.0", "drop");
    let refused = publish(&rig, "/plugins", bad.clone()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert_eq!(refused.body["type"], "urn:usher:problem:verify-failed");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("guest-shop: effect 1 (email.send) is dropped (2)"), "{detail}");
    let group = &refused.body["verify"]["groups"][0];
    assert_eq!((&group["what"], &group["jobs"]), (&json!("dropped"), &json!(2)), "{}", refused.body);
    assert!(group["examples"][0]["job"].is_string(), "{group}");
    assert_eq!(version(&rig).await, "0.1.0");
    assert_eq!(rig.db.count("SELECT count(*) FROM releases").await, 1, "nothing is stored");
    // Not even to be activated later.
    let refused = publish(&rig, "/plugins?activate=false", bad.clone()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);

    // One that does the same is taken, and says what it was held against.
    let good = publish(&rig, "/plugins", shop("0.3.0", "nothing")).await;
    assert_eq!(good.status, StatusCode::CREATED, "{}", good.body);
    let verified = &good.body["verified"];
    assert_eq!((&verified["jobs"], &verified["same"]), (&json!(4), &json!(4)), "{}", good.body);
    assert_eq!(version(&rig).await, "0.3.0");

    // By an explicit word, which is on record.
    let maybe = publish(&rig, "/plugins?unverified=maybe", bad.clone()).await;
    assert_eq!(maybe.status, StatusCode::BAD_REQUEST, "{}", maybe.body);
    let user = rig.host.client().with_token(token("venue_admin", Some("t1")));
    let request = user.request(Method::POST, "/plugins?unverified=true").header("content-type", "application/wasm");
    let other = read(request.body(bad.clone()).send().await.unwrap()).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "{}", other.body);
    let taken = publish(&rig, "/plugins?unverified=true", bad.clone()).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.body);
    assert_eq!(version(&rig).await, "0.2.0");
    let audit = rig.host.admin().get("/audit?target=plugin/guest-shop").await.body;
    let details: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["detail"]).collect();
    let entry = details.iter().find(|detail| detail["version"] == "0.2.0").unwrap();
    assert_eq!((&entry["verify"]["overridden"], &entry["verify"]["different"]), (&json!(true), &json!(2)), "{audit}");
    let entry = details.iter().find(|detail| detail["version"] == "0.3.0").unwrap();
    assert_eq!(entry["verify"]["overridden"], false, "{audit}");
    // What is stored is not asked about again.
    let again = publish(&rig, "/plugins", bad).await;
    assert_eq!((again.status, &again.body["verified"]), (StatusCode::OK, &Value::Null), "{}", again.body);
    assert_eq!(rig.left().await, before, "nothing left, nothing ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_and_the_command_are_no_way_around_it() {
    let rig = Shop::start(vec!["guest-shop.wasm"], POLICY).await;
    rig.orders(1).await;
    drop_bytes(&rig.host, "guest-shop.wasm", &shop("0.2.0", "amount"));
    let told = refusal(&rig.host, "guest-shop.wasm").await;
    assert_eq!(told["reason"], "verify-failed", "{told}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("stripe.create-transfer") && detail.contains("differs in amount"), "{detail}");
    // Anybody may read that.
    assert!(!detail.contains("1200") && !detail.contains("1201"), "{detail}");
    assert_eq!(version(&rig).await, "0.1.0");

    let bad = file(&shop("0.3.0", "trap"));
    let command = async |more: &'static [&'static str]| {
        let mut command = usher();
        command
            .args(["plugin", "publish", &bad, "--host", &rig.host.base])
            .args(more)
            .env("USHER_TOKEN", token("admin", None));
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let said = command(&[]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for part in ["verify-failed", "it fails: trap-unreachable", "--unverified", "e.g. job "] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = command(&["--unverified"]).await;
    assert!(said.code == 0 && said.out.starts_with("guest-shop 0.3.0 serves"), "{}{}", said.out, said.err);
    assert!(said.out.contains("verify: jobs=2 same=1 different=0 failed=1 skipped=0"), "{}", said.out);

    // A good one by the folder.
    drop_bytes(&rig.host, "guest-shop.wasm", &shop("0.4.0", "nothing"));
    eventually("it serves", async || (version(&rig).await == "0.4.0").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_the_policy_is_asked_before_it_serves_and_what_has_served_is_not() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    rig.orders(2).await;
    let bad = shop("0.2.0", "drop");
    for component in [bad.clone(), shop("0.3.0", "nothing")] {
        let stored = publish(&rig, "/plugins?activate=false", component).await;
        assert_eq!((stored.status, &stored.body["verified"]), (StatusCode::CREATED, &Value::Null), "{}", stored.body);
    }
    let rig = rig.restart(POLICY).await;
    let before = rig.left().await;

    let refused = change(&rig, "activate", "0.2.0").await;
    is_refused(&refused);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("Nothing was changed: ") && detail.contains("is dropped (2)"), "{detail}");
    let group = &refused.body["verify"]["groups"][0];
    assert_eq!((&group["what"], &group["jobs"]), (&json!("dropped"), &json!(2)), "{}", refused.body);
    // No other way leads there.
    is_refused(&publish(&rig, "/plugins", bad).await);
    is_refused(&change(&rig, "rollback", "0.2.0").await);
    for query in ["unverified=maybe", "activate=true"] {
        let wrong = change(&rig, &format!("activate?{query}"), "0.2.0").await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.body);
    }
    assert_eq!(version(&rig).await, "0.1.0");
    assert_eq!(rig.db.count("SELECT count(*) FROM activations").await, 1, "nothing is about to serve");

    let good = change(&rig, "activate", "0.3.0").await;
    assert!(good.status.is_success(), "{}", good.body);
    let verified = &good.body["verified"];
    assert_eq!((&verified["jobs"], &verified["same"]), (&json!(4), &json!(4)), "{}", good.body);
    eventually("it serves", async || (version(&rig).await == "0.3.0").then_some(())).await;

    let taken = change(&rig, "activate?unverified=true", "0.2.0").await;
    assert!(taken.status.is_success() && taken.body["verified"]["different"] == 2, "{}", taken.body);
    eventually("it serves", async || (version(&rig).await == "0.2.0").then_some(())).await;
    let audit = rig.host.admin().get("/audit?target=plugin/guest-shop").await.body;
    let details: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["detail"]).collect();
    let overridden = |version: &str| {
        let entry = details.iter().find(|detail| detail["version"] == version && detail["verify"].is_object());
        entry.map(|detail| detail["verify"]["overridden"].clone())
    };
    assert_eq!((overridden("0.2.0"), overridden("0.3.0")), (Some(json!(true)), Some(json!(false))), "{audit}");

    // Back, and forth again: all of these have served.
    for (what, to) in [("rollback", "0.1.0"), ("rollback", "0.2.0"), ("activate", "0.1.0"), ("activate", "0.2.0")] {
        let done = change(&rig, what, to).await;
        assert!(done.status.is_success() && done.body["verified"].is_null(), "{what} {to}: {}", done.body);
        eventually("it serves", async || (version(&rig).await == to).then_some(())).await;
    }
    assert_eq!(rig.left().await, before, "nothing left, nothing ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_is_activated_unasked_and_what_was_only_taken_is_asked() {
    let rig = Shop::start(vec!["guest-shop.wasm"], POLICY).await;
    // Against a history of nothing, which vouches for nobody.
    let stored = publish(&rig, "/plugins?activate=false", shop("0.2.0", "drop")).await;
    assert_eq!((stored.status, &stored.body["verified"]["jobs"]), (StatusCode::CREATED, &json!(0)), "{}", stored.body);
    rig.orders(2).await;
    is_refused(&change(&rig, "activate", "0.2.0").await);

    let stored = publish(&rig, "/plugins?activate=false", shop("0.3.0", "nothing")).await;
    assert_eq!((stored.status, &stored.body["verified"]["same"]), (StatusCode::CREATED, &json!(4)), "{}", stored.body);
    let done = change(&rig, "activate", "0.3.0").await;
    assert!(done.status.is_success() && done.body["verified"].is_null(), "{}", done.body);

    // The word of an admin was for storing it.
    let stored = publish(&rig, "/plugins?activate=false&unverified=true", shop("0.4.0", "amount")).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.body);
    let command = async |more: &'static [&'static str]| {
        let mut command = usher();
        command
            .args(["plugin", "activate", "guest-shop", "0.4.0", "--host", &rig.host.base])
            .args(more)
            .env("USHER_TOKEN", token("admin", None));
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let said = command(&[]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for part in ["verify-failed", "differs in amount", "--unverified", "e.g. job "] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = command(&["--unverified"]).await;
    assert!(said.code == 0 && said.out.starts_with("guest-shop 0.4.0 serves"), "{}{}", said.out, said.err);
    assert!(said.out.contains("verify: jobs=4 same=2 different=2 failed=0 skipped=0"), "{}", said.out);
}
