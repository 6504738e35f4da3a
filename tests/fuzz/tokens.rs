//! Forged tokens: each of them everywhere where a token counts.

use reqwest::Method;

use crate::{
    forgeries::{Target, forgeries},
    report::Report,
    rig::Rig,
    support::{SECRET, read},
};

const KIND: &str = "tokens";
/// A public key that an attacker could take for the secret. No host here trusts it.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";

pub async fn all(rig: &Rig, report: &mut Report) {
    let all = forgeries(&Target { secret: SECRET.as_bytes(), public_keys: &[PUBLIC] });
    assert!(all.len() >= 40, "{}", all.len());
    for (name, forged) in &all {
        let client = rig.admin.with_token(forged.clone());
        report.refused(KIND, name, &client.get("/jobs").await, &[401]);
        report.refused(KIND, name, &client.send(Method::POST, "/queues/spare/pause", None).await, &[401]);
    }
    // A good one in places where no token is looked for, and in forms that are none.
    let good = crate::support::token("admin", Some("t1"));
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    for (name, header, value) in [
        ("of another scheme", "authorization", format!("Basic {good}")),
        ("without a scheme", "authorization", good.clone()),
        ("with two commas", "authorization", format!("Bearer {good}, Bearer {good}")),
        ("in a cookie", "cookie", format!("token={good}")),
        ("of a proxy", "proxy-authorization", format!("Bearer {good}")),
        ("in a header of our own", "x-authorization", format!("Bearer {good}")),
    ] {
        let answer = stranger.get(format!("{}/jobs", rig.base)).header(header, value).send().await.unwrap();
        report.refused(KIND, name, &read(answer).await, &[401]);
    }
    let twice =
        stranger.get(format!("{}/jobs", rig.base)).bearer_auth(&good).header("authorization", format!("Bearer {good}"));
    report.refused(KIND, "two headers", &read(twice.send().await.unwrap()).await, &[400, 401]);
    for name in ["access_token", "token", "jwt"] {
        let answer = stranger.get(format!("{}/jobs?{name}={good}", rig.base)).send().await.unwrap();
        report.refused(KIND, &format!("in the query, as {name}"), &read(answer).await, &[400, 401]);
    }
    // And the same one where it belongs.
    let answer = rig.admin.with_token(good).get("/jobs").await;
    if !answer.status.is_success() {
        report.fail(KIND, &format!("the good one is answered {}", answer.status));
    }
}
