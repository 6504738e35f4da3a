use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{kit::Kit, postgres::Database};
use crate::{
    demo::{self, http::Http},
    sh::{self, OrFail, Result, Running},
};

/// The tenant that all measured jobs belong to.
pub const TENANT: &str = "t1";

/// One host under measurement.
pub struct Host {
    process: Running,
    pub base: String,
    pub token: String,
    log: PathBuf,
}

impl Host {
    /// `name` tells hosts of one database apart. `plugin` is published by this host; another one finds it there.
    pub fn start(kit: &Kit, db: &Database, name: &str, plugin: Option<&Path>, config: &str) -> Result<Self> {
        let dir = kit.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).or_fail("clear the host's folder")?;
        }
        let data = dir.join("data");
        fs::create_dir_all(data.join("plugins")).or_fail("make the host's folder")?;
        if let Some(plugin) = plugin {
            demo::ship(plugin, &data.join("plugins/measured.wasm"))?;
        }
        let file = dir.join("usher.toml");
        fs::write(&file, format!("[server]\nlisten = \"127.0.0.1:0\"\n\n{config}")).or_fail(file.display())?;
        let log_path = dir.join("log");
        let log = fs::File::create(&log_path).or_fail("make the host's log")?;
        let mut child = Command::new(&kit.usher)
            .args(["serve", "--dev", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .env("DATABASE_URL", db.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .or_fail("start usher")?;
        let line = demo::first_line(&mut child, "usher")?;
        let process = Running::new("usher", child);
        let Some(base) = line.strip_prefix("usher: ready on ") else {
            let log = fs::read_to_string(log_path).unwrap_or_default();
            return sh::failed(format!("usher did not start: {}", log.trim()));
        };
        let mut mint = Command::new(&kit.usher);
        mint.args(["token", "mint", "--role", "admin", "--tenant", TENANT, "--ttl", "12h", "--config"]).arg(&file);
        let token = sh::output(mint.arg("--data-dir").arg(&data))?;
        let host = Self { process, base: base.to_owned(), token, log: log_path };
        if plugin.is_some() {
            host.wait_published(db)?;
        }
        Ok(host)
    }

    pub fn http(&self) -> Result<Http> {
        Http::connect(&self.base, &self.token)
    }

    /// Posts without a body and wants success.
    pub fn post(&self, path: &str) -> Result<()> {
        let answer = self.http()?.post(path, "", None)?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        sh::failed(format!("POST {path}: {}: {}", answer.status, answer.body.text("detail")))
    }

    pub fn rss_mb(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.process.child.id());
        let text = fs::read_to_string(&file).or_fail(&file)?;
        let kb = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kb.map(|kb: f64| kb / 1024.0).ok_or_else(|| sh::Failure::Failed(format!("{file} has no VmRSS")))
    }

    /// CPU time so far, user and system, in seconds: tells whether each of several hosts took part.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let file = format!("/proc/{}/stat", self.process.child.id());
        let text = fs::read_to_string(&file).or_fail(&file)?;
        // The name in brackets may hold blanks; the ticks are fields 14 and 15 of all, 100 a second on Linux.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        Ok(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    /// Fails, with the log's end, when the host has gone.
    pub fn check_alive(&mut self) -> Result<()> {
        if self.process.child.try_wait().or_fail("look at usher")?.is_none() {
            return Ok(());
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        sh::failed(format!("usher ended: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n")))
    }

    /// Without grace, for a host whose jobs would never end.
    pub fn kill(mut self) -> Result<()> {
        self.process.stop("KILL", Duration::from_secs(10))
    }

    fn wait_published(&self, db: &Database) -> Result<()> {
        let began = Instant::now();
        while db.sql(&["SELECT plugin FROM activations LIMIT 1"])?.is_empty() {
            if began.elapsed() > Duration::from_secs(60) {
                return sh::failed(format!("the plugin was not published; see {}", self.log.display()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}
