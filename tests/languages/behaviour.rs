//! The business of the plugin, case by case.

use serde_json::{Value, json};

use super::{LANGUAGES, Rig, order, trouble};
use crate::{
    support::{Receiver, message_id},
    webhooks,
};

fn without_items() -> Value {
    let mut order = order("o-empty");
    order["items"] = json!([]);
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_confirmed_by_mail_told_to_the_shop_and_published_in_each_language() {
    let receiver = Receiver::start().await;
    let rig = Rig::with(&webhooks::config(&[receiver.place()])).await;
    webhooks::endpoint(&rig.host, &receiver, &["order.confirmed"]).await;
    for (n, language) in LANGUAGES.into_iter().enumerate() {
        let name = format!("o-{language}");
        let id = rig.submit(language, order(&name)).await;
        let job = rig.host.client().wait(&id, "completed").await;
        let result = &job["result"];
        assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "{job}");
        assert_eq!(
            (&result["order"], &result["total"], &result["currency"], &result["told"]),
            (&json!(name), &json!(4200), &json!("EUR"), &json!(204)),
            "{result}"
        );
        let number = result["number"].as_str().unwrap();
        assert_eq!(number.len(), 16, "{result}");
        let mails = rig.sink.mails().await;
        let mail = mails.iter().find(|mail| message_id(mail) == result["mail"]["sent"].as_str().unwrap()).unwrap();
        assert!(mail.to_string().contains(&format!("Your number is {number}.")), "{mail}");
        assert_eq!(rig.asked(&format!("POST /orders/{name}/confirmed")), 1);
        let event = receiver.wait(n + 1).await.remove(n);
        let event: Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(
            (&event["type"], &event["data"]),
            (&json!("order.confirmed"), &json!({"order": name, "number": number})),
            "{event}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_no_is_for_the_plugin_to_judge_in_each_language() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        rig.sink.say_of("anna@example.com", "550 5.1.1 no such mailbox").await;
        let id = rig.submit(language, order("o-1")).await;
        let job = rig.host.client().wait(&id, "completed").await;
        assert_eq!(job["result"]["mail"], json!({"rejected": "550"}), "{language}: {job}");
        assert_eq!(job["attempt"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_ends_the_job_in_the_plugins_words_in_each_language() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        for (order, said) in
            [(without_items(), "order o-empty has no items"), (order("unknown"), "the shop knows no order unknown")]
        {
            let id = rig.submit(language, order).await;
            let job = rig.host.client().wait(&id, "dead").await;
            assert_eq!((&job["reason"], &job["attempt"]), (&json!("permanent"), &json!(1)), "{language}: {job}");
            assert_eq!(job["errors"][0]["message"], said, "{language}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_sees_the_same_time_dice_and_answers_in_each_language() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        let name = format!("o-{language}");
        let mut again = order(&name);
        again["failOnce"] = true.into();
        let id = rig.submit(language, again).await;
        let job = rig.host.client().wait(&id, "completed").await;
        assert_eq!(job["attempt"], 2, "{language}: {job}");
        // The first attempt told what it saw in its failure.
        let told = job["errors"][0]["message"].as_str().unwrap();
        let told: Value = serde_json::from_str(told).unwrap_or_else(|e| panic!("{language}: {e}: {told}"));
        assert_eq!(told, job["result"], "{language}");
        // The language's own clock is the contract's, and moves with the journal alone.
        for seen in [&told["before"], &told["after"]] {
            assert_eq!(seen["now"], seen["language"], "{language}: {told}");
        }
        assert!(told["before"]["now"].as_u64() < told["after"]["now"].as_u64(), "{language}: {told}");
        assert_ne!(told["before"]["random"], told["after"]["random"], "{language}: {told}");
        // What was done is not done again.
        assert_eq!(rig.asked(&format!("GET /orders/{name}")), 1, "{language}");
        assert_eq!(rig.asked(&format!("POST /orders/{name}/confirmed")), 1, "{language}");
    }
    assert_eq!(rig.sink.mails().await.len(), LANGUAGES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_draws_other_numbers() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        let mut drawn = Vec::new();
        for _ in 0..3 {
            let id = rig.submit(language, trouble("dice")).await;
            drawn.push(rig.host.client().wait(&id, "completed").await["result"].clone());
        }
        for field in ["random", "bytes", "uuid"] {
            assert!(drawn[0][field] != drawn[1][field] && drawn[1][field] != drawn[2][field], "{language}: {drawn:?}");
        }
    }
}

/// By the language's own sources: getrandom; `Math.random`, `crypto`; `random`, `os.urandom`, `uuid`.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_draws_the_same_from_every_source_of_each_language() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        let mut dice = trouble("dice");
        dice["failOnce"] = true.into();
        let id = rig.submit(language, dice).await;
        let job = rig.host.client().wait(&id, "completed").await;
        assert_eq!(job["attempt"], 2, "{language}: {job}");
        let told = job["errors"][0]["message"].as_str().unwrap();
        let told: Value = serde_json::from_str(told).unwrap_or_else(|e| panic!("{language}: {e}: {told}"));
        assert_eq!(told, job["result"], "{language}");
        let bytes = told["bytes"].as_array().unwrap();
        assert!(bytes.len() >= 8 && bytes.iter().any(|byte| *byte != bytes[0]), "{language}: {told}");
    }
}
