//! A model of the lease protocol of the job queue, searched in every interleaving within small budgets of faults.
//!
//! What it models: PostgreSQL as one atomic store (each action is one transaction), jobs claimed under a fresh lease,
//! nodes that beat, crash, are stopped and come back as zombies, a journal row around the one external effect of each
//! job, settling, suspension, and the reaper that takes a dead node's jobs back. The lease is the only fence: a reap
//! and a suspension give the attempt back, so node and attempt together name more than one run.
//!
//! What it leaves out: failed attempts and retries, the loss of the store or of committed rows, a provider that forgets
//! effect ids, and time. Of time it assumes one thing: a window of a reaper's own clock does not pass over a node that
//! is up and on time without a beat of that node (`Pass`).

use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;
use {Act::*, Health::*, Job::*, Step::*};

const JOBS: usize = 2;
const NODES: usize = 3;
const GONE: usize = NODES; // where a reference to a removed row points: the host may be back, but as another row

const SETTLE: &str = "no job is settled under a lost lease";
const BEGIN: &str = "no effect begins without the lease";
const ONCE: &str = "an effect happens at most once per effect id";
const HAD: &str = "a job that is done has had its effect";
const KNOWN: &str = "a running job is known to a live node or its reap is to come";
const QUIET: &str = "where no helpful action is left all jobs are done";
const HEALTHY: &str = "a healthy node is never declared dead";

/// How much may still go wrong. It bounds the claims too: one for each job, and one for each reap and suspension.
type Budget = [u8; 4];
const CRASHES: usize = 0;
const PAUSES: usize = 1;
const SUSPENDS: usize = 2;
const JUMPS: usize = 3;

/// The protocol, and the ways to get it wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Right,
    SettleUnfenced,  // settling does not look at the lease
    FenceByAttempt,  // the fence compares node and attempt instead of the lease
    ReapByStamp,     // the reaper also compares the stamp of the last beat with a clock that can jump
    ReapForgets,     // the reaper removes the node's row and leaves its jobs running
    ProviderRepeats, // the provider does not know an effect id again: a repeat is a second effect
}

struct Lease(Variant, Budget);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Job {
    #[default]
    Ready,
    Running(usize, u8), // the node and the lease
    Done,
}

/// What the store knows of one job, and the provider of its effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    job: Job,
    attempt: u8,
    issued: u8,            // the last lease given out
    journal: Option<bool>, // the journal row of the effect, and whether it says ended
    effects: u8,           // how often the provider has acted under this effect id
    taken: bool,           // ghost: a reap took the job back from a crashed node
}

