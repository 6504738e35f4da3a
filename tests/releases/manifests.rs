//! Manifests that are wrong in one place each: refused with the reason and the line, and nothing is written.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{built, is, options, publish, published, release_of};
use crate::support::{
    Db, Host, HostOptions,
    host::POLICY,
    hostile::{manifest, repacked, unpacked, with_schema},
};

/// What is refused, the part of the detail that says why, and the line.
struct Case {
    what: &'static str,
    manifest: String,
    schema: String,
    reason: &'static str,
    says: &'static str,
    line: Option<u32>,
}

/// Of a good one, in eight lines.
fn plain(more: &str) -> String {
    manifest("wrong", "wrong", more)
}

fn in_manifest(what: &'static str, manifest: String, says: &'static str, line: Option<u32>) -> Case {
    Case { what, manifest, schema: "{}".to_owned(), reason: "manifest-invalid", says, line }
}

/// With this as line 8.
fn in_line_8(what: &'static str, more: &str, says: &'static str) -> Case {
    in_manifest(what, plain(more), says, Some(8))
}

fn against_policy(what: &'static str, manifest: String, says: &'static str, line: u32) -> Case {
    Case { reason: "policy", ..in_manifest(what, manifest, says, Some(line)) }
}

/// The line is that of the manifest that names the schema.
fn in_schema(what: &'static str, schema: String, says: &'static str) -> Case {
    Case { schema, ..in_manifest(what, plain(""), says, Some(7)) }
}

