//! The command line as people and programs use it: what it prints, where, and with which exit code.

mod codes;
mod jobs;
mod lists;
mod page;
mod terminal;

use std::{
    io::{Read, Write},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::support::{Host, env, eventually, token, usher, within};

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// All went well, and nothing is to be said about it.
    fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Documents, one a line.
    fn documents(self) -> Vec<Value> {
        self.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A command that speaks to a host in somebody's name.
fn command(host: &Host, token: &str, args: &[&str]) -> Command {
    let mut command = usher();
    command.args(args).env("USHER_HOST", &host.base).env("USHER_TOKEN", token).env_remove("NO_COLOR");
    command.stdin(Stdio::null());
    command
}

fn run(host: &Host, token: &str, args: &[&str]) -> Said {
    let said = Said::of(command(host, token, args).output().unwrap());
    assert!(!said.out.contains(token) && !said.err.contains(token), "{args:?} tells the token");
    assert_calm(&said.out);
    assert_calm(&said.err);
    said
}

/// No character of it steers a terminal.
fn assert_calm(text: &str) {
    let bad = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.chars().any(bad), "{text:?}");
}

/// What a document says of a member.
fn field<'a>(shown: &'a str, name: &str) -> &'a str {
    let found = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
    found.unwrap_or_else(|| panic!("no {name}: {shown}")).trim_start()
}

fn admin() -> String {
    token("admin", None)
}

fn venue_admin() -> String {
    token("venue_admin", Some("t1"))
}

/// A command on a terminal, as `script` (util-linux) makes one.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    fn start(host: &Host, token: &str, args: &[&str], (lines, columns): (u16, u16), more: &[(&str, &str)]) -> Self {
        let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
        let words: Vec<_> =
            std::iter::once(env("USHER_BIN").as_str()).chain(args.iter().copied()).map(quoted).collect();
        let line = format!("stty rows {lines} cols {columns} && exec {}", words.join(" "));
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env("USHER_HOST", &host.base)
            .env("USHER_TOKEN", token)
            .env_remove("NO_COLOR")
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&shown);
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut some) {
                into.lock().unwrap().extend_from_slice(&some[..n]);
            }
        });
        Self { child, shown, reader: Some(reader) }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    async fn wait_shown(&self, part: &str) {
        eventually(&format!("the terminal shows {part}"), async || self.shown().contains(part).then_some(())).await;
    }

    fn interrupt(&mut self) {
        let keys = self.child.stdin.as_mut().unwrap();
        keys.write_all(b"\x03").unwrap();
        keys.flush().unwrap();
    }

    /// The exit code, and all that was shown.
    async fn end(mut self) -> (Option<i32>, String) {
        let status =
            within(crate::support::PATIENCE, "the command ends", async || self.child.try_wait().unwrap()).await;
        self.reader.take().unwrap().join().unwrap();
        (status.code(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With the terminal goes what is on it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
