use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

pub use super::schema::{MAX_SCHEMA, validator};
use super::{Idempotency, JobType, Limits, Manifest, line_at, schema};
use crate::{
    config::GrantSet,
    idempotency::{Template, TemplateError},
};

/// Longest manifest, in bytes of its text.
pub const MAX_MANIFEST: usize = 64 * 1024;
/// Most job types of one plugin: each has a schema that every node keeps compiled.
const MAX_JOBS: usize = 64;
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 3600);
const MAX_TTL: Duration = Duration::from_secs(400 * 24 * 3600);

/// Why a `plugin.toml` is none, with the line. The TOML reader's own errors name line and column.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("plugin.toml: {}", .0.to_string().trim_end())]
    Toml(#[from] toml::de::Error),
    #[error("plugin.toml: {}{place}: {message}", line.map(|n| format!("line {n}: ")).unwrap_or_default())]
    Field { line: Option<usize>, place: String, message: String },
}

/// The text of a manifest, for saying where in it something is.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn field(&self, span: &Range<usize>, place: impl Into<String>, message: impl Into<String>) -> ManifestError {
        ManifestError::Field { line: Some(line_at(self.0, span.start)), place: place.into(), message: message.into() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    plugin: Plugin,
    #[serde(default)]
    grants: GrantSet,
    #[serde(default)]
    job: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    name: Spanned<String>,
    version: Spanned<String>,
    #[serde(default)]
    unused_imports: Vec<Spanned<String>>,
}

/// What a toolchain may import in vain. Nothing of it is linked, granted or not.
const MAY_BE_UNUSED: [&str; 1] = ["wasi:sockets"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    #[serde(rename = "type")]
    job_type: Spanned<String>,
    queue: String,
    schema: Spanned<String>,
    idempotency: Option<Spanned<Key>>,
    limits: Option<Spanned<LimitsFile>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    None(NoneWord),
    Some(KeyFile),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NoneWord {
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    key: Option<String>,
    #[serde(default, with = "humantime_serde")]
    ttl: Option<Duration>,
    header: Option<Also>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Also {
    Also,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsFile {
    memory: Option<Size>,
    #[serde(with = "humantime_serde")]
    cpu: Option<Duration>,
    #[serde(with = "humantime_serde")]
    wall: Option<Duration>,
    effects: Option<u32>,
}

/// `"32MiB"`, `"512KiB"`, or a number of bytes.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Bytes(u64),
            Text(String),
        }
        let text = match Form::deserialize(d)? {
            Form::Bytes(bytes) => return Ok(Self(bytes)),
            Form::Text(text) => text,
        };
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
        units
            .into_iter()
            .find_map(|(unit, shift)| text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is no size such as \"32MiB\"")))
    }
}

/// Reads a manifest. `files` holds what it names, by name: the schemas.
pub fn parse(toml: &str, files: &BTreeMap<String, String>) -> Result<Manifest, ManifestError> {
    let whole = |place: &str, message: String| ManifestError::Field { line: None, place: place.to_owned(), message };
    if toml.len() > MAX_MANIFEST {
        let message = format!("has {} bytes, at most {MAX_MANIFEST} are allowed", toml.len());
        return Err(whole("the file", message));
    }
    let file: File = toml::from_str(toml)?;
    let text = Text(toml);
    let Plugin { name, version, unused_imports } = file.plugin;
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=64).contains(&name.get_ref().len()) || !name.get_ref().chars().all(known) {
        return Err(text.field(&name.span(), "plugin.name", "1 to 64 of a-z, 0-9 and -"));
    }
    if !is_version(version.get_ref()) {
        return Err(text.field(&version.span(), "plugin.version", "a version such as 1.2.0"));
    }
    if let Some(other) = unused_imports.iter().find(|name| !MAY_BE_UNUSED.contains(&name.get_ref().as_str())) {
        let message = format!("\"{}\": only \"wasi:sockets\" can be named here", other.get_ref());
        return Err(text.field(&other.span(), "plugin.unused_imports", message));
    }
    if file.job.is_empty() {
        return Err(whole("job", "a plugin owns at least one job type ([[job]])".to_owned()));
    }
    if let Some(one_more) = file.job.get(MAX_JOBS) {
        let message = format!("a plugin owns at most {MAX_JOBS} job types");
        return Err(text.field(&one_more.job_type.span(), format!("job.{MAX_JOBS}.type"), message));
    }
    let schemas = file.job.iter().filter_map(|job| files.get(job.schema.get_ref()));
    let most = schema::share(schemas.map(String::as_str));
    let mut jobs: Vec<JobType> = Vec::new();
    for (n, job) in file.job.into_iter().enumerate() {
        let span = job.job_type.span();
        let job = job_type(&text, job, n, files, most)?;
        if jobs.iter().any(|other| other.job_type == job.job_type) {
            return Err(text.field(&span, format!("job.{n}.type"), format!("\"{}\" is there twice", job.job_type)));
        }
        jobs.push(job);
    }
    Ok(Manifest {
        name: name.into_inner(),
        version: version.into_inner(),
        grants: file.grants,
        unused_imports: unused_imports.into_iter().map(Spanned::into_inner).collect(),
        jobs,
    })
}

