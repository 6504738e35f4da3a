use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::sh::{self, Failure, OrFail, Result, Running};

const OLDEST: u32 = 14;

/// A folder with `postgres` and `initdb`.
pub struct Binaries {
    pub dir: PathBuf,
    pub version: String,
}

/// On the machine, else the Debian package, else a download.
pub fn setup(check_only: bool) -> Result<Binaries> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if check_only {
        return Err(Failure::Missing("no PostgreSQL server (14 or newer): cargo xtask setup".to_owned()));
    }
    if sh::can_apt() {
        sh::apt_install(&["postgresql"])?;
    } else {
        // The download lives in the product: `usher serve --dev` needs it on machines without xtask, too.
        eprintln!("no PostgreSQL server here: downloading one");
        let into = sh::cache().join("postgres");
        sh::run(
            sh::cargo()
                .args(["run", "--quiet", "--package", "usher-host", "--", "postgres", "fetch", "--into"])
                .arg(into)
                .env("SQLX_OFFLINE", "true"),
        )?;
    }
    find().ok_or_else(|| {
        Failure::Missing(
            "no PostgreSQL server: install version 14 or newer, or name its folder in USHER_PG_BIN".to_owned(),
        )
    })
}

/// The same places, in the same order, as the host looks for its embedded server.
fn find() -> Option<Binaries> {
    let mut places: Vec<Vec<PathBuf>> = Vec::new();
    places.extend(env::var_os("USHER_PG_BIN").map(|dir| vec![PathBuf::from(dir)]));
    places.extend(sh::output(Command::new("pg_config").arg("--bindir")).ok().map(|dir| vec![PathBuf::from(dir)]));
    places.push(bin_folders(Path::new("/usr/lib/postgresql")));
    places.push(env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default());
    places.push(bin_folders(&sh::cache().join("postgres")));
    let newest = |place: &Vec<PathBuf>| place.iter().filter_map(|dir| inspect(dir)).max_by_key(|(major, _)| *major);
    places.iter().find_map(newest).map(|(_, found)| found)
}

fn bin_folders(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect()
}

fn inspect(dir: &Path) -> Option<(u32, Binaries)> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let text = sh::output(Command::new(dir.join("postgres")).arg("--version")).ok()?;
    let version = text.split_whitespace().nth(2)?.to_owned();
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    (major >= OLDEST).then(|| (major, Binaries { dir: dir.to_owned(), version }))
}

/// A server of the tests: empty, on a free port of loopback, trusting whoever connects; gone when this is dropped.
pub struct Server {
    process: Running,
    dir: PathBuf,
    port: u16,
}

impl Server {
    pub fn start(bin: &Path) -> Result<Self> {
        Self::start_with(bin, &[])
    }

    /// Nobody reads its files after it, and each test makes and drops a database of hundreds of them: in memory, where there is
    /// enough.
    pub fn of_tests(bin: &Path) -> Result<Self> {
        let memory = PathBuf::from("/dev/shm");
        let has_room = free_in(&memory).is_some_and(|free| free >= 8 << 30);
        let place = if has_room { memory } else { env::temp_dir() };
        Self::start_in(&place, bin, &["fsync=off", "max_wal_size=256MB"])
    }

    /// With further settings, each `name=value`.
    pub fn start_with(bin: &Path, settings: &[&str]) -> Result<Self> {
        Self::start_in(&env::temp_dir(), bin, settings)
    }

    fn start_in(place: &Path, bin: &Path, settings: &[&str]) -> Result<Self> {
        sweep_what_dead_runs_left(place);
        let dir = place.join(format!("usher-pg-{}-{}", std::process::id(), free_port()?));
        let data = dir.join("data");
        fs::create_dir_all(&data).or_fail("make the server's folder")?;
        let account = Account::choose(bin, &data)?;
        sh::output(account.command(&bin.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]))?;
        let port = free_port()?;
        let log = fs::File::create(dir.join("log")).or_fail("make the server's log")?;
        let child = account
            .command(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-h",
                "127.0.0.1",
                "-c",
                "unix_socket_directories=",
                "-c",
                "max_connections=400",
            ])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().or_fail("open the server's log")?)
            .stderr(log)
            .spawn()
            .or_fail("start postgres")?;
        let mut server = Self { process: Running::new("postgres", child), dir, port };
        server.wait_ready()?;
        Ok(server)
    }

    /// Superuser, database `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Superuser, a database of this name.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What its log holds of its own end, or of a full disk.
    pub fn last_words(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let of_an_end =
            ["PANIC", "was terminated by signal", "No space left on device", "all server processes terminated"];
        log.lines()
            .filter(|line| of_an_end.iter().any(|word| line.contains(word)))
            .take(20)
            .map(str::to_owned)
            .collect()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if self.process.child.try_wait().or_fail("wait for postgres")?.is_some() {
                break;
            }
            // The server writes this line of its pid file when it takes connections.
            let pid_file = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        sh::failed(format!("postgres did not start: {}", fs::read_to_string(self.dir.join("log")).unwrap_or_default()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // QUIT: at once, without a last checkpoint of data that goes with it.
        if let Err(error) = self.process.stop("QUIT", Duration::from_secs(30)) {
            eprintln!("xtask: {error:?}");
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// PostgreSQL refuses root: then it runs as a user that can reach its binaries, or in a user namespace.
enum Account {
    Same,
    Postgres,
    Namespace,
}

impl Account {
    fn choose(bin: &Path, data: &Path) -> Result<Self> {
        if !sh::is_root() {
            return Ok(Self::Same);
        }
        let reaches =
            |account: &Self| sh::output(account.command(Path::new("test")).arg("-x").arg(bin.join("postgres"))).is_ok();
        if reaches(&Self::Postgres) && sh::output(Command::new("chown").arg("postgres").arg(data)).is_ok() {
            return Ok(Self::Postgres);
        }
        if reaches(&Self::Namespace) {
            return Ok(Self::Namespace);
        }
        Err(Failure::Missing(format!("root cannot run {} as another user", bin.display())))
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Same => Command::new(program),
            Self::Postgres => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
                command
            }
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]).arg(program);
                command
            }
        }
    }
}

/// A run that was killed could not clear away: folders named `usher-(pg|test)-PID-…` whose process is no more. Those of the last
/// hour stay: some campaigns leave one to be looked at.
fn sweep_what_dead_runs_left(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let rest = name.strip_prefix("usher-pg-").or_else(|| name.strip_prefix("usher-test-"));
        let pid = rest.and_then(|rest| rest.split('-').find_map(|part| part.parse::<u32>().ok()));
        let age = entry.metadata().and_then(|of| of.modified()).ok().and_then(|then| then.elapsed().ok());
        let is_old = age.is_some_and(|age| age > Duration::from_secs(3600));
        if is_old
            && pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
            && Path::new("/proc/self").exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// In bytes.
fn free_in(place: &Path) -> Option<u64> {
    let said = sh::output(Command::new("df").args(["--output=avail", "-B1"]).arg(place)).ok()?;
    said.lines().last()?.trim().parse().ok()
}

pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).or_fail("find a free port")?;
    Ok(listener.local_addr().or_fail("find a free port")?.port())
}
