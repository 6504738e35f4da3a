use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use crate::lifecycle::Lifecycle;

/// How often the memory is looked at: what may come in meanwhile is bounded by the budget of bodies.
const EVERY: Duration = Duration::from_millis(250);

/// How short of memory this host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    None,
    /// It takes no submits.
    Some,
    /// It answers only about its health.
    Dire,
}

/// Looks at what this process, or the control group that would be killed, has in use.
#[derive(Debug)]
pub struct Memory {
    /// Bytes; `None`: nobody knows how much there is.
    most: Option<u64>,
    /// The control group's folder, where it is that which is bounded.
    group: Option<PathBuf>,
    shortage: AtomicU8,
}

impl Memory {
    /// `most`: as the operator says; otherwise it is looked for.
    pub fn new(most: Option<u64>) -> Self {
        let shortage = AtomicU8::new(Shortage::None as u8);
        if most.is_some() {
            return Self { most, group: None, shortage };
        }
        let share = |bytes: u64| bytes / 100 * 85;
        if let Some((group, bytes)) = bounded_group() {
            return Self { most: Some(share(bytes)), group: Some(group), shortage };
        }
        Self { most: machine().map(share), group: None, shortage }
    }

    pub fn shortage(&self) -> Shortage {
        match self.shortage.load(Ordering::Relaxed) {
            0 => Shortage::None,
            1 => Shortage::Some,
            _ => Shortage::Dire,
        }
    }

    pub async fn watch(&self, lifecycle: Lifecycle) {
        let Some(most) = self.most else {
            tracing::warn!("nobody says how much memory there is: set pressure.memory");
            return;
        };
        loop {
            let used = match &self.group {
                Some(group) => in_group(group),
                None => in_process(),
            };
            let (now, before) = (used.map_or(Shortage::None, |used| judged(used, most)), self.shortage());
            if now != before {
                self.shortage.store(now as u8, Ordering::Relaxed);
                let used = used.unwrap_or_default();
                match now {
                    Shortage::None => tracing::info!(used, most, "there is memory again"),
                    _ => tracing::warn!(used, most, "memory is short: submits are turned away"),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = lifecycle.ended() => return,
            }
        }
    }
}

fn judged(used: u64, most: u64) -> Shortage {
    if used >= most.saturating_add(most / 10) {
        Shortage::Dire
    } else if used >= most {
        Shortage::Some
    } else {
        Shortage::None
    }
}

/// The control group (version 2) of this process with the tightest bound on memory, and that.
fn bounded_group() -> Option<(PathBuf, u64)> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    // A bound on any group above counts as well. In a container the path may be the outer one, and the root is our own.
    let groups = root.join(own);
    let groups = groups.ancestors().take_while(|path| path.starts_with(root));
    groups
        .filter_map(|group| {
            let bytes: u64 = fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()?;
            Some((group.to_owned(), bytes))
        })
        .min_by_key(|(_, bytes)| *bytes)
}

/// Without the pages of files that can be dropped at once.
fn in_group(group: &Path) -> Option<u64> {
    let used: u64 = fs::read_to_string(group.join("memory.current")).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
    let files: u64 = stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.parse().ok()?;
    Some(used.saturating_sub(files))
}

fn in_process() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS:")
}

fn machine() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

fn kibibytes(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_the_machine_have_some() {
        let (process, machine) = (in_process().expect("told"), machine().expect("told"));
        assert!(process > 1 << 20 && process < machine, "{process} {machine}");
    }

    #[test]
    fn a_tenth_more_is_dire() {
        assert_eq!(
            [99, 100, 109, 110].map(|used| judged(used, 100)),
            [Shortage::None, Shortage::Some, Shortage::Some, Shortage::Dire]
        );
    }
}