fn cases() -> Vec<Case> {
    let with_grants = |grants: &str, queue: &str| {
        plain("").replace("[[job]]", &format!("[grants]\n{grants}\n[[job]]")).replace("\"money\"", queue)
    };
    let twice = format!("{}[[job]]\ntype = \"wrong\"\nqueue = \"money\"\nschema = \"schema.json\"\n", plain(""));
    let jobs: String =
        (0..70).map(|n| format!("[[job]]\ntype = \"w{n}\"\nqueue = \"money\"\nschema = \"schema.json\"\n")).collect();
    vec![
        in_manifest("no TOML", "[plugin\nname".to_owned(), "line 1", Some(1)),
        in_manifest("nothing", String::new(), "plugin", Some(1)),
        in_manifest("no job", "[plugin]\nname = \"wrong\"\nversion = \"1.0.0\"\n".to_owned(), "at least one job", None),
        in_manifest(
            "70 jobs",
            plain("").replace("[[job]]", &format!("{jobs}[[job]]")),
            "at most 64",
            Some(4 + 4 * 64 + 1),
        ),
        in_manifest(
            "a name of two words",
            plain("").replace("name = \"wrong\"", "name = \"Two words\""),
            "plugin.name",
            Some(2),
        ),
        in_manifest("no name", plain("").replace("name = \"wrong\"\n", ""), "name", Some(1)),
        in_manifest("a version that is none", plain("").replace("1.0.0", "one"), "plugin.version", Some(3)),
        in_manifest(
            "a type of two words",
            plain("").replace("type = \"wrong\"", "type = \"two words\""),
            "job.0.type",
            Some(5),
        ),
        in_manifest("a type twice", twice, "there twice", Some(9)),
        in_manifest(
            "an unknown key of a plugin",
            plain("").replace("version", "licence = \"none\"\nversion"),
            "licence",
            Some(3),
        ),
        in_manifest("an unknown key of grants", with_grants("teleport = [\"x\"]", "\"money\""), "teleport", Some(5)),
        in_manifest(
            "an unused import of another kind",
            plain("").replace("[[job]]", "unused_imports = [\"wasi:http\"]\n[[job]]"),
            "wasi:http",
            Some(4),
        ),
        in_line_8("an unknown key of a job", "priority = \"high\"\n", "priority"),
        in_line_8("an unknown key of limits", "limits = { fuel = 1 }\n", "fuel"),
        in_line_8("an unknown section", "[secrets]\nkey = \"x\"\n", "secrets"),
        in_line_8("a memory that is none", "limits = { memory = \"lots\" }\n", "is no size"),
        in_line_8("a memory beyond all numbers", "limits = { memory = \"99999999999GiB\" }\n", "is no size"),
        in_line_8("a memory below a page", "limits = { memory = 1 }\n", "at least 64KiB"),
        in_line_8("no CPU time", "limits = { cpu = \"0s\" }\n", "more than 0"),
        in_line_8("effects below zero", "limits = { effects = -1 }\n", ""),
        in_line_8("a template without its brace", "idempotency = { key = \"a-{b\" }\n", "brace"),
        in_line_8("a template of no field", "idempotency = { key = \"a-{UTC date}\" }\n", "no field"),
        in_line_8("a template of a strange field", "idempotency = { key = \"{a b}\" }\n", "no field name"),
        in_line_8("a template of an empty place", "idempotency = { key = \"{}\" }\n", "empty place"),
        in_line_8("a template that cannot be kept", "idempotency = { key = \"\\u0000{a}\" }\n", "u0000"),
        in_line_8("a key for two years", "idempotency = { key = \"{a}\", ttl = \"800 days\" }\n", "400 days"),
        in_line_8("another word than none", "idempotency = \"maybe\"\n", ""),
        in_manifest("a manifest of a megabyte", plain(&format!("# {}\n", "x".repeat(1 << 20))), "at most 65536", None),
        in_line_8("tables nested deep", &format!("x = {}{}\n", "[".repeat(10_000), "]".repeat(10_000)), ""),
        against_policy("a queue of nobody's", plain("").replace("\"money\"", "\"ghost\""), "queues.ghost", 6),
        against_policy(
            "a queue of the wrong tier",
            with_grants("email = [\"default\"]", "\"background\""),
            "tier 1 or 2",
            8,
        ),
        against_policy(
            "money in a queue of mails",
            with_grants("stripe = [\"create-refund\"]", "\"communication\""),
            "tier 1",
            8,
        ),
        against_policy(
            "a grant of nobody's",
            with_grants("upstream = [\"rig\"]", "\"money\""),
            "plugins.policy.wrong.upstream",
            5,
        ),
        against_policy("memory beyond the ceiling", plain("limits = { memory = \"4GiB\" }\n"), "runtime.max_memory", 8),
        against_policy("CPU beyond the ceiling", plain("limits = { cpu = \"1h\" }\n"), "runtime.max_cpu", 8),
        against_policy("wall beyond the ceiling", plain("limits = { wall = \"1day\" }\n"), "runtime.max_wall", 8),
        against_policy(
            "effects beyond the ceiling",
            plain("limits = { effects = 1000000 }\n"),
            "runtime.max_effects",
            8,
        ),
        in_manifest(
            "a schema that is not there",
            plain("").replace("schema.json", "other.json"),
            "no file other.json",
            Some(7),
        ),
        in_schema("no JSON", "{".to_owned(), "is not JSON"),
        in_schema("no schema", json!({"type": "strnig"}).to_string(), "is no JSON Schema"),
        in_schema("a number", "1".to_owned(), "is no JSON Schema"),
        in_schema("a schema of 100 KiB", json!({"title": "x".repeat(100 << 10)}).to_string(), "at most 65536"),
        in_schema("arrays nested deep", "[".repeat(60_000), "is not JSON"),
        in_schema("objects nested deep", nested(60), "nested deeper"),
        in_schema(
            "a reference elsewhere",
            json!({"$ref": "https://schemas.example/x.json"}).to_string(),
            "leaves the schema",
        ),
        in_schema(
            "a reference to a file",
            json!({"items": {"$ref": "file:///etc/passwd"}}).to_string(),
            "leaves the schema",
        ),
        in_schema(
            "a reference beside it",
            json!({"items": {"$dynamicRef": "other.json#a"}}).to_string(),
            "leaves the schema",
        ),
        in_schema("a reference to nothing", json!({"$ref": "#/$defs/nothing"}).to_string(), "is no JSON Schema"),
        in_schema("another name within", json!({"items": {"$id": "https://schemas.example/"}}).to_string(), "$id"),
        in_schema("references that double", doubling(16), "10000 parts"),
        in_schema("a chain of references", chain(1_000), "nested deeper"),
        in_schema("a pattern that looks around", json!({"pattern": "^(?!x)(?=a).*$"}).to_string(), "no look-around"),
        in_schema("a pattern that refers back", json!({"pattern": "^(a+)\\1$"}).to_string(), "no back-references"),
        in_schema(
            "a pattern that explodes",
            json!({"pattern": "((((a{9}){9}){9}){9}){9}"}).to_string(),
            "small when compiled",
        ),
        in_schema("a pattern that is none", json!({"patternProperties": {"(": {}}}).to_string(), "is no JSON Schema"),
        in_schema("a thousand large patterns", many_patterns(1_000), "small when compiled"),
        in_schema("text that cannot be kept", json!({"const": "a\0b"}).to_string(), "u0000"),
    ]
}

fn nested(levels: usize) -> String {
    (0..levels).fold(json!({}), |inner, _| json!({"properties": {"a": inner}})).to_string()
}

