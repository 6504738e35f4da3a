use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeMetrics};

use crate::{
    db::Pool,
    lifecycle::Pulse,
    runtime::Runtime,
    telemetry::metrics::{Collector, Live, Metrics, Total, gauge, gauges},
    worker::Running,
};

/// What is there at a moment, and is read when somebody asks for it.
pub(super) struct Node {
    pub running: Arc<Running>,
    /// `worker.concurrency`.
    pub concurrency: u32,
    pub runtime: Arc<Runtime>,
    pub pulse: Pulse,
    /// By their names for people.
    pub pools: [(&'static str, Pool); 3],
    /// The queues of the configuration: shown while nothing runs, too.
    pub queues: Vec<String>,
}

impl Node {
    /// Must be called on the host's own runtime.
    pub fn show(self, metrics: &Metrics) {
        let Self { running, concurrency, runtime, pulse, pools, queues } = self;
        metrics.show(vec![
            jobs(running, concurrency, queues),
            guests(Arc::clone(&runtime)),
            heartbeat(pulse),
            connections(pools),
            threads(Handle::current(), runtime),
        ]);
    }
}

fn jobs(running: Arc<Running>, concurrency: u32, queues: Vec<String>) -> Box<dyn Collector> {
    let now = gauges("usher_jobs_running", "Jobs in flight on this host, from claim to settlement.", &["queue"]);
    let most = gauge("usher_jobs_running_max", "Most jobs that this host has in flight.");
    most.set(concurrency.into());
    Box::new(Live::new(vec![Box::new(now.clone()), Box::new(most)], move || {
        let by_queue = running.by_queue();
        for queue in &queues {
            let jobs = by_queue.get(queue).copied().unwrap_or(0);
            now.with_label_values(&[queue]).set(jobs as f64);
        }
    }))
}

fn guests(runtime: Arc<Runtime>) -> Box<dyn Collector> {
    let slots = gauge("usher_guest_slots", "Slots of the pool that guests run in.");
    let slots_in_use = gauge("usher_guest_slots_in_use", "Slots that guests take now.");
    let memory = gauge("usher_guest_memory_budget_bytes", "Memory of all guests together, at most.");
    let memory_in_use = gauge("usher_guest_memory_in_use_bytes", "Memory that guests take of it now.");
    let shown: Vec<Box<dyn Collector>> = vec![
        Box::new(slots.clone()),
        Box::new(slots_in_use.clone()),
        Box::new(memory.clone()),
        Box::new(memory_in_use.clone()),
    ];
    Box::new(Live::new(shown, move || {
        let room = runtime.room();
        slots.set(room.slots.into());
        slots_in_use.set(room.slots_in_use.into());
        memory.set(i64::try_from(room.memory).unwrap_or(i64::MAX));
        memory_in_use.set(i64::try_from(room.memory_in_use).unwrap_or(i64::MAX));
    }))
}

fn heartbeat(pulse: Pulse) -> Box<dyn Collector> {
    let help = "Time since PostgreSQL last confirmed this host's heartbeat; +Inf after this host was declared dead.";
    let age = gauges("usher_heartbeat_age_seconds", help, &[]);
    Box::new(Live::new(vec![Box::new(age.clone())], move || {
        let seconds = pulse.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
        age.with_label_values::<&str>(&[]).set(seconds);
    }))
}

fn connections(pools: [(&'static str, Pool); 3]) -> Box<dyn Collector> {
    let open = gauges("usher_database_connections", "Connections to PostgreSQL by pool and state.", &["pool", "state"]);
    let most = gauges("usher_database_connections_max", "Most connections of a pool.", &["pool"]);
    let waiting = gauges(
        "usher_database_waiting",
        "Tasks that wait for a connection of a pool, or for the BEGIN on one.",
        &["pool"],
    );
    let shown: Vec<Box<dyn Collector>> =
        vec![Box::new(open.clone()), Box::new(most.clone()), Box::new(waiting.clone())];
    Box::new(Live::new(shown, move || {
        for (name, pool) in &pools {
            let load = pool.load();
            open.with_label_values(&[*name, "in_use"]).set(load.in_use.into());
            open.with_label_values(&[*name, "idle"]).set(load.idle.into());
            most.with_label_values(&[*name]).set(load.most.into());
            waiting.with_label_values(&[*name]).set(load.waiting as f64);
        }
    }))
}

/// The runtime that answers HTTP and PostgreSQL, and the one of the guests.
fn threads(host: Handle, runtime: Arc<Runtime>) -> Box<dyn Collector> {
    let workers = gauges("usher_runtime_workers", "Threads of a tokio runtime.", &["runtime"]);
    let tasks = gauges("usher_runtime_tasks", "Tasks of a tokio runtime that have not ended.", &["runtime"]);
    let waiting = gauges(
        "usher_runtime_queue_depth",
        "Tasks that wait in the queue that all threads of a tokio runtime share.",
        &["runtime"],
    );
    let busy = Total::new(
        "usher_runtime_busy_seconds_total",
        "Time that the threads of a tokio runtime were busy.",
        &["runtime"],
    );
    let shown: Vec<Box<dyn Collector>> =
        vec![Box::new(workers.clone()), Box::new(tasks.clone()), Box::new(waiting.clone()), busy.shown()];
    Box::new(Live::new(shown, move || {
        let set = |name: &str, now: &RuntimeMetrics| {
            let name = [name];
            workers.with_label_values(&name).set(now.num_workers() as f64);
            tasks.with_label_values(&name).set(now.num_alive_tasks() as f64);
            waiting.with_label_values(&name).set(now.global_queue_depth() as f64);
            let spent = (0..now.num_workers()).map(|worker| now.worker_total_busy_duration(worker).as_secs_f64());
            busy.set(&name, spent.sum());
        };
        set("host", &host.metrics());
        if let Some(guests) = runtime.threads_metrics() {
            set("guest", &guests);
        }
    }))
}
