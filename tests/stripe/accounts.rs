//! Profiles of tenants and venues, and a day's sums.

use serde_json::json;

use super::{Rig, options, payment};
use crate::support::{
    Db, Host, SECRET, StripeWorld,
    stripe::{KEY, id},
    token, usher,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_account_under_two_names_is_shared_all_the_same() {
    let (world, db) = (StripeWorld::start().await, Db::new().await);
    let mut options = options(world.base_url());
    options.config = ["t1", "t2"].map(|tenant| {
        format!(
            "[stripe.profiles.{tenant}]\nkey = {{ env = \"USHER_TEST_STRIPE\" }}\ntenants = [\"{tenant}\"]\nbase_url = \"{}\"\n",
            world.base_url()
        )
    })
    .concat();
    let host = Host::start(&db, None, options).await;
    let card = world.stripe.payment_method("tok_visa").await;
    let paid = host.client().submit("guest-money", payment(&card)).await;
    let paid = host.client().wait(&paid, "completed").await["result"]["id"].clone();
    let other = host.client().with_token(token("user", Some("t2")));
    let refund = json!({"do": "stripe", "call": "refund", "paymentIntent": paid, "catch": true});
    let id = other.submit("guest-money", refund).await;
    assert_eq!(other.wait(&id, "completed").await["result"]["code"], "resource_missing");
    assert_eq!(world.stripe.list("/v1/refunds").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_and_venue_has_its_account_and_sees_no_others_payments() {
    let (shared, venue) = (StripeWorld::start().await, StripeWorld::start().await);
    let db = Db::new().await;
    let mut options = options(shared.base_url());
    options.config = format!(
        r#"
[stripe.profiles.all]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["*"]
base_url = "{}"
[stripe.profiles.arena]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
venues = ["arena"]
base_url = "{}"
"#,
        shared.base_url(),
        venue.base_url()
    );
    let host = Host::start(&db, None, options).await;
    let (one, other) = (host.client(), host.client().with_token(token("user", Some("t2"))));
    let cards = [shared.stripe.payment_method("tok_visa").await, venue.stripe.payment_method("tok_visa").await];
    let mut at_venue = payment(&cards[1]);
    at_venue["venueId"] = "arena".into();
    for (payload, world) in [(payment(&cards[0]), &shared), (at_venue, &venue)] {
        let id = one.submit("guest-money", payload).await;
        one.wait(&id, "completed").await;
        assert_eq!(world.stripe.list("/v1/payment_intents").await.len(), 1);
    }
    // Another tenant on the same account names t1's payment.
    let theirs = id(&shared.stripe.list("/v1/payment_intents").await[0]);
    for call in ["get", "refund", "capture", "cancel"] {
        let payload = json!({"do": "stripe", "call": call, "paymentIntent": theirs, "catch": true});
        let id = other.submit("guest-money", payload).await;
        let refused = other.wait(&id, "completed").await["result"].clone();
        assert_eq!((&refused["error"], &refused["code"]), (&json!("rejected"), &json!("resource_missing")), "{call}");
    }
    assert_eq!(shared.stripe.list("/v1/refunds").await.len(), 0);
    let own = one.submit("guest-money", json!({"do": "stripe", "call": "refund", "paymentIntent": theirs})).await;
    one.wait(&own, "completed").await;
    assert_eq!(shared.stripe.list("/v1/refunds").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_reconciled_and_only_what_one_side_has_is_named() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut paid = Vec::new();
    for _ in 0..3 {
        paid.push(rig.run(payment(&card)).await);
    }
    rig.run(json!({"do": "stripe", "call": "refund", "paymentIntent": paid[0]["id"], "amount": 100})).await;
    let config = rig.host.data_dir.join("usher.toml");
    let reconcile = || {
        let day = chrono::Utc::now().format("%Y-%m-%d").to_string();
        let mut command = usher();
        command.args(["effects", "reconcile", "--provider", "stripe", "--day", &day, "--config"]).arg(&config);
        command.env("DATABASE_URL", &rig.db.url).env("USHER_TEST_STRIPE", KEY).env("USHER_TEST_JWT", SECRET);
        command.env("USHER_TEST_SMTP_PASSWORD", "x");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = reconcile();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("4 agree, 0 differ"), "{text}");

    // What was in doubt may be written down a day later: both days agree all the same.
    let late = format!(
        "ALTER TABLE ledger DISABLE TRIGGER ALL; UPDATE ledger SET at = at + interval '1 day' WHERE provider_id = '{}'; \
         ALTER TABLE ledger ENABLE TRIGGER ALL",
        paid[2]["id"].as_str().unwrap()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(late)).execute(&rig.db.pool).await.unwrap();
    let (code, text) = reconcile();
    assert_eq!(code, Some(0), "{text}");

    // One charge made outside, one line of the ledger taken away.
    rig.world.stripe.balance(777, "eur").await;
    let gone = paid[1]["id"].as_str().unwrap();
    let sql = format!("ALTER TABLE ledger DISABLE TRIGGER ALL; DELETE FROM ledger WHERE provider_id = '{gone}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&rig.db.pool).await.unwrap();
    let (code, text) = reconcile();
    assert_eq!(code, Some(1), "{text}");
    let named: Vec<_> = text.lines().filter(|line| line.starts_with("only ")).collect();
    assert_eq!(named.len(), 2, "{text}");
    assert!(named.iter().any(|line| line.contains("777 eur") && line.contains("none of ours")), "{text}");
    assert!(named.iter().any(|line| line.contains(gone)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_both_kinds_wrong_ones_and_crossed_profiles_are_refused_at_the_start() {
    let profile =
        |name: &str, key: &str, more: &str| format!("[stripe.profiles.{name}]\nkey = {{ env = \"{key}\" }}\n{more}\n");
    let cases = [
        (profile("a", "LIVE", "tenants = [\"t1\"]"), "stripe.profiles.a.key: is a live key"),
        (profile("a", "NONE", "tenants = [\"t1\"]"), "stripe.profiles.a.key: is no secret key"),
        (profile("a", "TEST", "tenants = []"), "stripe.profiles.a.tenants"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nallow_live = true"), "stripe.profiles.a.allow_live"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nbase_url = \"http://example.com\""), "stripe.profiles.a.base_url"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nconnected = [\"venue\"]"), "acct_"),
        (
            profile("a", "TEST", "tenants = [\"t1\"]") + &profile("b", "LIVE", "tenants = [\"t2\"]\nallow_live = true"),
            "test and live keys",
        ),
        (
            profile("a", "TEST", "tenants = [\"t1\"]") + &profile("b", "TEST", "tenants = [\"t1\"]"),
            "serves tenant \"t1\" already",
        ),
        ("[plugins.policy.p]\nstripe = [\"create-money\"]\n".to_owned(), "there is no \"create-money\""),
    ];
    let dir = crate::support::scratch("stripe-config");
    for (n, (text, said)) in cases.iter().enumerate() {
        let file = dir.join(format!("{n}.toml"));
        std::fs::write(&file, text).unwrap();
        let output = usher()
            .args(["config", "check", "--config"])
            .arg(&file)
            .env("LIVE", "sk_live_canary1")
            .env("TEST", "sk_test_canary2")
            .env("NONE", "canary3-no-key")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{text}: {told}");
        assert!(told.contains(said), "{text}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}
