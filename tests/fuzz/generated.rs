//! schemathesis over the served document, round by round, each as another caller; then what the rounds left too few of. What it is
//! told is in `schemathesis.toml` and `hooks.py`; a check or an operation is left out only there, with its reason.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use crate::{
    document::Document,
    report::Report,
    rig::{self, Rig},
    roles,
    support::{Host, env},
};

const KIND: &str = "schemathesis";
/// As the callers are known to `hooks.py`: role, tenant. In the order of their power, as `[auth.wfc]` wants it.
const CALLERS: [(&str, &str, &str); 4] = [
    ("user of t1", "user", "t1"),
    ("user of t2", "user", "t2"),
    ("venue admin of t1", "venue_admin", "t1"),
    ("admin of t1", "admin", "t1"),
];
const ADMIN: &str = "admin of t1";
/// Who makes the rounds after the first, in turn.
const TURNS: [&str; 4] = ["user of t1", ADMIN, "venue admin of t1", ADMIN];
/// The most checks and operations that may be left out.
const MOST_EXCLUDED: usize = 3;

pub async fn all(rig: &Rig, document: &Document, report: &mut Report) {
    excluded(report);
    let tool = Tool::new(rig, "main", &rig.base, None);
    let operations = document.operations.len() as u64;
    let (began, mut round) = (report.cases, 0);
    // The first round is an admin's and has all phases; those after it are drawn at random.
    while report.cases - began < rig.options.cases {
        let share = rig.options.cases / operations.max(1);
        let (caller, phases, examples) = match round {
            0 => (ADMIN, "examples,coverage,fuzzing,stateful", share / 8),
            _ => (TURNS[round % TURNS.len()], "fuzzing,stateful", share / 4),
        };
        let examples = examples.clamp(3, 100).to_string();
        let before = report.cases;
        let seed = (rig.options.seed + round as u64).to_string();
        tool.run(&format!("{round}"), &["--phases", phases, "-n", &examples, "--seed", &seed], caller, report).await;
        rig.note(&format!("round {round} as {caller}: {} cases", report.cases - before));
        round += 1;
        if report.cases == before || !rig.is_alive() {
            report.fail(KIND, "a round that did nothing");
            return;
        }
    }
    tool.more(rig, report).await;
}

/// The same where limits are on, and where a host is short of memory: there, and only there, the answers are these.
pub async fn limited(rig: &Rig, report: &mut Report) {
    let burst = 3;
    let rate = format!("[rate_limits]\n\"submit/tenant/*\" = {{ rate = \"1/s\", burst = {burst} }}\n");
    let memory = "[pressure]\nmemory = 1048576\n";
    for (name, config, status) in [("limited", rate.as_str(), "429"), ("short", memory, "503")] {
        let host: Host = rig.another(config).await;
        let tool = Tool::new(rig, name, &host.base, Some(burst));
        let only =
            ["--include-name", "POST /jobs", "--include-name", "POST /jobs/batch", "--phases", "fuzzing", "-n", "30"];
        tool.run("0", &only, ADMIN, report).await;
        let counts = tool.counts();
        let met: u64 = counts.values().filter_map(|by_status| by_status.get(status)).sum();
        if met == 0 {
            report.fail(KIND, &format!("{name}: nobody was answered {status}: {counts:?}"));
        }
    }
}

