//! docs/metrics.md and docs/grafana.json against what a host shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use super::{Scrape, matchers, promtool, workload::worked};
use crate::support::scratch;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

/// Rows of the page's tables: cells, with what was escaped as it is.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("|---"));
    let cells = |line: &str| {
        let line = line.trim_matches('|').replace("\\|", "\u{1}");
        line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    lines.map(cells).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_says_what_a_host_shows_and_nothing_else() {
    let (scrape, page) = (worked().await, read("metrics.md"));
    let mut told = BTreeMap::new();
    for row in rows(&page) {
        let [name, kind, labels, unit, meaning] = row.as_slice() else { continue };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
        let labels: BTreeSet<_> = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert!(!meaning.is_empty() || name.starts_with("process_"), "{name}: what does it mean?");
        // The unit is in the name, where it is one.
        let named = ["seconds", "bytes"].into_iter().find(|unit| name.contains(&format!("_{unit}")));
        assert!(named.is_none_or(|named| named == unit), "{name} is in {unit}");
        assert!(told.insert(name.to_owned(), (kind.clone(), labels)).is_none(), "{name} is told twice");
    }
    let shown: BTreeMap<_, _> = scrape
        .families
        .iter()
        .map(|(name, family)| {
            (name.clone(), (family.kind.clone(), family.labels.keys().cloned().collect::<BTreeSet<_>>()))
        })
        .collect();
    for name in told.keys().chain(shown.keys()) {
        assert_eq!(told.get(name), shown.get(name), "{name}: on the page, and as a host shows it");
    }
    for name in shown.keys() {
        assert!(name.starts_with("usher_") || name.starts_with("process_"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_queries_are_of_metrics_and_labels_that_are_there() {
    let scrape = worked().await;
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let mut found = Vec::new();
    let (mut ids, mut titles, mut all) = (BTreeSet::new(), Vec::new(), Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels share an id");
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            titles.push(title);
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            let (expr, legend) = (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
            found.extend(faults(scrape, expr, legend).into_iter().map(|fault| format!("{title}: {fault}: {expr}")));
            all.push(expr.to_owned());
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (series, label) = inner.rsplit_once(", ").unwrap();
        let expr = format!("sum({series}) by ({label})");
        found.extend(faults(scrape, &expr, "").into_iter().map(|fault| format!("{query}: {fault}")));
    }
    // What the page proposes to alert on, too.
    for row in rows(&read("metrics.md")) {
        if let [what, expr] = row.as_slice()
            && let Some(expr) = expr.strip_prefix('`').and_then(|expr| expr.strip_suffix('`'))
        {
            found.extend(faults(scrape, expr, "").into_iter().map(|fault| format!("{what}: {fault}")));
            all.push(expr.to_owned());
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(titles, ["At a glance", "Queues", "Attempts", "Effects", "Guests", "HTTP", "PostgreSQL", "Hosts"]);
    assert!(all.len() > 50, "{} queries", all.len());
    assert_parsed(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_what_is_not_there_is_found() {
    let scrape = worked().await;
    for (expr, legend, fault) in [
        ("usher_nothing_total", "", "there is no usher_nothing_total"),
        ("sum(rate(usher_attempts_total[5m])) by (tenant)", "", "nothing has a label tenant"),
        ("usher_attempts_total{queue=\"money\"}", "", "usher_attempts_total has no label queue"),
        ("usher_attempts_total{outcome=\"won\"}", "", "outcome is never won"),
        ("usher_jobs_running_bucket", "", "there is no usher_jobs_running_bucket"),
        ("sum(usher_jobs_running) by (queue)", "{{type}}", "the legend's type is not asked for"),
    ] {
        assert_eq!(faults(scrape, expr, legend), [fault], "{expr}");
    }
}

/// Labels that Prometheus itself adds.
const ADDED: [&str; 2] = ["instance", "job"];
const WORDS: [&str; 4] = ["by", "or", "and", "unless"];

/// What of a query is not there: metrics, their labels, values of labels.
fn faults(scrape: &Scrape, expr: &str, legend: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut has, mut by) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = expr;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || matches!(c, '_' | '[')) {
        rest = &rest[start..];
        // A range names no metric.
        if let Some(end) = rest.starts_with('[').then(|| rest.find(']').unwrap()) {
            rest = &rest[end + 1..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "by" {
            let (labels, after) = rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')).unwrap();
            by.extend(labels.split(',').map(|label| label.trim().to_owned()));
            rest = after;
            continue;
        }
        if WORDS.contains(&word) || rest.starts_with('(') {
            continue;
        }
        let Some(family) = scrape.family_of(word) else {
            found.push(format!("there is no {word}"));
            continue;
        };
        has.extend(family.labels.keys().cloned());
        if word.ends_with("_bucket") {
            has.insert("le".to_owned());
        }
        let Some((inside, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
        rest = after;
        for (label, value) in matchers(inside).into_iter().filter(|(label, _)| !ADDED.contains(&label.as_str())) {
            let Some(values) = family.labels.get(&label) else {
                found.push(format!("{word} has no label {label}"));
                continue;
            };
            // A variable of the dashboard's is of values that are there.
            let wanted = value.split('|').filter(|value| !value.starts_with('$'));
            found.extend(
                wanted.filter(|value| !values.contains(*value)).map(|value| format!("{label} is never {value}")),
            );
        }
    }
    let is_there = |label: &&String| has.contains(*label) || ADDED.contains(&label.as_str());
    found.extend(by.iter().filter(|label| !is_there(label)).map(|label| format!("nothing has a label {label}")));
    let named = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label.to_owned());
    let kept = |label: &String| if by.is_empty() { is_there(&label) } else { by.contains(label) };
    found.extend(named.filter(|label| !kept(label)).map(|label| format!("the legend's {label} is not asked for")));
    found
}

/// Prometheus's own parser takes them all.
fn assert_parsed(queries: &[String]) {
    let filled = |query: &String| {
        let query = query.replace("$__rate_interval", "5m");
        ["instance", "job", "queue", "type", "provider"]
            .iter()
            .fold(query, |query, variable| query.replace(&format!("\"${variable}\""), "\".*\""))
    };
    let rule = |(n, query): (usize, &String)| json!({"record": format!("query:n{n}"), "expr": filled(query)});
    let rules: Vec<_> = queries.iter().enumerate().map(rule).collect();
    // JSON is YAML.
    let file = scratch("rules").join("rules.yml");
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let (code, said) = promtool(&["check", "rules", file.to_str().unwrap()], "");
    assert_eq!(code, Some(0), "{said}");
}
