use serde_json::{Value, json};

use super::{
    Difference, Finding, Journal, Of, Record, Shelf, Skipped, Verdict, VerifyError,
    align::{self, Parting, Step},
    play,
    record::{self, Ending, Mismatch},
    shelf::{can_act, can_tell},
};
use crate::{
    config::GrantSet,
    journal::Recorded,
    runtime::stage::{Child, Finish, Played, Stage},
};

/// A release against one record.
pub(super) async fn judge(shelf: &Shelf<'_>, stage: &Stage, record: &Record) -> Result<Verdict, VerifyError> {
    let played = play(stage, record.scene(), Journal::Kept).await?;
    let is_own = stage.release().digest == record.release;
    match record.mismatch(&played) {
        None if is_own || !matches!(record.end, Ending::Completed(_)) => Ok(same(played, true)),
        None => told(shelf, stage, record, played).await,
        Some(Mismatch::Trapped { kind, message }) => Ok(Verdict::Failed { kind, message }),
        Some(Mismatch::Stopped { kind, message }) => Ok(Verdict::Failed { kind: kind.to_owned(), message }),
        Some(Mismatch::Beyond { .. }) if is_own => Ok(Verdict::Skipped(Skipped::Incomplete)),
        Some(Mismatch::End { .. }) if is_own && !record.knows_clock => Ok(Verdict::Skipped(Skipped::NoClock)),
        Some(mismatch) => {
            // What the release that ended it makes of the same journal tells what is the record's own fault.
            let before = match shelf.stage(record.release).await? {
                Some(own) if !is_own => Some(play(&own, record.scene(), Journal::Kept).await?),
                _ => None,
            };
            parted(stage, record, mismatch, &played, before.as_ref()).await
        }
    }
}

fn same(played: Played, compared: bool) -> Verdict {
    Verdict::Same { end: played.end, compared }
}

/// Effects and end are the same; so should be the jobs and events that it left with its success.
async fn told(shelf: &Shelf<'_>, stage: &Stage, record: &Record, played: Played) -> Result<Verdict, VerifyError> {
    let is_silent = !can_tell(&stage.release().manifest.grants);
    // One without a journal had no effect, or has lost it; only its own release knows.
    let is_plain = |own: &GrantSet| !(can_tell(own) || record.answered.is_empty() && can_act(own));
    if is_silent && shelf.grants(record.release).await?.is_some_and(|own| is_plain(&own)) {
        return Ok(same(played, true));
    }
    let Some(own) = shelf.stage(record.release).await? else { return Ok(same(played, false)) };
    let before = play(&own, record.scene(), Journal::Kept).await?;
    Ok(match record.mismatch(&before) {
        Some(Mismatch::Beyond { .. }) => Verdict::Skipped(Skipped::Incomplete),
        // One that does not repeat its own record is no witness.
        Some(_) => same(played, false),
        None => match left_behind(&before, &played) {
            Some(difference) => Verdict::Different(difference),
            None => same(played, true),
        },
    })
}

/// A job or an event that was left behind.
struct Left {
    step: Step,
    value: Value,
}

fn left_behind(before: &Played, played: &Played) -> Option<Difference> {
    parted_in(Of::Job, jobs(before), jobs(played)).or_else(|| parted_in(Of::Event, events(before), events(played)))
}

fn parted_in(of: Of, then: Vec<Left>, now: Vec<Left>) -> Option<Difference> {
    let (then_values, then): (Vec<_>, Vec<_>) = then.into_iter().map(|left| (left.value, left.step)).unzip();
    let (now_values, now): (Vec<_>, Vec<_>) = now.into_iter().map(|left| (left.value, left.step)).unzip();
    let parting = align::parting(&then, &now)?;
    let fields = |at: usize| match (then_values.get(at), now_values.get(at)) {
        (Some(then), Some(now)) => align::places(then, now),
        _ => Vec::new(),
    };
    let finding = finding(of, parting, |at| named(&then, at), |at| named(&now, at), fields);
    let full = format!("{finding}: was {}, is {}", Value::from(then_values), Value::from(now_values));
    Some(Difference { finding, shown: String::new(), full })
}

fn jobs(played: &Played) -> Vec<Left> {
    let job = |child: &Child| {
        let delay = u64::try_from(child.delay.as_millis()).unwrap_or(u64::MAX);
        Left {
            step: Step { call: child.job_type.clone(), identity: format!("{child:?}").into_bytes() },
            value: json!({ "payload": parsed(&child.payload), "key": child.key, "delayMs": delay }),
        }
    };
    played.children.iter().map(job).collect()
}

fn events(played: &Played) -> Vec<Left> {
    let event = |(event_type, data): &(String, String)| Left {
        step: Step { call: event_type.clone(), identity: data.clone().into_bytes() },
        value: json!({ "data": parsed(data) }),
    };
    played.events.iter().map(event).collect()
}

