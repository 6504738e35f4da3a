use std::{fs, path::PathBuf};

use reqwest::StatusCode;
use serde_json::json;

use super::{built, is, offer, options, publish};
use crate::support::{Db, Host, HostOptions, component, eventually, place, scratch, token, usher};

/// A pair of the host's own tests.
fn key(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../host/src/auth/testkeys").join(name)
}

fn demanding() -> HostOptions {
    let public = fs::read_to_string(key("ed.pub.pem")).unwrap();
    HostOptions { config: format!("[plugins]\ntrusted_keys = ['''{public}''']\n"), ..options(Vec::new()) }
}

fn command(host: &Host, args: &[&str]) -> (Option<i32>, String) {
    let output =
        usher().args(args).env("USHER_HOST", &host.base).env("USHER_TOKEN", token("admin", None)).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_trusted_only_signed_components_come_in() {
    let db = Db::new().await;
    let host = Host::start(&db, None, demanding()).await;
    let admin = host.admin();
    is(&publish(&admin, built("analytics.wasm")).await, StatusCode::FORBIDDEN, "signature-missing");
    for bad in ["AAAA", "not base64", &"A".repeat(88)] {
        let answer = offer(&admin, "/plugins", built("analytics.wasm"), &[("usher-signature", bad)]).await;
        is(&answer, StatusCode::FORBIDDEN, "signature-invalid");
    }
    assert_eq!(db.count("SELECT count(*) FROM releases").await, 0);

    let file = component("analytics.wasm").display().to_string();
    let private = key("ed.pem").display().to_string();
    let (code, said) = command(&host, &["plugin", "publish", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--sign KEYFILE"), "{said}");
    let (code, said) = command(&host, &["plugin", "publish", &file, "--sign", &private]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("analytics 0.1.0 serves"), "{said}");
    let history = admin.get("/plugins/analytics/releases").await.body;
    assert_eq!(history["items"][0]["signedBy"].as_str().map(str::len), Some(44), "{history}");
    let (code, said) =
        command(&host, &["plugin", "publish", &file, "--sign", &key("ed.pub.pem").display().to_string()]);
    assert_eq!(code, Some(2), "a public key signs nothing: {said}");
    assert!(said.contains("openssl genpkey"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_wants_the_signature_beside_the_file() {
    let db = Db::new().await;
    let host = Host::start(&db, None, demanding()).await;
    place(&component("analytics.wasm"), &host.plugins().join("analytics.wasm"));
    let refusal = eventually("it is refused", async || {
        host.client().get("/plugins").await.body["refusals"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(refusal["reason"], "signature-missing", "{refusal}");
    // By openssl, as an author would make it.
    let signature = scratch("sig").join("raw");
    let signed = std::process::Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey"])
        .arg(key("ed.pem"))
        .arg("-in")
        .arg(component("analytics.wasm"))
        .arg("-out")
        .arg(&signature)
        .status();
    assert!(signed.is_ok_and(|status| status.success()), "openssl signs");
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(fs::read(signature).unwrap());
    fs::write(host.plugins().join("analytics.wasm.sig"), text).unwrap();
    place(&component("analytics.wasm"), &host.plugins().join("analytics.wasm"));
    eventually("it serves", async || {
        let plugins = host.client().get("/plugins").await.body;
        (plugins["plugins"][0]["name"] == json!("analytics")).then_some(())
    })
    .await;
}
