//! `GET /metrics` and what stands on it: the numbers, promtool's opinion, the page and the dashboard.

mod pages;
mod scraping;
mod workload;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use reqwest::{Method, StatusCode};

use crate::support::{Host, env, eventually};

/// What one scrape showed.
pub struct Scrape {
    pub text: String,
    pub families: BTreeMap<String, Family>,
    /// By the series as it is written.
    values: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    /// Values by label; without `le`.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

impl Scrape {
    pub async fn of(host: &Host) -> Self {
        let answer = host.client().request(Method::GET, "/metrics").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
        Self::read(answer.text().await.unwrap())
    }

    pub fn read(text: String) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut values = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let family = Family { kind: kind.to_owned(), ..Family::default() };
                assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            }
            if line.starts_with('#') {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(values.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} comes twice");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let family = family_of(&families, name).unwrap_or_else(|| panic!("{name} has no type"));
            let family = families.get_mut(&family).unwrap();
            for (label, value) in matchers(labels.trim_end_matches('}')) {
                if label != "le" {
                    family.labels.entry(label).or_default().insert(value);
                }
            }
        }
        Self { text, families, values }
    }

    /// As it is written, with its labels in their order.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// Series that begin so.
    pub fn beginning(&self, start: &str) -> Vec<&str> {
        self.values.keys().map(String::as_str).filter(|series| series.starts_with(start)).collect()
    }

    pub fn series(&self) -> usize {
        self.values.len()
    }

    /// The family of a series' name.
    pub fn family_of(&self, name: &str) -> Option<&Family> {
        self.families.get(&family_of(&self.families, name)?)
    }
}

fn family_of(families: &BTreeMap<String, Family>, name: &str) -> Option<String> {
    if families.contains_key(name) {
        return Some(name.to_owned());
    }
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part))?;
    families.get(base).filter(|family| family.kind == "histogram").map(|_| base.to_owned())
}

/// Of `a="b",c=~"d"`: names and values, whatever is between them.
pub fn matchers(text: &str) -> Vec<(String, String)> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('"') {
        let (value, after) = after.split_once('"').unwrap_or((after, ""));
        let name = name.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        found.push((name.to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// Waits until a scrape is as it should be; the last one is told where it does not come.
pub async fn wait(host: &Host, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || Some(Scrape::of(host).await).filter(&is_so)).await
}

/// Exit code and words of promtool.
pub fn promtool(args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env("USHER_TEST_PROMTOOL"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have said what is wrong before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}