/// Names of the files that a manifest names, for whoever packs it.
pub fn files_named(toml: &str) -> Result<Vec<String>, ManifestError> {
    let file: File = toml::from_str(toml)?;
    Ok(file.job.into_iter().map(|job| job.schema.into_inner()).collect())
}

/// Where in the text the version stands, quotes included.
pub fn version_place(toml: &str) -> Result<Range<usize>, ManifestError> {
    let file: File = toml::from_str(toml)?;
    Ok(file.plugin.version.span())
}

/// `most`: bytes of a compiled pattern.
fn job_type(
    text: &Text<'_>,
    job: Job,
    n: usize,
    files: &BTreeMap<String, String>,
    most: usize,
) -> Result<JobType, ManifestError> {
    let type_span = job.job_type.span();
    let job_type = job.job_type.into_inner();
    let place = |key: &str| format!("job.{n}.{key} ({job_type})");
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.' || c == '_';
    if !(1..=128).contains(&job_type.len()) || !job_type.chars().all(word) {
        return Err(text.field(&type_span, format!("job.{n}.type"), "1 to 128 of a-z, 0-9, -, . and _"));
    }
    let named = job.schema.get_ref();
    let schema = files.get(named).ok_or_else(|| format!("there is no file {named}"));
    let schema = schema.and_then(|text| schema::parse(text, most).map_err(|message| format!("{named} {message}")));
    let schema = schema.map_err(|message| text.field(&job.schema.span(), place("schema"), message))?;
    let idempotency = match job.idempotency.map(|key| (key.span(), key.into_inner())) {
        Some((_, Key::None(NoneWord::None))) => None,
        None => Some(Idempotency { key: None, ttl: DEFAULT_TTL, header_also: false }),
        Some((span, Key::Some(key))) => {
            if let Some(template) = &key.key {
                Template::parse(template)
                    .map_err(|e: TemplateError| text.field(&span, place("idempotency.key"), e.to_string()))?;
                // The manifest is kept in Postgres, which has no such character.
                if template.contains('\0') {
                    return Err(text.field(&span, place("idempotency.key"), "holds the character \\u0000"));
                }
            }
            let ttl = key.ttl.unwrap_or(DEFAULT_TTL);
            if ttl.is_zero() || ttl > MAX_TTL {
                return Err(text.field(&span, place("idempotency.ttl"), "more than 0 and at most 400 days"));
            }
            Some(Idempotency { key: key.key, ttl, header_also: key.header.is_some() })
        }
    };
    let limits_span = job.limits.as_ref().map_or(type_span, Spanned::span);
    let limits = job.limits.map(Spanned::into_inner).unwrap_or_default();
    let limits = Limits {
        memory: limits.memory.map_or(32 << 20, |size| size.0),
        cpu: limits.cpu.unwrap_or(Duration::from_millis(500)),
        wall: limits.wall.unwrap_or(Duration::from_secs(60)),
        effects: limits.effects.unwrap_or(20),
    };
    if limits.memory < 1 << 16 || limits.cpu.is_zero() || limits.wall.is_zero() {
        let message = "memory is at least 64KiB; cpu and wall are more than 0";
        return Err(text.field(&limits_span, place("limits"), message));
    }
    Ok(JobType { job_type, queue: job.queue, schema, idempotency, limits })
}