fn named(all: &[Step], at: usize) -> String {
    all.get(at).map(|step| step.call.clone()).unwrap_or_default()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// `before`: what the release that ended the job does with the same journal, if it is there and another one.
async fn parted(
    stage: &Stage,
    record: &Record,
    mismatch: Mismatch,
    played: &Played,
    before: Option<&Played>,
) -> Result<Verdict, VerifyError> {
    match before.and_then(|before| record.mismatch(before)) {
        Some(Mismatch::Beyond { .. }) => return Ok(Verdict::Skipped(Skipped::Incomplete)),
        // The record is of what nobody can know, such as which attempt it was: both do the same with it.
        Some(Mismatch::Short { .. } | Mismatch::End { .. }) if before.is_some_and(|before| alike(before, played)) => {
            return Ok(Verdict::Same { end: played.end.clone(), compared: true });
        }
        _ => {}
    }
    let full = mismatch.to_string();
    if let Mismatch::End { .. } = mismatch {
        return Ok(Verdict::Different(Difference { finding: ends(record, played), shown: String::new(), full }));
    }
    // How it goes on shows whether an effect was dropped, added, moved or changed.
    let explored = play(stage, record.scene(), Journal::Lent).await?;
    let then: Vec<&Recorded> = record.answered.iter().chain(&record.open).collect();
    let row = |row: &&Recorded| Step { call: record::call(row), identity: row.request_hash.to_vec() };
    let then_steps: Vec<_> = then.iter().map(row).collect();
    let now: Vec<_> = explored
        .effects
        .iter()
        .map(|effect| Step { call: effect.call(), identity: effect.request_hash.to_vec() })
        .collect();
    let place = match &mismatch {
        Mismatch::Request { seq, .. } | Mismatch::Beyond { seq, .. } | Mismatch::Short { seq, .. } => *seq as usize,
        Mismatch::End { .. } | Mismatch::Trapped { .. } | Mismatch::Stopped { .. } => 0,
    };
    let parting = align::parting(&then_steps, &now).unwrap_or(Parting::Changed { at: place });
    let mut shown = String::new();
    let fields = |at: usize| match (then.get(at), explored.effects.get(at)) {
        (Some(row), Some(effect)) => {
            let clear = align::places(&row.request, &effect.redacted);
            // All of the request that the journal has only the hash of, where it can be made again.
            let whole = before.and_then(|before| before.effects.get(at));
            match whole.filter(|whole| whole.request_hash == row.request_hash) {
                Some(whole) => align::places(&whole.request, &effect.request),
                None => clear,
            }
        }
        _ => Vec::new(),
    };
    if let (Parting::Changed { .. }, Mismatch::Request { message, .. }) = (parting, &mismatch) {
        // Both sides of it are redacted.
        shown.clone_from(message);
    }
    let finding = finding(Of::Effect, parting, |at| named(&then_steps, at), |at| named(&now, at), fields);
    Ok(Verdict::Different(Difference { finding, shown, full }))
}

fn finding(
    of: Of,
    parting: Parting,
    then: impl Fn(usize) -> String,
    now: impl Fn(usize) -> String,
    fields: impl Fn(usize) -> Vec<String>,
) -> Finding {
    match parting {
        Parting::Changed { at } => Finding::Field { of, place: at, call: then(at), fields: fields(at) },
        Parting::Replaced { at } => Finding::Function { of, place: at, was: then(at), is: now(at) },
        Parting::Swapped { at, with } => Finding::Order { of, place: at, call: then(at), with, instead: then(with) },
        Parting::Dropped { at } => Finding::Dropped { of, place: at, call: then(at) },
        Parting::Added { at } => Finding::Additional { of, place: at, call: now(at) },
    }
}

/// All its effects are the same.
fn ends(record: &Record, played: &Played) -> Finding {
    match (&record.end, &played.end) {
        (Ending::Completed(was), Finish::Completed(is)) => {
            let fields = align::places(&parsed(was), &parsed(is));
            // The same value in other bytes.
            Finding::Result { fields: if fields.is_empty() { vec!["white space or order".to_owned()] } else { fields } }
        }
        (was, is) => {
            let was = match was {
                Ending::Completed(_) => "completed",
                Ending::Said { kind, .. } => *kind,
                Ending::Cut { .. } => "cut off",
            };
            let is = match is {
                Finish::Completed(_) => "completed".to_owned(),
                Finish::Retry { .. } | Finish::Permanent(_) => {
                    record::said(is).split(':').next().unwrap_or_default().to_owned()
                }
                Finish::Trapped { kind, .. } => kind.clone(),
                Finish::Stopped { kind, .. } => (*kind).to_owned(),
            };
            let is = if was == is { format!("{is} with other words") } else { is };
            Finding::Outcome { was: was.to_owned(), is }
        }
    }
}

/// Two runs of one journal that did the same.
fn alike(a: &Played, b: &Played) -> bool {
    let asked =
        |played: &Played| -> Vec<[u8; 32]> { played.effects.iter().map(|effect| effect.request_hash).collect() };
    a.end == b.end && asked(a) == asked(b) && a.children == b.children && a.events == b.events
}
