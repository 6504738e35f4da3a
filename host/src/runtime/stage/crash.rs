//! A job is played again for each moment at which its host could have died: the next attempt has the journal up to there,
//! and must ask the same and end the same.

use std::fmt;

use serde_json::Value;

use super::{Finish, Played, Scene, Stage};
use crate::effects::script::{Effect, End};

/// What an attempt did otherwise than the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// So many effects were in the journal.
    pub after: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// At this place, by field: what the first attempt asked, what the second.
    Effect {
        seq: u32,
        fields: Vec<(String, String, String)>,
    },
    /// The first attempt made it, the second did not.
    Missing {
        seq: u32,
        call: String,
    },
    /// The other way round.
    Added {
        seq: u32,
        call: String,
    },
    End {
        first: String,
        second: String,
    },
    Children {
        first: String,
        second: String,
    },
    Events {
        first: String,
        second: String,
    },
}

/// Plays the scene again with a journal of 0, 1, 2, … effects. `first` is how it went without a crash.
pub async fn crash_everywhere(stage: &Stage, scene: &Scene, first: &Played) -> Result<Vec<Difference>, String> {
    let mut found = Vec::new();
    for after in 0..=first.journal.len() {
        let used = first.effects[..after].iter().filter(|effect| matches!(effect.end, End::Scripted(_))).count();
        let again = Scene {
            attempt: scene.attempt + 1,
            journal: first.journal[..after].to_vec(),
            answers: scene.answers.iter().skip(used).cloned().collect(),
            ..scene.clone()
        };
        let second = stage.play(again).await?;
        found.extend(differences(first, &second).into_iter().map(|what| Difference { after, what }));
    }
    Ok(found)
}

/// In order of importance: an effect that differs explains all that comes after it, so nothing after it is told.
pub(super) fn differences(first: &Played, second: &Played) -> Vec<What> {
    for n in 0..first.effects.len().max(second.effects.len()) {
        let what = match (first.effects.get(n), second.effects.get(n)) {
            (Some(a), Some(b)) if a.request_hash == b.request_hash => continue,
            (Some(a), Some(b)) => What::Effect { seq: a.seq, fields: fields(a, b) },
            (Some(a), None) => What::Missing { seq: a.seq, call: a.call() },
            (None, Some(b)) => What::Added { seq: b.seq, call: b.call() },
            (None, None) => continue,
        };
        return vec![what];
    }
    let mut found = Vec::new();
    if first.end != second.end {
        found.push(What::End { first: first.end.to_string(), second: second.end.to_string() });
    }
    if first.children != second.children {
        let shown = |played: &Played| format!("{:?}", played.children);
        found.push(What::Children { first: shown(first), second: shown(second) });
    }
    if first.events != second.events {
        let shown = |played: &Played| format!("{:?}", played.events);
        found.push(What::Events { first: shown(first), second: shown(second) });
    }
    found
}

fn fields(a: &Effect, b: &Effect) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    if a.call() != b.call() {
        found.push(("call".to_owned(), a.call(), b.call()));
    } else if let (Value::Object(then), Value::Object(now)) = (&a.request, &b.request) {
        let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let shown = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
        for name in names.into_iter().filter(|name| then.get(*name) != now.get(*name)) {
            found.push((name.clone(), shown(then.get(name)), shown(now.get(name))));
        }
    }
    found
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            0 => f.write_str("crashed before the first effect: ")?,
            n => write!(f, "crashed after effect {}: ", n - 1)?,
        }
        self.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect { seq, fields } => {
                write!(f, "effect {seq} differs")?;
                fields.iter().try_for_each(|(name, first, second)| write!(f, "; {name}: was {first}, then {second}"))
            }
            Self::Missing { seq, call } => write!(f, "effect {seq} ({call}) is not asked for any more"),
            Self::Added { seq, call } => write!(f, "effect {seq} ({call}) was not asked for before"),
            Self::End { first, second } => write!(f, "it ends differently: was {first}, then {second}"),
            Self::Children { first, second } => write!(f, "its jobs differ: were {first}, then {second}"),
            Self::Events { first, second } => write!(f, "its events differ: were {first}, then {second}"),
        }
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(result) => write!(f, "completed {result}"),
            Self::Retry { message, after: None } => write!(f, "retry: {message}"),
            Self::Retry { message, after: Some(after) } => write!(f, "retry after {after:?}: {message}"),
            Self::Permanent(message) => write!(f, "permanent failure: {message}"),
            Self::Trapped { kind, message } => write!(f, "{kind}: {message}"),
            Self::Stopped { kind, message } => write!(f, "{kind}: {message}"),
        }
    }
}