/// The file says which, each with its reason above it.
fn excluded(report: &mut Report) {
    let text = fs::read_to_string(here("schemathesis.toml")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let out: Vec<_> = (0..lines.len()).filter(|&n| lines[n].trim() == "enabled = false").collect();
    if out.len() > MOST_EXCLUDED {
        report.fail(KIND, &format!("{} checks and operations are left out", out.len()));
    }
    for n in out {
        // The reason stands above the section that the line belongs to.
        let section = (0..n).rev().find(|&above| lines[above].starts_with('['));
        let has_reason = section.is_some_and(|at| at > 0 && lines[at - 1].starts_with('#'));
        if !has_reason {
            report.fail(KIND, &format!("line {} of schemathesis.toml leaves something out without a reason", n + 1));
        }
    }
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// `st`, told about one host.
struct Tool {
    dir: PathBuf,
    /// Of the document. A host that is short of memory would not tell it.
    url: String,
    base: String,
}

impl Tool {
    fn new(rig: &Rig, name: &str, base: &str, limited: Option<u32>) -> Self {
        let dir = rig.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        let (mut callers, mut auth) = (Map::new(), Vec::new());
        for (name, role, tenant) in CALLERS {
            let token = rig::lasting(role, Some(tenant));
            let header = json!({"name": "Authorization", "value": format!("Bearer {token}")});
            auth.push(json!({"name": name, "fixedHeaders": [header]}));
            callers.insert(name.to_owned(), json!({"role": role, "token": token}));
        }
        let context = json!({
            "base": base,
            "callers": callers,
            "roles": roles::table(),
            "victim": {"name": rig::VICTIM, "versions": ["0.1.0", rig::NEXT]},
            "component": rig::published(),
            "webhook": rig.webhook(),
            "endpoint": rig.things.endpoint,
            "config": here("schemathesis.toml"),
            "counts": dir.join("counts.json"),
            "limited": limited,
        });
        fs::write(dir.join("context.json"), context.to_string()).unwrap();
        // YAML takes JSON.
        fs::write(dir.join("callers.yaml"), json!({ "auth": auth }).to_string()).unwrap();
        Self { dir, url: format!("{}/openapi.json", rig.base), base: base.to_owned() }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", here(""))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONHASHSEED", "0")
            .env("FUZZ_CONTEXT", self.dir.join("context.json"))
            .env("FUZZ_CALLERS", self.dir.join("callers.yaml"));
        command
    }

    /// One run in one caller's name.
    async fn run(&self, name: &str, args: &[&str], caller: &str, report: &mut Report) {
        let python = PathBuf::from(env("USHER_TEST_SCHEMATHESIS"));
        let (told, log) = (self.dir.join(format!("{name}.json")), self.dir.join(format!("{name}.log")));
        let mut st = self.command(&python.with_file_name("st"));
        let file = fs::File::create(&log).unwrap();
        st.arg("--config-file")
            .arg(here("schemathesis.toml"))
            .args(["--no-color", "run"])
            .arg(&self.url)
            .args(["--url", &self.base, "--auth-wfc-user", caller, "--report", "json", "--report-json-path"])
            .arg(&told)
            .args(args)
            .env("FUZZ_SEED", name)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let status = tokio::task::spawn_blocking(move || st.status().unwrap()).await.unwrap();
        let text = fs::read_to_string(&told).unwrap_or_default();
        let summary: Value = serde_json::from_str(&text).unwrap_or_default();
        report.cases += summary["test_cases"]["generated"].as_u64().unwrap_or(0);
        let mut known = 0;
        for part in ["failures", "errors"] {
            for one in summary[part].as_array().into_iter().flatten() {
                known += 1;
                let (title, count, at) = (&one["title"], &one["count"], &one["operations"]);
                report.fail(KIND, &format!("{title} ({count}) {at}; see {}", log.display()));
            }
        }
        if !status.success() && known == 0 || summary["complete"] != true {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            report.fail(KIND, &format!("the run ended with {status}: {last}"));
        }
    }

    /// How often each operation was answered with each status.
    fn counts(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let text = fs::read_to_string(self.dir.join("counts.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Until each operation that can succeed has done so often enough.
    async fn more(&self, rig: &Rig, report: &mut Report) {
        let least = rig.options.successes();
        let log = self.dir.join("more.log");
        let mut more = self.command(&PathBuf::from(env("USHER_TEST_SCHEMATHESIS")));
        more.arg(here("more.py"))
            .arg(&self.url)
            .arg(least.to_string())
            .arg(ADMIN)
            .stderr(fs::File::create(&log).unwrap());
        let output = tokio::task::spawn_blocking(move || more.output().unwrap()).await.unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !output.status.success() || !told["cases"].is_u64() {
            report.fail(KIND, &format!("more.py ended with {}; see {}", output.status, log.display()));
            return;
        }
        report.cases += told["cases"].as_u64().unwrap_or(0);
        for failure in told["failures"].as_array().into_iter().flatten() {
            report.fail(KIND, failure.as_str().unwrap_or_default());
        }
        let rare = rare();
        for (label, successes) in told["few"].as_object().into_iter().flatten() {
            let least = rare.get(label).copied().unwrap_or(least).min(least);
            if successes.as_u64().unwrap_or(0) < least {
                report.fail(KIND, &format!("{label} has succeeded {successes} times, not {least}"));
            }
        }
    }
}

/// By operation: how often it can succeed where that is not often, with reasons in the file.
fn rare() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(here("rare.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            assert_eq!(words.len(), 4, "rare.txt: no reason: {line}");
            (format!("{} {}", words[0], words[1]), words[2].parse().unwrap())
        })
        .collect()
}
