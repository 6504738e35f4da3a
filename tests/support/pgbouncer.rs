use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    env, eventually, free_port,
    postgres::{account, signal},
    scratch,
};

/// PgBouncer in transaction mode before the tests' server, with its own defaults but for what is said here.
pub struct PgBouncer {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// At most `size` connections to a database.
    pub async fn start(size: u32) -> Self {
        let admin = env("USHER_TEST_PG");
        let (user, server, port) = parts(&admin);
        let dir = scratch("pgbouncer");
        let listen = free_port();
        let users = dir.join("users");
        fs::write(&users, format!("\"{user}\" \"\"\n")).unwrap();
        let ini = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={server} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {size}\n",
            users.display()
        );
        fs::write(&ini, text).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        // Like PostgreSQL it refuses root, and then must read what we wrote.
        let mut command: Command = account(Path::new(&env("USHER_TEST_PGBOUNCER")));
        let child =
            command.arg(&ini).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let bouncer = Self { child, dir, port: listen };
        eventually("pgbouncer listens", async || TcpStream::connect(("127.0.0.1", listen)).ok()).await;
        bouncer
    }

    /// The same database, through it.
    pub fn url(&self, direct: &str) -> String {
        let (user, ..) = parts(direct);
        let (_, database) = direct.rsplit_once('/').unwrap();
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

/// User, host and port.
fn parts(url: &str) -> (&str, &str, &str) {
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (server, _) = rest.split_once('/').unwrap();
    let (host, port) = server.split_once(':').unwrap_or((server, "5432"));
    (user.split_once(':').map_or(user, |(user, _)| user), host, port)
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // INT: it ends when its clients' transactions have; QUIT and TERM: at once.
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("── pgbouncer\n{}", self.log());
        }
    }
}