fn is_version(text: &str) -> bool {
    let (core, _) = text.split_once(['-', '+']).unwrap_or((text, ""));
    let parts: Vec<_> = core.split('.').collect();
    text.len() <= 64
        && parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[plugin]
name = "payments"
version = "1.2.0"
[grants]
jobs = ["send-email"]
[[job]]
type = "payment-process"
queue = "money"
schema = "schema.json"
idempotency = { key = "payment-{venueId}-{amount}", ttl = "12h", header = "also" }
limits = { memory = "64MiB", cpu = "1s", effects = 3 }
[[job]]
type = "track"
queue = "background"
schema = "schema.json"
idempotency = "none"
"#;

    fn files(schema: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("schema.json".to_owned(), schema.to_owned())])
    }

    #[test]
    fn a_manifest_is_read_with_its_defaults() {
        let manifest = parse(GOOD, &files(r#"{"type":"object"}"#)).expect("good");
        let payment = &manifest.jobs[0];
        let key = payment.idempotency.as_ref().expect("a key");
        assert!(key.header_also && key.ttl == Duration::from_secs(12 * 3600));
        assert_eq!(payment.limits.memory, 64 << 20);
        assert_eq!((payment.limits.wall, payment.limits.effects), (Duration::from_secs(60), 3));
        assert_eq!(manifest.jobs[1].idempotency, None);
        assert_eq!(files_named(GOOD).expect("good"), ["schema.json", "schema.json"]);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let good = files("{}");
        for (from, to, said) in [
            ("name = \"payments\"", "name = \"Pay ments\"", "line 3: plugin.name"),
            ("version = \"1.2.0\"", "version = \"new\"", "line 4: plugin.version"),
            ("queue = \"money\"", "queu = \"money\"", "line 9"),
            ("{venueId}", "{venue Id}", "line 11: job.0.idempotency.key (payment-process)"),
            ("ttl = \"12h\"", "ttl = \"0s\"", "line 11: job.0.idempotency.ttl"),
            ("\"64MiB\"", "\"64 megs\"", "is no size"),
            ("type = \"track\"", "type = \"payment-process\"", "line 14: job.1.type"),
            ("jobs = [", "jbos = [", "unknown field"),
            (
                "schema = \"schema.json\"\nidempotency = \"none\"",
                "schema = \"other.json\"",
                "line 16: job.1.schema (track): there is no file other.json",
            ),
            ("cpu = \"1s\"", "cpu = \"0s\"", "line 12: job.0.limits"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = parse(&text, &good).expect_err(to).to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn a_manifest_is_small_and_can_be_kept() {
        let (good, job) = (files("{}"), "[[job]]\ntype = \"n\"\nqueue = \"money\"\nschema = \"schema.json\"\n");
        let many: String = (0..=MAX_JOBS).map(|n| job.replace("\"n\"", &format!("\"n{n}\""))).collect();
        for (toml, said) in [
            (format!("{GOOD}#{}", "x".repeat(MAX_MANIFEST)), "at most 65536"),
            (
                format!("[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n{many}"),
                "line 261: job.64.type: a plugin owns at most 64",
            ),
            (GOOD.replace("payment-{", "\\u0000{"), "line 11: job.0.idempotency.key (payment-process): holds"),
            (format!("a = {}", "[".repeat(10_000)), "plugin.toml"),
            (format!("{} = 1", ["a"; 1_000].join(".")), "plugin.toml"),
        ] {
            let error = parse(&toml, &good).expect_err(said).to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn patterns_of_all_schemas_of_a_plugin_share_one_budget() {
        // Some 50 to 100 KiB each when compiled.
        let each: Vec<_> = (0..8).map(|n| format!("\"p{n}\":{{\"pattern\":\"^(a[b-d]|e){{1,300}}x{n}\"}}")).collect();
        let schema = format!("{{\"properties\":{{{}}}}}", each.join(","));
        let plugin = |jobs: usize| {
            let names: Vec<_> = (0..jobs).map(|n| format!("schema-{n}.json")).collect();
            let job = |(n, name): (usize, &String)| {
                format!("[[job]]\ntype = \"n{n}\"\nqueue = \"money\"\nschema = \"{name}\"\n")
            };
            let jobs: String = names.iter().enumerate().map(job).collect();
            let files = names.iter().map(|name| (name.clone(), schema.clone())).collect();
            parse(&format!("[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n{jobs}"), &files)
        };
        let few = plugin(2).expect("16 patterns");
        let error = plugin(MAX_JOBS).expect_err("512 patterns").to_string();
        assert!(error.contains("line 7: job.0.schema (n0): schema-0.json is no JSON Schema"), "{error}");
        assert!(error.contains("8192 bytes here, of the 4194304 for all patterns of a plugin"), "{error}");
        // What was taken with others is taken by itself, when it is loaded.
        assert!(few.jobs.iter().all(|job| validator(&job.schema).is_ok()));
    }

    #[test]
    fn schemas_stay_local_linear_and_small() {
        for (schema, said) in [
            (r#"{"$ref":"https://evil.example/s.json"}"#.to_owned(), "leaves the schema"),
            (r#"{"properties":{"a":{"$ref":"file:///etc/passwd"}}}"#.to_owned(), "leaves the schema"),
            (r#"{"type":"strnig"}"#.to_owned(), "is no JSON Schema"),
            (r#"{"pattern":"(?=a)b"}"#.to_owned(), "no look-around"),
            (r#"{"pattern":"((a{100}){100}){100}"}"#.to_owned(), "no look-around"),
            ("{".to_owned(), "is not JSON"),
            (format!(r#"{{"title":"{}"}}"#, "x".repeat(MAX_SCHEMA)), "at most 65536"),
        ] {
            let error = parse(GOOD, &files(&schema)).expect_err("refused").to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(
            parse(GOOD, &files(r##"{"$defs":{"a":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a"}}}"##))
                .is_ok()
        );
    }
}
