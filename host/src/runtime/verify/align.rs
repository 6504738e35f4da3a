//! Where two courses of the same job part: what was done then, and what is done now.

use serde_json::Value;

/// Something that was asked for: its name for people, and all that makes it what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub call: String,
    pub identity: Vec<u8>,
}

/// What is otherwise at the first place where they part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The same call, with something else in it.
    Changed {
        at: usize,
    },
    /// Another call.
    Replaced {
        at: usize,
    },
    /// What was done here is done later, and what stood at `with` is done here.
    Swapped {
        at: usize,
        with: usize,
    },
    Dropped {
        at: usize,
    },
    Added {
        at: usize,
    },
}

/// `None`: they are the same.
pub fn parting(then: &[Step], now: &[Step]) -> Option<Parting> {
    let at = (0..then.len().max(now.len())).find(|n| then.get(*n) != now.get(*n))?;
    let (was, is) = match (then.get(at), now.get(at)) {
        (Some(was), Some(is)) => (was, is),
        (Some(_), None) => return Some(Parting::Dropped { at }),
        (None, _) => return Some(Parting::Added { at }),
    };
    let (then_rest, now_rest) = (then.get(at + 1..).unwrap_or_default(), now.get(at + 1..).unwrap_or_default());
    // Where it stood then, and whether what stood here comes later, as it was or as nothing else was.
    let with = then_rest.iter().position(|step| step == is).map(|n| at + 1 + n);
    let comes_later = now_rest.contains(was)
        || now_rest.iter().any(|step| step.call == was.call && !then_rest.contains(step) && step != is);
    Some(match with {
        Some(with) if comes_later => Parting::Swapped { at, with },
        Some(_) => Parting::Dropped { at },
        None if now_rest.contains(was) => Parting::Added { at },
        None if was.call == is.call => Parting::Changed { at },
        None => Parting::Replaced { at },
    })
}

/// Longest list of places.
const MOST: usize = 8;

/// The places in which two values differ, as JSON pointers without the first slash: into objects, and no further, so that lists
/// of other lengths have one place.
pub fn places(then: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", then, now, &mut found);
    if found.len() > MOST {
        found.truncate(MOST);
        found.push("…".to_owned());
    }
    found
}

fn walk(place: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let inner = if place.is_empty() { name.clone() } else { format!("{place}/{name}") };
                walk(&inner, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), found);
            }
        }
        (a, b) if a == b => {}
        _ => found.push(place.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// "mail:a" is the call mail with something in it.
    fn steps(all: &[&str]) -> Vec<Step> {
        let step = |name: &&str| Step {
            call: name.split(':').next().unwrap_or_default().to_owned(),
            identity: name.as_bytes().to_vec(),
        };
        all.iter().map(step).collect()
    }

    fn found(then: &[&str], now: &[&str]) -> Option<Parting> {
        parting(&steps(then), &steps(now))
    }

    #[test]
    fn the_first_place_says_what_became_of_it() {
        assert_eq!(found(&["pay:1", "mail:a"], &["pay:1", "mail:a"]), None);
        assert_eq!(found(&["pay:1", "mail:a"], &["pay:2", "mail:a"]), Some(Parting::Changed { at: 0 }));
        assert_eq!(found(&["pay:1", "mail:a"], &["mail:a", "pay:1"]), Some(Parting::Swapped { at: 0, with: 1 }));
        assert_eq!(found(&["pay:1", "mail:a"], &["mail:a"]), Some(Parting::Dropped { at: 0 }));
        assert_eq!(found(&["pay:1", "mail:a"], &["pay:1"]), Some(Parting::Dropped { at: 1 }));
        assert_eq!(found(&["pay:1"], &["pay:1", "mail:a"]), Some(Parting::Added { at: 1 }));
        assert_eq!(found(&["pay:1"], &["mail:a", "pay:1"]), Some(Parting::Added { at: 0 }));
        assert_eq!(found(&["pay:1", "mail:a"], &["pay:1", "sms:a"]), Some(Parting::Replaced { at: 1 }));
    }

    #[test]
    fn steps_that_are_alike_are_not_taken_for_each_other() {
        assert_eq!(found(&["mail:a", "mail:b"], &["mail:b", "mail:a"]), Some(Parting::Swapped { at: 0, with: 1 }));
        assert_eq!(found(&["mail:a", "mail:a"], &["mail:a"]), Some(Parting::Dropped { at: 1 }));
        assert_eq!(found(&["mail:a", "mail:b"], &["mail:b"]), Some(Parting::Dropped { at: 0 }));
        assert_eq!(found(&["mail:a"], &["mail:b", "mail:a"]), Some(Parting::Added { at: 0 }));
        // Moved, and changed on the way.
        assert_eq!(found(&["pay:1", "mail:a"], &["mail:a", "pay:2"]), Some(Parting::Swapped { at: 0, with: 1 }));
    }

    #[test]
    fn places_lead_into_objects() {
        let then = json!({"amount": 1, "data": {"total": 2, "items": [1]}, "gone": true});
        let now = json!({"amount": 1, "data": {"total": 3, "items": [1, 2]}});
        assert_eq!(places(&then, &now), ["data/items", "data/total", "gone"]);
        assert_eq!(places(&json!(1), &json!(2)), [""]);
        assert!(places(&then, &then).is_empty());
    }
}
