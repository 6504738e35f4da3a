use std::io::Write;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{claims, host, now, own, status};
use crate::support::{Client, Db, Host, eventually, scratch, token, usher};

fn with_id(jti: &str) -> String {
    let mut claims = claims();
    claims["jti"] = json!(jti);
    own(&claims)
}

async fn revoke(host: &Host, body: Value) -> crate::support::Answer {
    host.admin().send(Method::POST, "/revocations", Some(body)).await
}

async fn is_out(host: &Host, token: &str) {
    eventually("the token is let in no more", async || {
        (status(host, token).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_let_in_by_no_node_also_where_it_was_good_a_moment_ago() {
    let db = Db::new().await;
    let (one, two) = (host(&db, String::new()).await, host(&db, String::new()).await);
    let (bad, good) = (with_id("bad"), with_id("good"));
    for host in [&one, &two] {
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            assert_eq!((status(host, &bad).await, status(host, &good).await), (StatusCode::OK, StatusCode::OK));
        }
    }
    let exp = now() + 3_600;
    let done = revoke(&one, json!({ "jti": "bad", "exp": exp })).await;
    assert_eq!((done.status, &done.body["jti"]), (StatusCode::CREATED, &json!("bad")), "{}", done.body);
    let answer = Client::new(&one.base, bad.clone()).get("/jobs").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "at once where it was said");
    assert_eq!(answer.body["detail"], "Not let in: the token is revoked.");
    is_out(&two, &bad).await;
    for host in [&one, &two] {
        assert_eq!(status(host, &good).await, StatusCode::OK);
    }
    // A host that starts later knows before it answers.
    let three = host(&db, String::new()).await;
    assert_eq!((status(&three, &bad).await, status(&three, &good).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));

    // A note that is lost is made good by the heartbeat.
    db.execute(
        "WITH news AS (UPDATE revocation_news SET version = version + 1 RETURNING version) \
         INSERT INTO revocations (jti, expires_at, revoked_by, version) \
         SELECT 'good', now() + interval '1 hour', 'sql', version FROM news",
    )
    .await;
    is_out(&two, &good).await;

    // Once more, for longer; of one issuer only; and who did it.
    assert_eq!(revoke(&two, json!({ "jti": "bad", "exp": exp + 60 })).await.status, StatusCode::CREATED);
    let other = with_id("of one");
    assert_eq!(revoke(&two, json!({ "jti": "of one", "issuer": "test" })).await.body["issuer"], "test");
    assert_eq!(status(&two, &other).await, StatusCode::UNAUTHORIZED);
    let list = one.admin().get("/revocations?limit=2").await.body;
    assert_eq!((&list["items"][0]["jti"], &list["items"][1]["jti"]), (&json!("of one"), &json!("good")), "{list}");
    let next = one.admin().get(&format!("/revocations?cursor={}", list["nextCursor"].as_str().unwrap())).await.body;
    assert_eq!((&next["items"][0]["jti"], &next["items"][0]["revokedBy"]), (&json!("bad"), &json!("u1")), "{next}");
    assert_eq!(next["nextCursor"], Value::Null);
    let audit = one.admin().get("/audit?action=token.revoke&target=token/bad").await.body;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");
    let stats = two.client().get("/cache/stats").await.body["caches"]["revocations"].clone();
    assert!(stats["entries"] == 3 && stats["hits"].as_u64() >= Some(2), "{stats}");

    // What is over is let go, a little every minute, and counts no more as soon as it is over.
    db.execute("UPDATE revocations SET expires_at = now() - interval '1 second'").await;
    assert_eq!(one.admin().get("/revocations").await.body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_an_admins_and_is_checked() {
    let db = Db::new().await;
    let host = host(&db, String::new()).await;
    for (role, tenant) in [("user", "t1"), ("venue_admin", "t1")] {
        let client = Client::new(&host.base, token(role, Some(tenant)));
        let refused = client.send(Method::POST, "/revocations", Some(json!({ "jti": "x" }))).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{role}");
        assert_eq!(client.get("/revocations").await.status, StatusCode::FORBIDDEN, "{role}");
    }
    for (body, pointer) in [
        (json!({}), "/jti"),
        (json!({ "jti": "" }), "/jti"),
        (json!({ "jti": 7 }), "/jti"),
        (json!({ "jti": "x".repeat(256) }), "/jti"),
        (json!({ "jti": "a\u{0}b" }), "/jti"),
        (json!({ "jti": "a\u{1b}[31m" }), "/jti"),
        (json!({ "jti": "x", "exp": now() - 1 }), "/exp"),
        (json!({ "jti": "x", "exp": now() * 1_000 }), "/exp"),
        (json!({ "jti": "x", "exp": -1 }), "/exp"),
        (json!({ "jti": "x", "exp": "tomorrow" }), "/exp"),
        (json!({ "jti": "x", "issuer": "nobody" }), "/issuer"),
        (json!({ "jti": "x", "why": "?" }), "/why"),
    ] {
        let refused = revoke(&host, body.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{body}: {}", refused.body);
    }
    assert_eq!(db.count("SELECT count(*) FROM revocations").await, 0);

    // By command: a token that was minted, in a file or from standard input, or an id.
    let config = scratch("mint").join("usher.toml");
    std::fs::write(
        &config,
        "[[auth.issuers]]\nname = \"test\"\nalgorithm = \"HS256\"\nsecret = { env = \"USHER_TEST_JWT\" }\n",
    )
    .unwrap();
    let mint = || {
        let mut mint = usher();
        mint.args(["token", "mint", "--role", "user", "--tenant", "t1", "--config"]).arg(&config);
        let output = mint.env("USHER_TEST_JWT", crate::support::SECRET).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let run = |args: &[&str], input: &str| {
        let mut command = usher();
        command.args(["token", "revoke"]).args(args).args(["--host", host.base.as_str()]);
        command.env("USHER_TOKEN", token("admin", None)).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that is refused at once does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let minted = [mint(), mint()];
    for token in &minted {
        assert_eq!(status(&host, token).await, StatusCode::OK);
    }
    let file = scratch("revoke").join("token");
    std::fs::write(&file, &minted[0]).unwrap();
    let (code, out, err) = run(&["--file", file.to_str().unwrap()], "");
    assert!(code == Some(0) && out.contains("is let in no more; kept until "), "{out}{err}");
    let (code, out, err) = run(&["--file", "-", "--json"], &minted[1]);
    let shown: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert!(code == Some(0) && shown["expiresAt"].is_string(), "{shown}");
    for token in &minted {
        assert_eq!(status(&host, token).await, StatusCode::UNAUTHORIZED);
    }
    let (code, _, err) = run(&["--jti", "x", "--exp", "7"], "");
    assert!(code == Some(1) && err.contains("/exp"), "{err}");
    let (code, _, err) = run(&["--file", "-"], "nonsense");
    assert!(code == Some(2) && err.contains("no JWT"), "{err}");
    let (code, _, _) = run(&[], "");
    assert_eq!(code, Some(2));
}