/// How far a node believes it has got with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Claimed,
    Begun, // the journal says started, and this run has yet to send
    Doubt, // the journal said started before this run came: nobody knows whether it was sent
    Sent,
    Settled, // the look at the provider found the effect
    Ended,
    Replayed, // the journal said ended: its answer is taken and nothing is sent
    Refused,  // the settle hit zero rows: the lease is lost, the result is about to be dropped
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Run {
    job: usize,
    lease: u8,
    attempt: u8,
    step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Health {
    #[default]
    Up,
    Late, // resumed and not yet beaten: it acts, on a memory that may be out of date
    Paused,
    Crashed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Node {
    health: Health,
    gone: bool,         // declared dead: the store has no row for it until it joins again
    old: bool,          // the stamp of its last beat looks old
    seen: Option<bool>, // another node saw its last beat, and whether unchanged for a window of its own clock
    runs: Vec<Run>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct State {
    rows: [Row; JOBS],
    nodes: [Node; NODES],
    left: Budget,
    wrong: Option<&'static str>, // ghost: the property last broken by an action, set at that moment
}

/// What happens to, or is done by, one node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Claim(usize),
    Go(Run), // the next step of a run: begin, look, send, end, settle or drop, as its present step says
    Suspend(Run),
    Beat,
    /// Another node looks at its beat. Which one is not told: any that acts may go on with the watch, which only allows
    /// more. One watch at a time is enough: it can begin and ripen right before its reap.
    Observe,
    Pass, // a window of the watcher's clock goes by without a beat
    Reap,
    Pause,
    Resume,
    Crash,
    Restart,
    Jump, // the clock jumps, and the stamp of a node that has yet to beat looks old
}

impl Row {
    fn on(&self, n: usize) -> bool {
        matches!(self.job, Running(node, _) if node == n)
    }

    fn give_back(&mut self) {
        (self.job, self.attempt) = (Ready, self.attempt - 1);
    }
}

impl State {
    /// The truth about a lease, whatever the fence of the variant believes.
    fn holds(&self, run: &Run) -> bool {
        matches!(self.rows[run.job].job, Running(_, lease) if lease == run.lease)
    }

    fn any(&self, step: Step) -> bool {
        self.nodes.iter().any(|n| n.runs.iter().any(|r| r.step == step))
    }

    /// The invariant behind "none is forgotten": a live node knows the running job, or its reap is still to come, as
    /// the row of its node is there and the process behind that row will never beat again.
    fn known(&self, job: usize) -> bool {
        let Running(node, _) = self.rows[job].job else { return true };
        let knows = |n: &Node| n.health != Crashed && n.runs.iter().any(|r| r.job == job && self.holds(r));
        self.nodes.iter().any(knows) || self.nodes.get(node).is_some_and(|n| !n.gone && n.health == Crashed)
    }

    /// The same state up to the names of nodes, jobs and leases, which no rule looks at. A lease is only ever compared
    /// with the job's present one, and a lost one never comes back: present or lost is all there is to tell.
    fn plain(&self) -> Self {
        let [a, b] = self.rows.map(|r| (r.job == Done, r.attempt, r.journal, r.effects, r.taken));
        let jobs = if a > b { [1, 0] } else { [0, 1] };
        if a == b { self.renamed([0, 1]).min(self.renamed([1, 0])) } else { self.renamed(jobs) }
    }

    fn renamed(&self, jobs: [usize; JOBS]) -> Self {
        let mut s = self.clone();
        s.rows = jobs.map(|j| self.rows[j]);
        for node in &mut s.nodes {
            for run in &mut node.runs {
                (run.lease, run.job) = (u8::from(self.holds(run)), jobs[run.job]);
            }
            node.runs.sort_unstable();
        }
        // The jobs that point at a node take part in the order, so nodes that tie are alike in everything.
        let mut order = [0, 1, 2];
        let key = |n: &usize| (s.rows.map(|r| r.on(*n)), &s.nodes[*n]);
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        for row in &mut s.rows {
            row.issued = 0;
            if let Running(node, _) = row.job {
                (row.job, row.issued) = (Running(order.iter().position(|o| *o == node).unwrap_or(GONE), 1), 1);
            }
        }
        s.nodes = order.map(|n| std::mem::take(&mut s.nodes[n]));
        s
    }
}

impl Lease {
    /// What stands behind WHERE when a node begins, settles or suspends.
    fn fence(&self, s: &State, n: usize, run: &Run) -> bool {
        let row = &s.rows[run.job];
        if self.0 == Variant::FenceByAttempt { row.on(n) && row.attempt == run.attempt } else { s.holds(run) }
    }

    /// Takes a run to its next step, or out of the node's memory.
    fn go(&self, s: &mut State, n: usize, run: Run) -> Option<Step> {
        let (fence, holds) = (self.fence(s, n, &run), s.holds(&run));
        let row = &mut s.rows[run.job];
        match run.step {
            Claimed if row.journal.is_some() => Some(if row.journal == Some(true) { Replayed } else { Doubt }),
            Claimed if fence => {
                row.journal = Some(false);
                s.wrong = if holds { s.wrong } else { Some(BEGIN) };
                Some(Begun)
            }
            // Not found is no proof: the run that began it may be a zombie about to send. It is sent again, under the
            // same id, and the provider absorbs whichever comes second.
            Doubt => Some(if row.effects > 0 { Settled } else { Begun }),
            Begun => {
                row.effects = if self.0 == Variant::ProviderRepeats { row.effects + 1 } else { 1 };
                Some(Sent)
            }
            Sent | Settled => {
                row.journal = Some(true);
                Some(Ended)
            }
            Ended | Replayed if fence || self.0 == Variant::SettleUnfenced => {
                row.job = Done;
                s.wrong = if holds { s.wrong } else { Some(SETTLE) };
                None
            }
            Ended | Replayed => Some(Refused),
            Claimed | Refused => None,
        }
    }

    /// Whether an action leads on: all but faults, suspensions, restarts, and looking at a beat that goes on. Work and
    /// takeovers come to an end by these alone, or not at all.
    fn helpful(s: &State, (n, act): (usize, Act)) -> bool {
        let idle = act == Observe && s.nodes[n].health == Up;
        !idle && !matches!(act, Suspend(_) | Pause | Crash | Restart | Jump)
    }
}

impl Model for Lease {
    type State = State;
    type Action = (usize, Act);

    fn init_states(&self) -> Vec<State> {
        vec![State { left: self.1, ..State::default() }]
    }

    fn actions(&self, s: &State, out: &mut Vec<(usize, Act)>) {
        let acts = |n: usize| matches!(s.nodes[n].health, Up | Late);
        for (n, node) in s.nodes.iter().enumerate() {
            let mut may = |when: bool, act: Act| out.extend(when.then_some((n, act)));
            may(s.left[CRASHES] > 0 && node.health != Crashed, Crash);
            may(node.health == Paused, Resume);
            // A new process is a new row. While the old row stands, one that starts is like another idle node.
            may(node.health == Crashed && node.gone, Restart);
            if (0..NODES).any(|by| by != n && acts(by)) {
                may(!node.gone && s.nodes.iter().all(|n| n.seen.is_none()), Observe);
                // The assumption about time: a node on time beats within every window, so none passes over it.
                may(node.seen == Some(false) && node.health != Up, Pass);
                may(node.seen == Some(true) || node.old && self.0 == Variant::ReapByStamp, Reap);
            }
            if acts(n) {
                may(node.health == Late || node.gone || node.old || node.seen.is_some(), Beat);
                may(s.left[PAUSES] > 0, Pause);
                may(s.left[JUMPS] > 0 && !node.gone, Jump);
                (0..JOBS).for_each(|j| may(!node.gone && s.rows[j].job == Ready, Claim(j)));
                for r in &node.runs {
                    may(true, Go(*r));
                    let rests = matches!(r.step, Claimed | Ended) && self.fence(s, n, r);
                    may(s.left[SUSPENDS] > 0 && rests, Suspend(*r));
                }
            }
        }
    }

    fn next_state(&self, last: &State, (n, act): (usize, Act)) -> Option<State> {
        let mut s = last.clone();
        let node = &mut s.nodes[n];
        match act {
            Claim(job) => {
                let row = &mut s.rows[job];
                (row.issued, row.attempt) = (row.issued + 1, row.attempt + 1);
                row.job = Running(n, row.issued);
                node.runs.push(Run { job, lease: row.issued, attempt: row.attempt, step: Claimed });
            }
            Go(run) => {
                node.runs.remove(node.runs.iter().position(|r| *r == run)?);
                let next = self.go(&mut s, n, run);
                s.nodes[n].runs.extend(next.map(|step| Run { step, ..run }));
            }
            Suspend(run) => {
                s.left[SUSPENDS] -= 1;
                s.rows[run.job].give_back();
                node.runs.remove(node.runs.iter().position(|r| *r == run)?);
            }
            // A node that finds its row gone joins again. Its runs go on: nothing in it can stop a call in flight.
            Beat => (node.health, node.gone, node.old, node.seen) = (Up, false, false, None),
            Observe => node.seen = Some(false),
            Pass => node.seen = Some(true),
            Reap => {
                s.wrong = if node.health == Up { Some(HEALTHY) } else { s.wrong };
                (node.gone, node.old, node.seen) = (true, false, None);
                for row in s.rows.iter_mut().filter(|r| r.on(n)) {
                    if self.0 == Variant::ReapForgets {
                        row.job = Running(GONE, row.issued);
                    } else {
                        row.give_back();
                        row.taken |= node.health == Crashed;
                    }
                }
            }
            Pause => (node.health, s.left[PAUSES]) = (Paused, s.left[PAUSES] - 1),
            Resume => node.health = Late,
            Crash => {
                (node.health, s.left[CRASHES]) = (Crashed, s.left[CRASHES] - 1);
                node.runs.clear();
            }
            Restart => *node = Node::default(),
            Jump => (node.old, s.left[JUMPS]) = (true, s.left[JUMPS] - 1),
        }
        Some(s)
    }

    /// "None is forgotten" comes in two forms: an invariant on every state (`KNOWN`), and one that needs no idea of
    /// what forgetting looks like: where no helpful action is left, all jobs are done (`QUIET`). Helpful actions alone
    /// cannot go on for ever, so wherever the faults stop the jobs end. Both are `always`, as stateright's `eventually`
    /// does not see through cycles, and a beat and the look at it are one.
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SETTLE, |_, s: &State| s.wrong != Some(SETTLE)),
            Property::always(BEGIN, |_, s: &State| s.wrong != Some(BEGIN)),
            Property::always(HEALTHY, |_, s: &State| s.wrong != Some(HEALTHY)),
            Property::always(ONCE, |_, s: &State| s.rows.iter().all(|r| r.effects <= 1)),
            Property::always(HAD, |_, s: &State| s.rows.iter().all(|r| r.job != Done || r.effects > 0)),
            Property::always(KNOWN, |_, s: &State| (0..JOBS).all(|job| s.known(job))),
            Property::always(QUIET, |m: &Self, s: &State| {
                let mut acts = Vec::new();
                m.actions(s, &mut acts);
                acts.iter().any(|a| Self::helpful(s, *a)) || s.rows.iter().all(|r| r.job == Done)
            }),
            Property::sometimes("a zombie's settle is refused", |_, s: &State| s.any(Refused)),
            Property::sometimes("a doubt is settled", |_, s: &State| s.any(Settled)),
            Property::sometimes("an answer is replayed", |_, s: &State| s.any(Replayed)),
            Property::sometimes("a takeover completes a crashed node's job", |_, s: &State| {
                s.rows.iter().any(|r| r.job == Done && r.taken)
            }),
        ]
    }
}

