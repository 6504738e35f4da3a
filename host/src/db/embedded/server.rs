use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, postgres::PgConnection};

use super::{EmbeddedError, account::Account, binaries};

/// Crash recovery of a large database may take its time.
const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running private server.
#[derive(Debug)]
pub struct Embedded {
    url: SecretString,
    pid: Pid,
    /// Ours to wait for.
    child: Child,
}

impl Embedded {
    /// Starts the server in `dir`, making the database on first use. A server that a killed host left behind is
    /// stopped first, so that there is always one and it is ours.
    pub async fn start(dir: &Path) -> Result<Self, EmbeddedError> {
        let binaries = binaries::find()?;
        make_private(dir, 0o711)?;
        let dir = fs::canonicalize(dir).map_err(EmbeddedError::io(format!("find {}", dir.display())))?;
        let data = dir.join("data");
        make_private(&data, 0o700)?;
        let account = Account::choose(&data, &binaries.dir)?;
        account.own(&data)?;

        let password = password(&dir)?;
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) if version.trim() != binaries.major.to_string() => {
                let found = version.trim().to_owned();
                return Err(EmbeddedError::OtherVersion { dir: data, found, server: binaries.major });
            }
            Ok(_) => {}
            Err(_) => init(&binaries.dir, &account, &dir, &data, &password)?,
        }
        stop_leftover(&data).await?;

        let port = free_port()?;
        // The log is for people; it holds statements of errors, so it is the owner's only.
        let log = dir.join("server.log");
        let log_file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(EmbeddedError::io(format!("open {}", log.display())))?;
        let errors = log_file.try_clone().map_err(EmbeddedError::io("open the server's log"))?;
        let mut child = account
            .command(&binaries.dir.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
            // No socket file: nothing to clash over, and no limit of 107 bytes on the path.
            .args(["-c", "unix_socket_directories="])
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(errors)
            // Ctrl-C is for the host, which stops the server when it is done with it.
            .process_group(0)
            .spawn()
            .map_err(EmbeddedError::io("start postgres"))?;
        let secret = password.expose_secret();
        let url = SecretString::from(format!("postgres://usher:{secret}@127.0.0.1:{port}/usher"));
        let admin = SecretString::from(format!("postgres://usher:{secret}@127.0.0.1:{port}/postgres"));
        wait_ready(&admin, &mut child, &log).await?;
        // setpriv and unshare exec in place, so the child is the postmaster itself.
        let pid = Pid::from_child(&child);
        Ok(Self { url, pid, child })
    }

    /// Holds the password.
    pub fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// A fast shutdown: sessions are ended, nothing is lost, the next start needs no recovery.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        kill_process(self.pid, Signal::INT)
            .map_err(|e| EmbeddedError::Io { what: "stop postgres".to_owned(), source: e.into() })?;
        let began = Instant::now();
        while began.elapsed() < STOPPED_WITHIN {
            if self.child.try_wait().map_err(EmbeddedError::io("wait for postgres"))?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(EmbeddedError::NotReady { log: format!("process {} does not stop", self.pid.as_raw_nonzero()) })
    }
}

fn make_private(dir: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(EmbeddedError::io(format!("make the folder {}", dir.display())))
}

/// Made once, kept 0600 beside the data.
fn password(dir: &Path) -> Result<SecretString, EmbeddedError> {
    let path = dir.join("password");
    if let Ok(password) = fs::read_to_string(&path) {
        return Ok(password.into());
    }
    let bytes: [u8; 32] = rand::rng().random();
    let password = URL_SAFE_NO_PAD.encode(bytes);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(EmbeddedError::io(format!("make {}", path.display())))?;
    file.write_all(password.as_bytes()).map_err(EmbeddedError::io(format!("write {}", path.display())))?;
    Ok(password.into())
}

