use super::*;
use crate::ids::{Lease, Tier};

fn job(attempt: i32, snoozes: i32) -> Claimed {
    Claimed {
        id: JobId::new(),
        tier: Tier::Money,
        lease: Lease::random(),
        tenant: "t".to_owned(),
        job_type: "x".to_owned(),
        queue: "money".to_owned(),
        subject: "s".to_owned(),
        payload: "{}".to_owned(),
        attempt,
        max_attempts: 11,
        snoozes,
        reaps: 0,
        runs: 1,
        generation: 0,
        accepted_by: None,
        pinned: None,
        expired: false,
        cancel_requested: false,
        place: None,
        alone: false,
        waited: Duration::ZERO,
    }
}

fn stopped(job: Claimed, stop: Stop) -> Option<Verdict> {
    ended(job, runtime::Verdict::Stopped(stop), false)
}

fn ended(job: Claimed, verdict: runtime::Verdict, in_doubt: bool) -> Option<Verdict> {
    judged(job, verdict, in_doubt, false)
}

fn of(verdict: runtime::Verdict) -> Ended {
    Ended {
        verdict,
        cpu: Duration::ZERO,
        peak_memory: 0,
        log_bytes: 0,
        children: Vec::new(),
        published: Vec::new(),
        log: Vec::new(),
    }
}

fn judged(job: Claimed, verdict: runtime::Verdict, in_doubt: bool, forgiven: bool) -> Option<Verdict> {
    let outcome = Outcome::Ran { release: Digest([0; 32]), ended: of(verdict), base_ms: 0, in_doubt, forgiven };
    settled(&Queues::default(), job, outcome, false, false, false).map(|s| s.settlement.verdict)
}

#[test]
fn an_outage_burns_no_attempt_and_waits_ever_longer_up_to_a_minute() {
    for snoozes in [0, 3, 30] {
        let stop = Stop::Snooze { message: String::new(), after: None };
        let Some(Verdict::Again { delay, burn: false }) = stopped(job(11, snoozes), stop) else { panic!("a snooze") };
        assert!(delay <= MAX_SNOOZE && delay >= Duration::from_secs(1), "{delay:?}");
    }
    let crowded = ended(job(11, 0), runtime::Verdict::Crowded, false);
    assert!(matches!(crowded, Some(Verdict::Again { burn: false, .. })), "nor does a full host");
}

#[test]
fn a_transient_failure_burns_an_attempt_until_none_is_left() {
    let stop = || Stop::Retry { message: String::new(), after: Some(Duration::from_secs(90)) };
    assert_eq!(stopped(job(1, 0), stop()), Some(Verdict::Again { delay: Duration::from_secs(90), burn: true }));
    assert_eq!(stopped(job(11, 0), stop()), Some(Verdict::Dead { reason: "retries-exhausted" }));
}

/// The last attempt of a job that was in doubt before it.
fn again(verdict: runtime::Verdict, was_in_doubt: bool) -> Option<Verdict> {
    let ended = of(verdict);
    let outcome = Outcome::Ran { release: Digest([0; 32]), ended, base_ms: 0, in_doubt: true, forgiven: false };
    settled(&Queues::default(), job(11, 0), outcome, true, was_in_doubt, false).map(|s| s.settlement.verdict)
}

#[test]
fn the_doubt_of_a_last_attempt_is_asked_about_once_before_a_person_is() {
    let stop = || runtime::Verdict::Stopped(Stop::Retry { message: String::new(), after: None });
    let trap = || runtime::Verdict::Trapped { kind: runtime::TrapKind::WallLimit, message: String::new() };
    for verdict in [&stop as &dyn Fn() -> runtime::Verdict, &trap] {
        assert!(matches!(again(verdict(), false), Some(Verdict::Again { burn: false, .. })));
        assert_eq!(again(verdict(), true), Some(Verdict::Park));
    }
    assert_eq!(again(runtime::Verdict::GuestPermanent(String::new()), false), Some(Verdict::Park));
}

#[test]
fn a_job_with_an_effect_in_doubt_ends_only_by_a_persons_word() {
    let stop = || runtime::Verdict::Stopped(Stop::Retry { message: String::new(), after: None });
    assert!(matches!(ended(job(1, 0), stop(), true), Some(Verdict::Again { burn: true, .. })));
    assert_eq!(again(stop(), true), Some(Verdict::Park));
    let permanent = || runtime::Verdict::GuestPermanent(String::new());
    assert_eq!(ended(job(1, 0), permanent(), true), Some(Verdict::Park));
    assert_eq!(ended(job(1, 0), permanent(), false), Some(Verdict::Dead { reason: "permanent" }));
    let completed = || runtime::Verdict::Completed("1".to_owned());
    assert_eq!(ended(job(1, 0), completed(), true), Some(Verdict::Park));
    assert!(matches!(ended(job(1, 0), completed(), false), Some(Verdict::Completed { .. })));
}

#[test]
fn one_that_no_node_should_run_again_is_parked_if_its_journal_is_in_doubt() {
    let queues = Queues::default();
    let end =
        |outcome, in_doubt| settled(&queues, job(11, 0), outcome, true, in_doubt, false).map(|s| s.settlement.verdict);
    assert_eq!(end(Outcome::Poison, true), Some(Verdict::Park));
    assert_eq!(end(Outcome::Poison, false), Some(Verdict::Dead { reason: "trapped" }));
    assert_eq!(end(Outcome::HostFailed, false), Some(Verdict::Park), "nobody knows how far it came");
}

#[test]
fn a_release_that_is_stopped_kills_no_job() {
    let trap = || runtime::Verdict::Trapped { kind: runtime::TrapKind::CpuLimit, message: String::new() };
    assert_eq!(judged(job(11, 0), trap(), false, false), Some(DEAD_TRAPPED));
    assert!(matches!(judged(job(11, 0), trap(), false, true), Some(Verdict::Again { burn: false, .. })));
    let end = settled(&Queues::default(), job(11, 0), Outcome::Unserved, false, false, false);
    assert_eq!(end.map(|s| s.settlement.verdict), Some(Verdict::Return));
}

#[test]
fn a_lost_lease_settles_nothing() {
    assert_eq!(stopped(job(1, 0), Stop::LeaseLost), None);
}

#[test]
fn backoff_doubles_with_jitter_and_is_capped() {
    let queue = &Queues::default().0["money"];
    for (attempt, most) in [(1, 2), (2, 4), (5, 32), (11, 2048), (30, 3600)] {
        let delay = backoff(queue, attempt);
        assert!(delay <= Duration::from_secs(most) && delay >= Duration::from_secs(most) / 2, "{attempt}: {delay:?}");
    }
}