/// Searches every history within a budget to the end. Gives the properties broken, the examples found, and the states.
fn search(variant: Variant, budget: Budget) -> (BTreeSet<&'static str>, BTreeSet<&'static str>, usize) {
    let run = Lease(variant, budget).checker().threads(2).symmetry_fn(State::plain).spawn_dfs().join();
    let fails = |name: &&'static str| run.model().property(name).expectation.discovery_is_failure();
    let (broken, seen) = run.discoveries().into_keys().partition(fails);
    (broken, seen, run.unique_state_count())
}

#[test]
fn the_protocol_holds_and_is_not_idle() {
    let mut all = BTreeSet::new();
    let budgets = [([0, 0, 0, 1], 400), ([2, 0, 1, 0], 20_000), ([0, 1, 1, 0], 80_000), ([1, 1, 0, 0], 500_000)];
    for (budget, least) in budgets {
        let (broken, seen, states) = search(Variant::Right, budget);
        assert!(broken.is_empty() && states >= least, "{budget:?} breaks {broken:?} in {states} states");
        all.extend(seen);
    }
    assert_eq!(all.len(), 4, "only {all:?}");
}

/// A wrong variant breaks what it is expected to break, and nothing else.
fn breaks(variant: Variant, budget: Budget, expected: &[&'static str]) {
    assert_eq!(search(variant, budget).0, expected.iter().copied().collect());
}

#[test]
fn settling_without_the_lease_is_refuted() {
    breaks(Variant::SettleUnfenced, [0, 1, 0, 0], &[SETTLE]);
}

#[test]
fn a_fence_by_attempt_is_refuted() {
    breaks(Variant::FenceByAttempt, [0, 1, 0, 0], &[SETTLE, BEGIN]);
}

#[test]
fn a_reap_by_stamp_is_refuted() {
    breaks(Variant::ReapByStamp, [0, 0, 0, 1], &[HEALTHY]);
}

#[test]
fn a_reaper_that_forgets_is_refuted() {
    breaks(Variant::ReapForgets, [1, 0, 0, 0], &[KNOWN, QUIET]);
}

#[test]
fn a_provider_that_repeats_is_refuted() {
    breaks(Variant::ProviderRepeats, [0, 1, 0, 0], &[ONCE]);
}
