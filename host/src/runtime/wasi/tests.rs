use super::*;
use crate::{
    config::Config,
    effects::{Held, OnBehalf, World},
    ids::{Digest, JobId, Lease, Tier},
    releases::Limits,
    runtime::{
        JobInput, check,
        limits::{Charged, Cpu},
    },
};

fn attempt(job: JobId) -> Arc<Attempt> {
    let held = Held { job, tier: Tier::Background, lease: Lease::random(), generation: 0, is_ending: false };
    Attempt::new(held, Digest::of(b""), OnBehalf::default(), 0, Vec::new())
}

/// Instantiates a component, which does all in its start function, as an attempt with a second of CPU would.
async fn start(wat: &str) -> wasmtime::Result<()> {
    let cache = std::env::temp_dir().join(format!("usher-wasi-{}", uuid::Uuid::new_v4()));
    let registry = check::without_database(&Config::default(), &cache).expect("a runtime");
    let runtime = &registry.runtime;
    let component = Component::new(&runtime.engine, wat::parse_str(wat).expect("a component"))?;
    let job = JobId::new();
    let input = JobInput {
        id: job,
        job_type: "a".to_owned(),
        tenant: String::new(),
        subject: String::new(),
        payload: String::new(),
        attempt: 1,
        max_attempts: 1,
    };
    let limits = Limits { memory: 1 << 20, cpu: Duration::from_millis(200), wall: Duration::from_secs(60), effects: 0 };
    let cpu = Arc::new(Cpu::default());
    let world = World::Live(runtime.gate.clone());
    let mut store = runtime.store(world, limits, &input, attempt(job), Arc::clone(&cpu));
    let instance = runtime.linker.instantiate_pre(&component)?;
    let started = Charged::new(instance.instantiate_async(&mut store), cpu);
    let ended = tokio::time::timeout(Duration::from_secs(20), started).await.expect("it ends");
    let _ = std::fs::remove_dir_all(cache);
    ended.map(drop)
}

/// Waits for an hour of the clock by `wait`.
fn sleeper(wait: &str) -> String {
    format!(
        r#"(component
            (import "wasi:io/poll@0.2.9" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.9" (instance $clock
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $p (eq $outer)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core func $subscribe (canon lower (func $clock "subscribe-duration")))
            (core func $drop (canon resource.drop $pollable))
            (core module $m
                (import "" "block" (func $block (param i32)))
                (import "" "subscribe" (func $subscribe (param i64) (result i32)))
                (import "" "drop" (func $drop (param i32)))
                (func $hour (local i32)
                    (local.set 0 (call $subscribe (i64.const 3600000000000)))
                    (call $block (local.get 0))
                    (call $drop (local.get 0)))
                (func $start {wait})
                (start $start))
            (core instance (instantiate $m (with "" (instance
                (export "block" (func $block)) (export "subscribe" (func $subscribe)) (export "drop" (func $drop)))))))"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_clock_is_over_at_once() {
    start(&sleeper("(call $hour)")).await.expect("no hour has passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_ever_uses_up_the_cpu_budget() {
    let error = start(&sleeper("(loop (call $hour) (br 0))")).await.expect_err("it never ends by itself");
    assert!(matches!(error.downcast_ref::<Halt>(), Some(Halt::Cpu)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_cannot_be_hoarded() {
    let hoarder = r#"(component
        (import "wasi:io/streams@0.2.9" (instance $streams (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.9" (instance $stdout
            (alias outer 1 $stream (type $outer))
            (export "output-stream" (type $s (eq $outer)))
            (export "get-stdout" (func (result (own $s))))))
        (core func $get (canon lower (func $stdout "get-stdout")))
        (core module $m
            (import "" "get" (func $get (result i32)))
            (func $start (loop (drop (call $get)) (br 0)))
            (start $start))
        (core instance (instantiate $m (with "" (instance (export "get" (func $get)))))))"#;
    let error = start(hoarder).await.expect_err("it never ends by itself");
    assert!(!error.is::<Halt>(), "long before the CPU budget: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_a_guests_own_resources_are_the_hosts_memory_too() {
    let hoarder = r#"(component
        (type $mine (resource (rep i32)))
        (core func $new (canon resource.new $mine))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (func $start (loop (drop (call $new (i32.const 0))) (br 0)))
            (start $start))
        (core instance (instantiate $m (with "" (instance (export "new" (func $new)))))))"#;
    let error = start(hoarder).await.expect_err("it never ends by itself");
    assert!(!error.is::<Halt>() && format!("{error:#}").contains("handle"), "long before the CPU budget: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_linked_that_reaches_the_network() {
    for package in ["wasi:sockets/instance-network", "wasi:http/outgoing-handler"] {
        let wat = format!(r#"(component (import "{package}@0.2.9" (instance (export "f" (func)))))"#);
        let error = start(&wat).await.expect_err("not linked");
        assert!(format!("{error:#}").contains(package), "{error:#}");
    }
}

#[test]
fn a_line_without_an_end_is_cut_and_what_is_left_is_one() {
    let log = GuestLog::new(JobId::new(), "a");
    let mut output = Output::new(&log, Level::WARN);
    output.write(Bytes::from(vec![b'x'; 3 * MAX_LINE + 1])).expect("written");
    assert_eq!(output.0.lock().expect("whole").begun.len(), 1, "no more than a line is held");
    output.write(Bytes::from_static(b"yz\nlast \xff words")).expect("written");
    assert_eq!(log.last_words().as_deref(), Some("xyz"));
    drop(output);
    assert_eq!(log.last_words().as_deref(), Some("last \u{fffd} words"));
    // Written in two parts, and longer than a line together: nothing of it is lost.
    let log = GuestLog::keeping(JobId::new(), "a");
    let mut parts = Output::new(&log, Level::WARN);
    for _ in 0..2 {
        parts.write(Bytes::from(vec![b'x'; MAX_LINE - 1])).expect("written");
    }
    drop(parts);
    let lengths: Vec<_> = log.take_kept().iter().map(|line| line.text.len()).collect();
    assert_eq!(lengths, [MAX_LINE, MAX_LINE - 2]);
}

#[test]
fn random_bytes_are_the_attempts_and_the_same_again() {
    let job = JobId::new();
    let draw = || {
        let mut bytes = [0; 20];
        let mut random = Replayable(attempt(job));
        random.try_fill_bytes(&mut bytes).expect("infallible");
        (bytes, random.try_next_u32(), random.try_next_u64())
    };
    assert_eq!(draw(), draw());
    assert_ne!(draw().0[..8], draw().0[8..16]);
}
