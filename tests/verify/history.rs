use reqwest::Method;
use serde_json::{Value, json};

use super::{Said, Shop, file, first, shop};
use crate::support::{Db, Host, HostOptions, Receiver, Say, Sink, component, token, usher};

/// `usher plugin verify` of the guest with effects, as JSON.
async fn verify(db: &Db) -> (i32, Value) {
    let mut command = usher();
    let guest = component("guest-effects.wasm");
    command.args(["plugin", "verify", "--json"]).arg(guest).env("DATABASE_URL", &db.url);
    let said = Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_compared_as_far_as_it_went() {
    let (db, sink, receiver) = (Db::new().await, Sink::start().await, Receiver::start().await);
    receiver.always(Say::Status(503));
    let options = HostOptions {
        plugins: vec!["guest-effects.wasm"],
        config: format!(
            "[upstreams.rig]\nbase_url = \"http://{}\"\nmethods = [\"GET\"]\nbreaker = {{ failures = 0, open_for = \"1s\" }}\n",
            receiver.place()
        ),
        ..HostOptions::default()
    };
    let host = Host::start(&db, Some(&sink), options).await;
    let (client, admin) = (host.client(), host.client().with_token(token("venue_admin", Some("t1"))));
    let steps = |then: Value| json!({"do": "steps", "steps": [{"do": "mail"}, then]});
    // Cancelled after its mail, while it waited for its next attempt.
    let cancelled = client.submit("guest-mail", steps(json!({"do": "retry-after", "delayMs": 600_000}))).await;
    client.wait_error(&cancelled, "guest-retry").await;
    admin.send(Method::DELETE, &format!("/jobs/{cancelled}"), None).await;
    client.wait(&cancelled, "cancelled").await;
    // Dead inside of a call that no attempt got an answer to.
    let unanswered = client.submit("guest-mail", steps(json!({"do": "upstream", "path": "/x"}))).await;
    // Dead of a trap, and by its own word.
    let trapped = client.submit("guest-mail", steps(json!({"do": "panic"}))).await;
    let refused = client.submit("guest-mail", steps(json!({"do": "permanent", "message": "no"}))).await;
    let tired = client.submit("guest-mail", steps(json!({"do": "retry"}))).await;
    // A second attempt, after the mail that the first one sent.
    let again = client.submit("guest-mail", json!({"do": "mail-then-fail-once"})).await;
    for (id, state) in
        [(&unanswered, "dead"), (&trapped, "dead"), (&refused, "dead"), (&tired, "dead"), (&again, "completed")]
    {
        client.wait(id, state).await;
    }
    // Never begun: there is nothing to compare.
    let later = json!({"type": "guest-mail", "payload": {"do": "mail"}, "runAt": chrono::Utc::now() + chrono::TimeDelta::hours(1)});
    let id = client.post(later.to_string()).await.body["id"].as_str().unwrap().to_owned();
    admin.send(Method::DELETE, &format!("/jobs/{id}"), None).await;
    client.wait(&id, "cancelled").await;
    // Its own code did not keep to its journal.
    let strayed = client.submit("guest-mail", json!({"do": "nondeterministic"})).await;
    client.wait(&strayed, "dead").await;

    let (code, report) = verify(&db).await;
    assert_eq!(code, 0, "{report}");
    // One that left nothing is not even looked at, as long as it was cancelled.
    assert_eq!((&report["jobs"], &report["same"], &report["skipped"]), (&json!(7), &json!(6), &json!(1)), "{report}");
    assert_eq!(first(&report)["why"], "nondeterministic", "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_history_is_gone_is_skipped_and_not_the_same() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    let ids = rig.orders(3).await;
    rig.db.execute("DELETE FROM jobs_archive WHERE job_type = 'guest-shop-note'").await;
    // One has lost its journal; of another one nothing is left but what its key stands for.
    rig.db.execute(&format!("UPDATE jobs_archive SET journal = NULL WHERE id = '{}'", ids[0])).await;
    rig.db
        .execute(&format!(
            "INSERT INTO idempotency_keys (tier, tenant, job_type, key_hash, job_id, payload_hash, state, result, expires_at)
             SELECT tier, tenant, job_type, sha256('k'), id, sha256('p'), state, result, now() + interval '1 day'
             FROM jobs_archive WHERE id = '{}'",
            ids[1]
        ))
        .await;
    rig.db.execute(&format!("DELETE FROM jobs_archive WHERE id = '{}'", ids[1])).await;
    // Whatever the new release does: the same, or nothing at all where the journal is missing.
    for plant in ["nothing", "amount"] {
        let (_, report) = rig.verify(&shop("0.2.0", plant)).await;
        assert_eq!((&report["jobs"], &report["skipped"]), (&json!(3), &json!(2)), "{plant}: {report}");
        let whys: Vec<_> =
            report["groups"].as_array().unwrap().iter().filter_map(|group| group["why"].as_str()).collect();
        assert!(whys.contains(&"incomplete") && whys.contains(&"pruned"), "{plant}: {report}");
        let same = i32::from(plant == "nothing");
        assert_eq!((&report["same"], &report["different"]), (&json!(same), &json!(1 - same)), "{plant}: {report}");
    }
    for (id, why) in [(&ids[0], "does not hold all that it did"), (&ids[1], "there is no job")] {
        let said = rig.run(&["jobs", "replay", id]).await;
        assert!(said.code == 2 && said.err.contains(why), "{} {}", said.code, said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_lost_release_could_tell_is_said_to_be_not_compared() {
    let rig = Shop::start(vec!["guest-shop.wasm"], "").await;
    rig.orders(1).await;
    // The bytes of that release are gone, so its jobs and events can't be told; its effects can.
    rig.db.execute("UPDATE releases SET wasm = '', deleted_at = now(), deleted_by = 'test'").await;
    let (code, report) = rig.verify(&shop("0.2.0", "child")).await;
    assert_eq!((code, &report["same"]), (0, &json!(2)), "{report}");
    assert!(report["uncompared"].as_u64().unwrap() >= 1, "{report}");
    let (code, report) = rig.verify(&shop("0.2.0", "drop")).await;
    assert_eq!((code, &first(&report)["what"]), (1, &json!("dropped")), "{report}");
    let said = rig.run(&["plugin", "verify", &file(&shop("0.2.0", "child"))]).await;
    assert!(said.out.contains("are not compared"), "{}", said.out);
}
