use std::{
    os::unix::fs::chown,
    path::Path,
    process::{Command, Stdio},
};

use super::EmbeddedError;

/// As whom the server runs. PostgreSQL refuses root.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// We are no root: as ourselves.
    Same,
    /// As this user, by setpriv.
    User { name: String, uid: u32, gid: u32 },
    /// No such user: in a user namespace where we are uid 1000.
    Namespace,
}

impl Account {
    /// A user who can reach the data folder and the binaries, else a namespace in which root is nobody special.
    pub fn choose(data: &Path, bin: &Path) -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Same);
        }
        let user = ["postgres", "nobody"].into_iter().find_map(user);
        match user {
            Some(user) if user.can_enter(data) && user.can_enter(&bin.join("postgres")) => Ok(user),
            _ if Self::Namespace.can_enter(data) => Ok(Self::Namespace),
            Some(Self::User { name, .. }) => Err(EmbeddedError::Unreachable { dir: data.to_owned(), user: name }),
            _ => Err(EmbeddedError::Unreachable { dir: data.to_owned(), user: "nobody".to_owned() }),
        }
    }

    /// True if this account can walk down to the folder that holds `path`. Folders above may be closed to it, and
    /// namespaces may be forbidden.
    fn can_enter(&self, path: &Path) -> bool {
        let done = self
            .command(Path::new("test"))
            .arg("-x")
            .arg(path.parent().unwrap_or(path))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        done.is_ok_and(|status| status.success())
    }

    /// The program, to be run as this account.
    pub fn command(&self, program: &Path) -> Command {
        match self {
            Self::Same => Command::new(program),
            Self::User { uid, gid, .. } => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups")
                    .arg("--")
                    .arg(program);
                command
            }
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]).arg(program);
                command
            }
        }
    }

    /// Hands a file or folder over.
    pub fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Same | Self::Namespace => Ok(()),
            Self::User { uid, gid, .. } => chown(path, Some(*uid), Some(*gid))
                .map_err(EmbeddedError::io(format!("hand {} over to the server's user", path.display()))),
        }
    }
}

fn user(name: &str) -> Option<Account> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        found.then(|| Account::User { name: name.to_owned(), uid, gid })
    })
}
