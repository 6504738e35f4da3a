//! The guide for plugin authors, executed literally: its commands, in their order, in an empty folder, with nothing of this
//! repository but a built `usher` on the PATH and a mail server.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    demo::{self, http::Http},
    guests, postgres, python,
    sh::{self, Failure, OrFail, Result},
};

const PAGE: &str = "docs/plugin-authors.md";
/// A first build compiles Rust's std where the toolchain has none for this target.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Where the page's host listens, as it says.
const LISTENS: &str = "127.0.0.1:8080";

/// `target`: where cargo builds, in place of the project's own folder. What is there already is not built again, which is all that it
/// changes.
pub fn run(target: Option<&Path>) -> Result<()> {
    let page = fs::read_to_string(sh::root().join(PAGE)).or_fail(PAGE)?;
    // What comes after it is to be looked up, not typed.
    let guide = page.split_once("\n# Reference\n").map_or(page.as_str(), |(guide, _)| guide);
    let steps = commands(guide);
    if steps.is_empty() {
        return sh::failed(format!("{PAGE} has no commands"));
    }
    if let Err(error) = TcpListener::bind(LISTENS) {
        return sh::failed(format!("{PAGE} starts a host on {LISTENS}, which is not free: {error}"));
    }
    if sh::which("curl").is_none() {
        return Err(Failure::Missing("curl is missing, by which the page talks to its host".to_owned()));
    }
    // What else the page says that a reader needs.
    postgres::setup(false)?;
    guests::setup(false)?;
    let python = python::setup(false)?;
    let usher = guests::build_usher()?;

    let dir = env::temp_dir().join(format!("usher-tutorial-{}", std::process::id()));
    let (bin, work) = (dir.join("bin"), dir.join("work"));
    for folder in [&bin, &work] {
        fs::create_dir_all(folder).or_fail("make the tutorial's folder")?;
    }
    std::os::unix::fs::symlink(&usher, bin.join("usher")).or_fail("put usher on the PATH")?;
    let password = demo::random()?;
    let (mut mail, smtp_port, control) = demo::start_mail(&python, &dir, &password)?;

    let began = Instant::now();
    let mut script = start(&dir, &steps, &smtp_port, &password, target)?;
    let ended = follow(&mut script);
    // Whatever the page started in the background.
    let _ = sh::output(Command::new("kill").args(["-TERM", "--", &format!("-{}", script.id())]));
    ended?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;

    let mails = Http::connect(&control, "")?.get("/mails")?.body;
    let arrived = mails.as_array().len();
    mail.stop("TERM", Duration::from_secs(10))?;
    if arrived == 0 {
        return sh::failed("the page was followed to its end, and no mail has arrived");
    }
    fs::remove_dir_all(&dir).or_fail("clear the tutorial's folder")?;
    println!("tutorial: steps={} minutes={minutes:.1} ok", steps.len());
    Ok(())
}

/// The fenced blocks that a reader types, in order.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.trim_end()) {
            (None, "```sh") => open = Some(String::new()),
            (Some(_), "```") => found.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

/// One shell for all of them: what a step sets, the next one has.
fn start(dir: &Path, steps: &[String], smtp_port: &str, password: &str, target: Option<&Path>) -> Result<Child> {
    // The reader's mail server is ours; all else is as the page says. Half a profile is an error, so not before the page has one.
    let ca = dir.join("mail/ca.pem");
    let mail = [("HOST", "localhost"), ("PORT", smtp_port), ("CA_FILE", &ca.display().to_string())]
        .map(|(name, value)| format!("export USHER_EMAIL__PROFILES__DEFAULT__{name}='{value}'\n"))
        .concat();
    let first = steps.iter().position(|step| step.contains("usher.toml"));
    let mut script = String::new();
    for (n, step) in steps.iter().enumerate() {
        if first == Some(n) {
            script.push_str(&mail);
        }
        let said: String = step.lines().map(|line| format!("   $ {line}\n")).collect();
        // Quoted as a here-document, so that nothing in it is run twice.
        script.push_str(&format!("cat <<'USHER_STEP'\n── step {}\n{said}USHER_STEP\n{step}", n + 1));
    }
    let file = dir.join("steps.sh");
    fs::write(&file, script).or_fail("write the commands")?;
    let before = env::var_os("PATH").unwrap_or_default();
    let path = [dir.join("bin")].into_iter().chain(env::split_paths(&before));
    let mut bash = Command::new("bash");
    // Of a developer of Usher, not of a reader.
    for (name, _) in env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            ["CARGO", "CARGO_TARGET_DIR", "CARGO_BIN_NAME"].contains(&name)
                || name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
        });
        if is_ours {
            bash.env_remove(name);
        }
    }
    if let Some(target) = target {
        bash.env("CARGO_TARGET_DIR", target);
    }
    bash.args(["-euo", "pipefail"])
        .arg(&file)
        .current_dir(dir.join("work"))
        .env("PATH", env::join_paths(path).or_fail("PATH")?)
        .env("SMTP_PASSWORD", password)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .or_fail("start bash")
}

fn follow(script: &mut Child) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match script.try_wait().or_fail("wait for the commands")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return sh::failed(format!("a step of {PAGE} failed: {status}")),
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    sh::failed(format!("the steps of {PAGE} take longer than {PATIENCE:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_reader_types_is_a_command() {
        let page = "a\n```sh\none\ntwo\n```\n```toml\nx = 1\n```\n```sh\nthree\n```\n```sh\nnot closed\n";
        assert_eq!(commands(page), ["one\ntwo\n", "three\n"]);
    }
}