/// Each definition is the one after it, twice.
fn doubling(levels: usize) -> String {
    let mut defs = serde_json::Map::new();
    for n in 0..levels {
        let next = format!("#/$defs/d{}", n + 1);
        defs.insert(format!("d{n}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
    }
    defs.insert(format!("d{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()
}

fn chain(length: usize) -> String {
    let mut defs = serde_json::Map::new();
    for n in 0..length {
        defs.insert(format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n + 1)}));
    }
    defs.insert(format!("d{length}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string()
}

fn many_patterns(count: usize) -> String {
    let each: serde_json::Map<String, Value> =
        (0..count).map(|n| (format!("p{n}"), json!({"pattern": format!("^(a[b-d]|e){{1,300}}x{n}")}))).collect();
    json!({"properties": each}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_wrong_in_one_place_is_refused_with_its_line() {
    let db = Db::new().await;
    let policy = "\n[plugins.policy.wrong]\nemail = [\"default\"]\nstripe = [\"create-refund\"]\n";
    let policy = Some(format!("{POLICY}{policy}"));
    let mut host = Host::start(&db, None, HostOptions { policy, ..options(vec!["analytics.wasm"]) }).await;
    let admin = host.admin();
    let empty = wat::parse_str("(component)").unwrap();
    for Case { what, manifest, schema, reason, says, line } in cases() {
        let answer = publish(&admin, with_schema(&empty, &manifest, &schema)).await;
        is(&answer, StatusCode::UNPROCESSABLE_ENTITY, reason);
        assert_eq!(
            (&answer.body["reason"], &answer.body["line"]),
            (&json!(reason), &json!(line)),
            "{what}: {}",
            answer.body
        );
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(says) && detail.len() < 10_000, "{what}: {detail}");
    }
    for table in ["releases", "activations", "job_types"] {
        assert_eq!(db.count(&format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
    assert_eq!(db.count("SELECT count(*) FROM rejections").await, 0, "no compiler was asked");
    assert_eq!(release_of(&host.client()).await, "v1");
    assert!(host.is_alive() && host.rss() < 500 << 20, "{}", host.rss());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_another_plugin_and_a_version_that_is_there_are_refused_with_their_line() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let admin = host.admin();
    let thief =
        manifest("thief", "mine", "[[job]]\ntype = \"analytics-track\"\nqueue = \"money\"\nschema = \"schema.json\"\n");
    let answer = publish(&admin, repacked("analytics.wasm", &thief)).await;
    is(&answer, StatusCode::CONFLICT, "job-type-taken");
    assert_eq!(answer.body["line"], 9, "the second job: {}", answer.body);
    // The same code, the same version, another schema: other bytes.
    let again = manifest("analytics", "analytics-track", "").replace("1.0.0", "0.1.0");
    let answer = publish(&admin, with_schema(&unpacked("analytics.wasm"), &again, "{\"type\": \"object\"}")).await;
    is(&answer, StatusCode::CONFLICT, "version-taken");
    assert_eq!(answer.body["line"], 3, "{}", answer.body);
    // The bytes that are there are no conflict.
    assert_eq!(publish(&admin, built("analytics.wasm")).await.status, StatusCode::OK);
    assert_eq!(db.count("SELECT count(*) FROM releases").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM job_types").await, 1, "not the thief's own type either");
    assert_eq!(release_of(&host.client()).await, "v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_explodes_elsewhere_is_read_once_from_left_to_right_here() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(Vec::new())).await;
    let (admin, client) = (host.admin(), host.client());
    // Each of them takes an engine that tries all ways longer than the world is old.
    let schema = json!({
        "properties": {
            "a": {"type": "string", "pattern": "^(a+)+$"},
            "b": {"type": "string", "pattern": "^(a|aa)+$"},
            "c": {"type": "string", "pattern": "^(.*a){20}$"},
        },
    });
    let grants = "[grants]\njobs = [\"guest\", \"guest-money\"]\n[[job]]";
    let manifest = manifest("guest", "guest", "idempotency = \"none\"\n").replace("[[job]]", grants);
    published(&admin, with_schema(&unpacked("guest.wasm"), &manifest, &schema.to_string())).await;
    let long = "a".repeat(200_000) + "!";
    for field in ["a", "b", "c"] {
        let body = json!({"type": "guest", "payload": {"do": "ok", field: long}}).to_string();
        let answer = client.post(body).await;
        is(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid-payload");
    }
    let id = client.submit("guest", json!({"do": "ok", "a": "aaaa"})).await;
    client.wait(&id, "completed").await;
}
