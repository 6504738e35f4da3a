use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{HOST_KEY, Key, get, options, second, submit, text};
use crate::support::{Db, Host, eventually, token, usher};

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_are_good_while_they_overlap_and_none_once_it_is_revoked_on_both_nodes() {
    let db = Db::new().await;
    let one = Host::start(&db, None, options()).await;
    let two = Host::start(&db, None, second()).await;
    let admin = one.admin();
    let first = Key::new(&one, "service", json!(["t1"]), json!(["guest"])).await;
    let rotate = async || {
        let answer = admin.send(Method::POST, &format!("/keys/{}/rotate", first.id), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.body["previousUntil"].is_string(), "{}", answer.body);
        Key { id: first.id.clone(), secret: text(&answer.body, "secret") }
    };
    let refused = StatusCode::UNAUTHORIZED;
    let next = rotate().await;
    assert_ne!(next.secret, first.secret);
    // The node that answered knows at once; the other one by news or with its beat.
    for key in [&first, &next] {
        assert_eq!(key.call(get(&one, "/jobs", &[])).await.status, StatusCode::OK);
        key.wait(&two, StatusCode::OK).await;
    }
    // Two at most: the one before the one before is not good any more.
    let last = rotate().await;
    assert_eq!(first.call(get(&one, "/jobs", &[])).await.status, refused);
    first.wait(&two, refused).await;
    for key in [&next, &last] {
        assert_eq!(key.call(get(&one, "/jobs", &[])).await.status, StatusCode::OK);
        key.wait(&two, StatusCode::OK).await;
    }
    // The hour of the overlap is over.
    db.execute("UPDATE service_keys SET previous_until = now() - interval '1 second'").await;
    db.execute("UPDATE key_news SET version = version + 1").await;
    for host in [&one, &two] {
        next.wait(host, refused).await;
        last.wait(host, StatusCode::OK).await;
    }
    eventually("its use is noted", async || {
        admin.get(&format!("/keys/{}", first.id)).await.body["lastUsedAt"].is_string().then_some(())
    })
    .await;

    let path = format!("/keys/{}", first.id);
    assert_eq!(admin.send(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(last.call(get(&one, "/jobs", &[])).await.status, refused);
    last.wait(&two, refused).await;
    assert_eq!(last.call(submit(&two, "guest", &[], json!({}))).await.status, refused);
    // For ever, and said twice it is the same.
    assert_eq!(admin.send(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    let answer = admin.send(Method::POST, &format!("{path}/rotate"), None).await;
    let slug = json!("urn:usher:problem:key-revoked");
    assert_eq!((answer.status, &answer.body["type"]), (StatusCode::CONFLICT, &slug));
    let shown = admin.get(&path).await.body;
    assert_eq!((&shown["revokedBy"], &shown["createdBy"]), (&json!("u1"), &json!("u1")), "{shown}");

    let audit = admin.get(&format!("/audit?target=key/{}", first.id)).await.body;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| text(entry, "action")).collect();
    assert_eq!(actions, ["key.revoke", "key.rotate", "key.rotate", "key.create"], "{audit}");
    let keys = admin.get("/keys").await.body;
    let stored = db.text("SELECT string_agg(k::text, ' ') FROM service_keys k").await.unwrap();
    let said = format!("{shown}{audit}{keys}{stored}{}{}", one.log(), two.log());
    for secret in [&first.secret, &next.secret, &last.secret, HOST_KEY] {
        assert!(!said.contains(secret), "a secret is said");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_go_when_no_signature_with_them_is_good_any_more() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let key = Key::new(&host, "service", json!(["t1"]), json!(["guest"])).await;
    let asked = [submit(&host, "guest", &[], json!({})), submit(&host, "guest", &[], json!({}))];
    let fresh = asked[1]["sign"]["nonce"].clone();
    assert!(key.call_all(&asked).await.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    assert_eq!(db.count("SELECT count(*) FROM nonces").await, 2);
    assert_eq!(host.terminate().await, Some(0));
    let fresh = fresh.as_str().unwrap();
    db.execute(&format!("UPDATE nonces SET seen_at = seen_at - interval '16 minutes' WHERE nonce <> '{fresh}'")).await;
    // The first look of the next host.
    let _host = Host::start(&db, None, second()).await;
    eventually("the old one is gone", async || (db.count("SELECT count(*) FROM nonces").await == 1).then_some(()))
        .await;
    assert_eq!(db.text("SELECT nonce FROM nonces").await.as_deref(), Some(fresh));
}

fn run(host: &Host, token: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = usher();
    command.args(args).env("USHER_HOST", &host.base).env("USHER_TOKEN", token);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// What stands behind `name:` in what a command printed.
fn said(output: &str, name: &str) -> String {
    let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}: {output}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_shown_rotated_and_revoked_by_command() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let admin = token("admin", None);
    let (code, made) =
        run(&host, &admin, &["keys", "create", "shop", "--tenant", "t1", "--tenant", "t2", "--type", "guest"]);
    assert_eq!(code, Some(0), "{made}");
    let key = Key { id: said(&made, "id"), secret: said(&made, "secret") };
    let t1 = [("x-tenant-id", "t1")];
    assert_eq!(key.call(submit(&host, "guest", &t1, json!({}))).await.status, StatusCode::ACCEPTED);
    let (code, shown) = run(&host, &admin, &["keys", "list"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(&key.id) && shown.contains("t1,t2") && !shown.contains(&key.secret), "{shown}");
    let (code, listed) = run(&host, &admin, &["keys", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((code, &listed["items"][0]["jobTypes"]), (Some(0), &json!(["guest"])));
    let (code, rotated) = run(&host, &admin, &["keys", "rotate", &key.id]);
    assert_eq!(code, Some(0), "{rotated}");
    let next = Key { id: key.id.clone(), secret: said(&rotated, "secret") };
    assert_eq!(next.call(get(&host, "/jobs", &t1)).await.status, StatusCode::OK);
    let (code, revoked) = run(&host, &admin, &["keys", "revoke", &key.id]);
    assert_eq!(code, Some(0), "{revoked}");
    assert_eq!(next.call(get(&host, "/jobs", &t1)).await.status, StatusCode::UNAUTHORIZED);

    // What is not said is not guessed, and who may not is told so.
    for (token, args, code, what) in [
        (&admin, vec!["keys", "create", "shop", "--type", "guest"], 2, "--all-tenants"),
        (&admin, vec!["keys", "create", "shop", "--tenant", "t1"], 2, "--all-types"),
        (&admin, vec!["keys", "create", "shop", "--tenant", "t1", "--all-tenants", "--all-types"], 2, "cannot be used"),
        (&admin, vec!["keys", "revoke", "nonsense"], 2, "nonsense"),
        (&admin, vec!["keys", "rotate", key.id.as_str()], 1, "revoked"),
        (&token("user", Some("t1")), vec!["keys", "list"], 1, "admin"),
    ] {
        let (found, output) = run(&host, token, &args);
        assert_eq!(found, Some(code), "{args:?}: {output}");
        assert!(output.contains(what), "{args:?}: {output}");
    }
    let all = ["keys", "create", "everything", "--all-tenants", "--all-types", "--json"];
    let (code, made) = run(&host, &admin, &all);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!((code, made["tenants"].is_null(), made["jobTypes"].is_null()), (Some(0), true, true));
}
