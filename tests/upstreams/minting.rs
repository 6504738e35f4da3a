//! The compressed mint: by a service that wants signed requests, and by the product's older JSON-RPC.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    Db, Fault, FaultProxy, Host, HostOptions, MintingService,
    minting::{KEY, KEY_ID, by_npm},
};

pub const POLICY: &str = "[plugins.policy.guest-ticket]\njobs = [\"guest-ticket\"]\nupstream = [\"storage\", \"minting\", \"minting-rpc\"]\n";

/// Storage and service at this base URL, as the example configuration has them.
pub fn options(base: &str) -> HostOptions {
    HostOptions {
        plugins: vec!["guest-ticket.wasm"],
        config: format!(
            r#"
[upstreams.storage]
base_url = "{base}/storage"
methods = ["PUT"]
idempotent = true
timeout = "10s"
[upstreams.minting]
base_url = "{base}"
methods = ["POST"]
paths = ["/api/v1/mint/compressed"]
tenant_header = "X-Tenant-ID"
signature = {{ key_id = "{KEY_ID}", key = {{ env = "USHER_TEST_MINTING" }} }}
idempotent = true
timeout = "10s"
[upstreams.minting-rpc]
base_url = "{base}/rpc"
methods = ["POST"]
paths = ["/"]
timeout = "10s"
"#
        ),
        env: vec![("USHER_TEST_MINTING", KEY.to_owned())],
        policy: Some(POLICY.to_owned()),
        ..HostOptions::default()
    }
}

pub fn mint(how: &str, ticket: &str) -> Value {
    let metadata = json!({"attributes": [ticket], "name": "Ticket"});
    // As the guest writes it.
    let name = Sha256::digest(metadata.to_string());
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"do": how, "ticket": ticket, "metadata": metadata, "name": name})
}

struct Rig {
    service: MintingService,
    proxy: FaultProxy,
    db: Db,
    host: Host,
}

impl Rig {
    async fn start() -> Self {
        let service = MintingService::start().await;
        let proxy = FaultProxy::start(&service.base).await;
        let db = Db::new().await;
        let host = Host::start(&db, None, options(&proxy.base)).await;
        Self { service, proxy, db, host }
    }

    async fn run(&self, payload: Value, state: &str) -> Value {
        let client = self.host.client();
        client.wait(&client.submit("guest-ticket", payload).await, state).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_verifiers_take_the_signature_of_a_mint_and_nothing_else() {
    let rig = Rig::start().await;
    let job = rig.run(mint("ticket", "t-1"), "completed").await;
    assert_eq!(job["result"]["assetId"], "asset-1", "{job}");
    // PyPI's, or the service would not have acted.
    assert_eq!(rig.service.mints().await, [json!({"ticket": "t-1", "tenant": "t1", "asset": "asset-1"})]);
    let [seen] = rig.service.seen().await.try_into().unwrap();
    assert_eq!(seen["status"], 201, "{seen}");

    let changed = |name: &str, value: &str| {
        let mut other = seen.clone();
        let headers = other["headers"].as_object_mut().unwrap();
        let found = headers.keys().find(|header| header.eq_ignore_ascii_case(name)).unwrap().clone();
        headers.insert(found, value.into());
        other
    };
    let mut elsewhere = seen.clone();
    elsewhere["url"] = seen["url"].as_str().unwrap().replace("127.0.0.1", "localhost").into();
    let mut more = seen.clone();
    more["body"] = seen["body"].as_str().unwrap().replace("t-1", "t-2").into();
    let input = header(&seen, "signature-input");
    let others = [
        changed("x-tenant-id", "t2"),
        changed("idempotency-key", "another"),
        changed("content-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        changed("signature-input", &input.replace("created=1", "created=2")),
        changed("signature-input", &input.replace("nonce=\"", "nonce=\"0")),
        elsewhere,
        more,
    ];
    let mut verdicts = by_npm(&[std::slice::from_ref(&seen), &others[..]].concat());
    assert!(verdicts.remove(0), "npm's takes what was sent");
    for (other, is_good) in others.iter().zip(verdicts) {
        assert!(!is_good, "npm's takes {other}");
        assert_eq!(rig.service.send(other).await, 401, "PyPI's takes {other}");
    }
    assert_eq!(rig.service.send(&seen).await, 401, "a nonce is good once");
    assert_eq!(rig.service.mints().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_whose_answer_is_lost_is_signed_anew_under_the_same_key() {
    let rig = Rig::start().await;
    rig.proxy.on("POST /api/v1/mint/compressed", 2, Fault::CutAfter);
    let job = rig.run(mint("ticket", "t-1"), "completed").await;
    assert_eq!(job["result"]["assetId"], "asset-1", "{job}");
    assert_eq!(rig.service.mints().await.len(), 1);
    let seen = rig.service.seen().await;
    assert_eq!((seen.len(), by_npm(&seen)), (3, vec![true; 3]));
    let distinct = |name: &str| {
        let mut all: Vec<_> = seen.iter().map(|one| header(one, name)).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    assert_eq!((distinct("idempotency-key"), distinct("signature"), distinct("signature-input")), (1, 3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_another_key_refuses_and_the_guest_hears_it() {
    let rig = Rig::start().await;
    let wrong = HostOptions {
        env: vec![("USHER_TEST_MINTING", KEY.replace("shared", "stolen"))],
        data_dir: Some(rig.host.data_dir.clone()),
        ..options(&rig.proxy.base)
    };
    let (service, proxy, db) = (rig.service, rig.proxy, rig.db);
    assert_eq!(rig.host.terminate().await, Some(0));
    let host = Host::start(&db, None, wrong).await;
    let client = host.client();
    let job = client.wait(&client.submit("guest-ticket", mint("ticket", "t-1")).await, "dead").await;
    assert_eq!((&job["reason"], service.mints().await.len()), (&json!("permanent"), 0), "{job}");
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("answered 401"), "{job}");
    assert_eq!(by_npm(&service.seen().await), [false]);
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_json_rpc_an_error_is_the_guests_to_read_and_a_lost_answer_a_persons() {
    let rig = Rig::start().await;
    let job = rig.run(mint("ticket-by-rpc", "t-1"), "completed").await;
    assert_eq!(job["result"]["assetId"], "asset-1", "{job}");
    let mut nameless = mint("ticket-by-rpc", "t-2");
    nameless["metadata"] = json!({});
    let job = rig.run(nameless, "dead").await;
    assert_eq!(job["reason"], "permanent", "{job}");
    assert!(job["errors"][0]["message"].as_str().unwrap().contains("the metadata have no name"), "{job}");
    rig.proxy.on("POST /rpc/", 1, Fault::CutAfter);
    let job = rig.run(mint("ticket-by-rpc", "t-3"), "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    let tickets: Vec<_> = rig.service.mints().await.iter().map(|mint| mint["ticket"].clone()).collect();
    assert_eq!(tickets, ["t-1", "t-3"], "and it is not sent again");
}

fn header(seen: &Value, name: &str) -> String {
    let headers = seen["headers"].as_object().unwrap();
    let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name}: {seen}")).1.as_str().unwrap().to_owned()
}
