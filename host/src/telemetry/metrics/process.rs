use std::fs;

use rustix::process::{Resource, getrlimit};

use super::{Collector, Live, Total, gauge};
use crate::clock;

/// The process, by the names that all clients of Prometheus give it.
pub(super) fn collectors() -> Vec<Box<dyn Collector>> {
    let cpu = Total::new("process_cpu_seconds_total", "CPU time of the whole process.", &[]);
    let resident = gauge("process_resident_memory_bytes", "Resident memory.");
    let virtual_ = gauge("process_virtual_memory_bytes", "Virtual memory; the pool of guests reserves much of it.");
    let threads = gauge("process_threads", "Threads.");
    let open = gauge("process_open_fds", "Open file descriptors.");
    let most = gauge("process_max_fds", "Most file descriptors that may be open.");
    let start = gauge("process_start_time_seconds", "When the process started, in seconds since the Unix epoch.");
    start.set(i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX));
    let shown: Vec<Box<dyn Collector>> = vec![
        cpu.shown(),
        Box::new(resident.clone()),
        Box::new(virtual_.clone()),
        Box::new(threads.clone()),
        Box::new(open.clone()),
        Box::new(most.clone()),
        Box::new(start),
    ];
    let look = move || {
        cpu.set(&[], clock::process_cpu().as_secs_f64());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        resident.set(of_status(&status, "VmRSS:") * 1024);
        virtual_.set(of_status(&status, "VmSize:") * 1024);
        threads.set(of_status(&status, "Threads:"));
        // The descriptor of the folder is among them while it is read.
        let count = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count().saturating_sub(1));
        open.set(i64::try_from(count).unwrap_or(i64::MAX));
        let limit = getrlimit(Resource::Nofile).current;
        most.set(limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX));
    };
    vec![Box::new(Live::new(shown, look))]
}

/// A number of /proc/self/status.
fn of_status(status: &str, name: &str) -> i64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process_is_read() {
        let status = "Name:\tusher\nVmSize:\t  4096 kB\nVmRSS:\t  2048 kB\nThreads:\t7\n";
        assert_eq!((of_status(status, "VmRSS:"), of_status(status, "Threads:")), (2048, 7));
        assert_eq!(of_status(status, "VmSwap:"), 0);
    }
}