fn init(bin: &Path, account: &Account, dir: &Path, data: &Path, password: &SecretString) -> Result<(), EmbeddedError> {
    let is_empty = fs::read_dir(data).map_err(EmbeddedError::io("read the data folder"))?.next().is_none();
    if !is_empty {
        return Err(EmbeddedError::Foreign { dir: data.to_owned() });
    }
    // initdb reads it as the server's user, for whom the folder above may be closed; it is gone right after.
    let file = data.with_file_name(".initdb-password");
    let _ = fs::remove_file(&file);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut f| f.write_all(password.expose_secret().as_bytes()))
        .map_err(EmbeddedError::io(format!("write {}", file.display())))?;
    account.own(&file)?;
    let output = account
        .command(&bin.join("initdb"))
        .arg("-D")
        .arg(data)
        .args(["-U", "usher", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg(format!("--pwfile={}", file.display()))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    fs::remove_file(&file).map_err(EmbeddedError::io("remove initdb's password file"))?;
    let output = output.map_err(EmbeddedError::io("run initdb"))?;
    if output.status.success() {
        return Ok(());
    }
    // A folder that initdb left half made would be taken for a foreign one.
    for entry in fs::read_dir(data).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
    }
    Err(EmbeddedError::Command {
        command: "initdb".to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// A host that was killed leaves its server running. Its pid file names it; the folder in it proves that it is ours.
async fn stop_leftover(data: &Path) -> Result<(), EmbeddedError> {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let same_folder = lines.next().map(PathBuf::from).as_deref() == Some(data);
    let Some(pid) = pid.filter(|pid| same_folder && is_postgres(*pid)) else {
        // A killed server whose exit status nobody has taken (a container without an init) counts as alive for the
        // next one, which then refuses to start. With nobody left in the folder its pid file means nothing.
        if same_folder && !is_in_use(data) {
            let _ = fs::remove_file(data.join("postmaster.pid"));
        }
        return Ok(());
    };
    tracing::warn!(pid = pid.as_raw_nonzero().get(), "a Postgres that an earlier host left behind is stopped first");
    let _ = kill_process(pid, Signal::INT);
    let began = Instant::now();
    while test_kill_process(pid).is_ok() && is_postgres(pid) {
        if began.elapsed() > STOPPED_WITHIN {
            return Err(EmbeddedError::NotReady {
                log: format!("an old server, process {}, does not stop", pid.as_raw_nonzero()),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Every process of a server works in its data folder. A zombie has no folder any more.
fn is_in_use(data: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok()).any(|cwd| cwd == data)
}

/// Process ids are used again; only a living postgres may be stopped.
fn is_postgres(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    fs::read_to_string(path).is_ok_and(|stat| stat.contains("(postgres)") && !stat.contains(") Z "))
}

fn free_port() -> Result<u16, EmbeddedError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(EmbeddedError::io("find a free port"))?;
    Ok(listener.local_addr().map_err(EmbeddedError::io("find a free port"))?.port())
}

async fn wait_ready(admin: &SecretString, child: &mut Child, log: &Path) -> Result<(), EmbeddedError> {
    let began = Instant::now();
    let not_ready = || EmbeddedError::NotReady { log: tail(log) };
    loop {
        if child.try_wait().map_err(EmbeddedError::io("wait for postgres"))?.is_some() {
            return Err(not_ready());
        }
        if let Ok(mut db) = PgConnection::connect(admin.expose_secret()).await {
            let exists: Result<bool, _> =
                sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'usher')")
                    .fetch_one(&mut db)
                    .await;
            if let Ok(false) = exists {
                sqlx::query("CREATE DATABASE usher").execute(&mut db).await.map_err(|e| EmbeddedError::Command {
                    command: "CREATE DATABASE".to_owned(),
                    output: e.to_string(),
                })?;
            }
            let _ = db.close().await;
            if exists.is_ok() {
                return Ok(());
            }
        }
        if began.elapsed() > READY_WITHIN {
            let _ = child.kill();
            return Err(not_ready());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(embedded: &Embedded, sql: &'static str) -> i64 {
        let mut db = PgConnection::connect(embedded.url()).await.expect("connects");
        sqlx::query_scalar(sql).fetch_one(&mut db).await.expect("answers")
    }

    #[tokio::test]
    async fn a_server_persists_and_survives_the_loss_of_its_host() {
        let dir = std::env::temp_dir().join(format!("usher-embedded-{}", uuid::Uuid::new_v4()));
        let first = Embedded::start(&dir).await.expect("starts");
        let mut db = PgConnection::connect(first.url()).await.expect("connects");
        sqlx::query("CREATE TABLE t AS SELECT 7::bigint AS n").execute(&mut db).await.expect("creates");
        drop(db);
        first.stop().await.expect("stops");

        // A host that is killed forgets its server; the next one stops it and starts its own.
        let second = Embedded::start(&dir).await.expect("starts again");
        let orphan = second.pid;
        std::mem::forget(second);
        let mut third = Embedded::start(&dir).await.expect("takes over");
        assert!(!is_postgres(orphan));
        assert_eq!(answer(&third, "SELECT n FROM t").await, 7);

        // Killed with the machine: recovery.
        kill_process(third.pid, Signal::KILL).expect("killed");
        // Nobody but us would take its exit status; until then its process id counts as alive.
        third.child.wait().expect("waited for");
        let fourth = Embedded::start(&dir).await.expect("recovers");
        assert_eq!(answer(&fourth, "SELECT n FROM t").await, 7);
        fourth.stop().await.expect("stops");
        fs::remove_dir_all(&dir).expect("removed");
    }
}
