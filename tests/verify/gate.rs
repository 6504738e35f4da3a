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
