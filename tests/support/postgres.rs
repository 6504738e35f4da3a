use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{env, free_port};

/// A PostgreSQL of our own, that we may crash.
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    pub port: u16,
    child: Mutex<Option<Child>>,
}

impl Postgres {
    pub async fn start(dir: PathBuf) -> Self {
        let bin = PathBuf::from(env("USHER_PG_BIN"));
        let data = data_folder(&dir);
        run(account(&bin.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]));
        Self::run(bin, dir).await
    }

    /// Another one that follows this one as a hot standby.
    pub async fn standby(&self, dir: PathBuf) -> Self {
        let data = data_folder(&dir);
        run(account(&self.bin.join("pg_basebackup")).arg("-D").arg(&data).args([
            "-d",
            &self.url("postgres"),
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
        ]));
        Self::run(self.bin.clone(), dir).await
    }

    async fn run(bin: PathBuf, dir: PathBuf) -> Self {
        let port = free_port();
        let server = Self { bin, dir, port, child: Mutex::default() };
        server.spawn();
        server.ready().await;
        server
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn spawn(&self) {
        let _ = fs::remove_file(self.dir.join("data/postmaster.pid"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log")).unwrap();
        let port = self.port.to_string();
        let child = account(&self.bin.join("postgres"))
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &port, "-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300"])
            .args(["-c", "log_line_prefix=%m [%p] "])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
    }

    async fn ready(&self) {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            // The server writes this line of its pid file when it takes connections.
            let pid_file = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("postgres did not start: {}", fs::read_to_string(self.dir.join("log")).unwrap_or_default());
    }

    /// Immediate mode: no checkpoint, no farewell; what was not flushed is gone.
    pub async fn crash(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        signal(child.id(), "QUIT");
        while child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// kill -9 of the postmaster; its children see that it is gone, and end.
    pub fn kill9(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub async fn start_again(&self) {
        self.spawn();
        self.ready().await;
    }

    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            signal(child.id(), "INT");
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if began.elapsed() > Duration::from_secs(20) {
                    signal(child.id(), "QUIT");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap().success()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Empty, and the server's own.
fn data_folder(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(&data));
    }
    data
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// PostgreSQL refuses root. `setpriv` becomes the program, so its process id is the server's.
pub fn account(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}
