//! Hosts as processes: killed, frozen, and started again whenever they are gone.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::support::{HostOptions, PASSWORD, SECRET, Sink, component, host::text, place, postgres::signal, usher};

pub struct Host {
    pub index: usize,
    pub dir: PathBuf,
    database: String,
    env: Vec<(&'static str, String)>,
    child: Mutex<Option<Child>>,
    base: Arc<RwLock<Option<String>>>,
    starts: AtomicU32,
    /// The next end is our doing.
    ours: AtomicBool,
    closing: AtomicBool,
    /// Ends that were not our doing.
    pub exits: Mutex<Vec<String>>,
}

impl Host {
    pub fn new(index: usize, dir: PathBuf, database: String, options: &HostOptions, sink: Option<&Sink>) -> Arc<Self> {
        fs::create_dir_all(dir.join("plugins")).unwrap();
        for name in &options.plugins {
            place(&component(name), &dir.join("plugins").join(name));
        }
        fs::write(dir.join("usher.toml"), text(options, sink)).unwrap();
        Arc::new(Self {
            index,
            dir,
            database,
            env: options.env.clone(),
            child: Mutex::default(),
            base: Arc::default(),
            starts: AtomicU32::new(0),
            ours: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            exits: Mutex::default(),
        })
    }

    /// Where it listens, if it is ready.
    pub fn base(&self) -> Option<String> {
        self.base.read().unwrap().clone()
    }

    /// Starts it, and starts it again after each end.
    pub async fn supervise(self: Arc<Self>) {
        while !self.closing.load(Ordering::SeqCst) {
            let gone = {
                let mut child = self.child.lock().unwrap();
                match child.as_mut().map(|child| child.try_wait().unwrap()) {
                    None => {
                        *child = Some(self.spawn());
                        false
                    }
                    Some(None) => false,
                    Some(Some(status)) => {
                        *child = None;
                        *self.base.write().unwrap() = None;
                        if !self.ours.swap(false, Ordering::SeqCst) {
                            let last = fs::read_to_string(self.log(self.starts.load(Ordering::SeqCst)));
                            let last = last.unwrap_or_default().lines().last().unwrap_or_default().to_owned();
                            self.exits.lock().unwrap().push(format!("host {}: {status}: {last}", self.index));
                            true
                        } else {
                            false
                        }
                    }
                }
            };
            // A host that ends by itself is not started in a tight loop.
            tokio::time::sleep(Duration::from_millis(if gone { 300 } else { 20 })).await;
        }
    }

    fn log(&self, start: u32) -> PathBuf {
        self.dir.join(format!("log-{start:03}"))
    }

    fn spawn(&self) -> Child {
        let start = self.starts.fetch_add(1, Ordering::SeqCst) + 1;
        let mut child = usher()
            .args(["serve", "--dev", "--config"])
            .arg(self.dir.join("usher.toml"))
            .arg("--data-dir")
            .arg(&self.dir)
            .env("DATABASE_URL", &self.database)
            .env("USHER_TEST_JWT", SECRET)
            .env("USHER_TEST_SMTP_PASSWORD", PASSWORD)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.log(start)).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let base = Arc::clone(&self.base);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(found) = line.trim().strip_prefix("usher: ready on ") {
                    *base.write().unwrap() = Some(found.to_owned());
                }
            }
        });
        child
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.lock().unwrap().as_ref().map(Child::id)
    }

    /// kill -9; the supervisor starts it again at once. Only one that was ready: a start that never ends proves nothing.
    pub fn kill9(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        let Some(child) = child.as_mut() else { return false };
        if self.base().is_none() || child.try_wait().unwrap().is_some() {
            return false;
        }
        self.ours.store(true, Ordering::SeqCst);
        *self.base.write().unwrap() = None;
        child.kill().unwrap();
        true
    }

    /// Its process id, to thaw it again.
    pub fn freeze(&self) -> Option<u32> {
        self.base()?;
        self.pid().filter(|pid| signal(*pid, "STOP"))
    }

    /// Nothing happens if it is another process by now.
    pub fn thaw(&self, pid: u32) {
        if self.pid() == Some(pid) {
            signal(pid, "CONT");
        }
    }

    pub fn stop(&self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Log lines that hold a text.
    pub fn lines(&self, text: &str) -> Vec<String> {
        grep(&self.dir, text).into_iter().map(|line| format!("host {}: {line}", self.index)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

fn grep(dir: &Path, text: &str) -> Vec<String> {
    let mut logs: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    logs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")));
    logs.sort();
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    logs.iter()
        .flat_map(|path| read(path).lines().filter(|l| l.contains(text)).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
