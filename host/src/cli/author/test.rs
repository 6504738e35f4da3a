use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{build, usage};
use crate::{
    cli::{Common, Failure},
    runtime::stage::{Case, Stage, compare, crash_everywhere, observed},
};

/// Play the plugin's cases, and each again with a crash at every effect.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// A project, which is built first, or a component.
    #[arg(default_value = ".")]
    target: PathBuf,
    /// Folder of the cases [default: cases, in the project or beside here]
    #[arg(long)]
    cases: Option<PathBuf>,
    /// Write what came of each case as its expectation.
    #[arg(long)]
    update: bool,
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What became of one case.
struct Checked {
    name: String,
    effects: usize,
    crashes: usize,
    findings: Vec<String>,
    updated: bool,
}

impl Test {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let is_project = self.target.is_dir();
        let cases = self
            .cases
            .clone()
            .unwrap_or_else(|| if is_project { self.target.join("cases") } else { PathBuf::from("cases") });
        let files = case_files(&cases)?;
        let component = if is_project {
            build::build(&self.target, None, build::Version::AsWritten)?.component
        } else {
            read(&self.target)?
        };
        let checked = crate::cli::runtime()?.block_on(async {
            let stage = Stage::load(&component, &config).await.map_err(Failure::Usage)?;
            let mut checked = Vec::new();
            for file in &files {
                checked.push(self.check(&stage, file).await?);
            }
            Ok::<_, Failure>(checked)
        })?;
        if self.json {
            print_json(&checked);
        } else {
            print(&checked);
        }
        match checked.iter().filter(|case| !case.findings.is_empty()).count() {
            0 => Ok(()),
            failed => Err(Failure::Failed(anyhow::anyhow!("{failed} of {} cases failed", checked.len()))),
        }
    }

    async fn check(&self, stage: &Stage, file: &Path) -> Result<Checked, Failure> {
        let mut case = parse(file)?;
        let place = |message: String| Failure::Usage(format!("{}: {message}", file.display()));
        let payload = serde_json::from_str(case.payload.get()).map_err(|e| place(e.to_string()))?;
        let mut findings = stage.violations(&case.job_type, &payload);
        let scene = case.scene();
        let first = stage.play(scene.clone()).await.map_err(place)?;
        let got = observed(&first);
        let mut updated = false;
        if self.update {
            updated = case.expect.as_ref() != Some(&got);
            case.expect = Some(got);
            if updated {
                let text = serde_json::to_string_pretty(&case).map_err(|e| place(e.to_string()))?;
                fs::write(file, text + "\n").map_err(|e| place(format!("cannot be written: {e}")))?;
            }
        } else if let Some(expect) = &case.expect {
            findings.extend(compare(expect, &got));
        } else {
            findings.push("it expects nothing yet: `usher plugin test --update` writes what came of it".to_owned());
        }
        if first.answers_left > 0 {
            findings.push(format!("answers: the last {} were not asked for", first.answers_left));
        }
        let crashes = crash_everywhere(stage, &scene, &first).await.map_err(place)?;
        findings.extend(crashes.iter().map(ToString::to_string));
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Checked { name, effects: first.effects.len(), crashes: first.journal.len() + 1, findings, updated })
    }
}

pub(super) fn parse(file: &Path) -> Result<Case, Failure> {
    let text = fs::read_to_string(file).map_err(|e| usage(file, format!("cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| usage(file, e.to_string()))
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|e| usage(file, format!("cannot be read: {e}")))
}

fn case_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(dir).map_err(|e| usage(dir, format!("the folder of cases cannot be read: {e}")))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(usage(dir, "holds no case (*.json)"));
    }
    Ok(files)
}

fn print(checked: &[Checked]) {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    for case in checked {
        let word = if case.findings.is_empty() { "ok  " } else { "FAIL" };
        let written = if case.updated { ", written" } else { "" };
        let (effects, crashes) = (plural(case.effects, "effect"), plural(case.crashes, "crash point"));
        println!("{word} {} ({effects}, {crashes}{written})", case.name);
        for finding in &case.findings {
            println!("     {finding}");
        }
    }
}

fn print_json(checked: &[Checked]) {
    let cases: Vec<_> = checked
        .iter()
        .map(|case| {
            json!({
                "case": case.name, "ok": case.findings.is_empty(), "effects": case.effects, "crashes": case.crashes,
                "findings": case.findings, "updated": case.updated,
            })
        })
        .collect();
    println!("{}", json!({ "ok": checked.iter().all(|case| case.findings.is_empty()), "cases": cases }));
}
