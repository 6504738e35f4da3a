use chrono::NaiveDate;

/// A track of the contract: versions that differ by what was added only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// The version of its interfaces, without the last number.
    pub number: &'static str,
    /// The highest version of which this host has every function.
    pub version: &'static str,
    /// The day of its first release; `None`: not released yet.
    pub since: Option<NaiveDate>,
    /// The day up to which it is served for certain. From the day on which this is set, whoever publishes is told; nothing
    /// else comes of it: a track goes when its line and its module go, never by the clock.
    pub until: Option<NaiveDate>,
}

/// What this host serves, oldest first: `runtime` has a module for each. docs/contract.md says how long one stays.
pub const SERVED: &[Track] = &[Track { number: "0.1", version: "0.1.0", since: None, until: None }];

/// Name and track of an interface of the contract, such as `usher:plugin/log@0.1.0`. `None`: it is of none of these.
pub fn of<'t, 'i>(tracks: &'t [Track], interface: &'i str) -> Option<(&'i str, &'t Track)> {
    let (name, version) = interface.strip_prefix("usher:plugin/")?.split_once('@')?;
    let is_of = |track: &&Track| version.strip_prefix(track.number).is_some_and(|rest| rest.starts_with('.'));
    Some((name, tracks.iter().find(is_of)?))
}

/// The interface by which a component is called: its version says which track the component is of.
pub fn handler(exports: &[String]) -> Option<&str> {
    exports.iter().map(String::as_str).find(|export| export.starts_with("usher:plugin/handler@"))
}

/// What whoever publishes a component with these exports should know of its track.
pub fn warning(tracks: &[Track], exports: &[String]) -> Option<String> {
    let (_, track) = of(tracks, handler(exports)?)?;
    let Track { number, until, .. } = track;
    let mut warning =
        format!("it is built against track {number} of the contract, which is served until {}", (*until)?);
    if let Some(next) = tracks.iter().rev().find(|track| track.until.is_none()) {
        warning.push_str(&format!("; build it against {} before that", next.number));
    }
    Some(warning)
}

#[cfg(test)]
mod tests {
    use chrono::Months;

    use super::*;
    use crate::releases::world::WIT;

    fn exports(version: &str) -> Vec<String> {
        vec![format!("usher:plugin/handler@{version}")]
    }

    #[test]
    fn the_table_is_what_the_contract_and_the_runtime_have() {
        for track in SERVED {
            let module = format!("src/runtime/track_{}", track.number.replace('.', "_"));
            let module = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
            assert!(module.is_dir(), "{}", module.display());
            assert_eq!(of(SERVED, &format!("usher:plugin/log@{}", track.version)), Some(("log", track)));
        }
        let newest = SERVED.last().expect("a track");
        assert!(WIT.contains(&format!("\npackage usher:plugin@{};\n", newest.version)), "wit/usher.wit");
    }

    #[test]
    fn a_version_is_of_the_track_whose_numbers_it_has() {
        let track = |number, version| Track { number, version, since: None, until: None };
        let tracks = [track("0.1", "0.1.4"), track("0.2", "0.2.0")];
        let number = |interface| of(&tracks, interface).map(|(name, track)| (name, track.number));
        assert_eq!(number("usher:plugin/log@0.1.0"), Some(("log", "0.1")));
        assert_eq!(number("usher:plugin/log@0.1.9"), Some(("log", "0.1")));
        assert_eq!(number("usher:plugin/email@0.2.3"), Some(("email", "0.2")));
        let foreign = [
            "usher:plugin/log@0.10.0",
            "usher:plugin/log@0.3.0",
            "usher:plugin/log",
            "wasi:io/poll@0.1.0",
            "log@0.1.0",
        ];
        for foreign in foreign {
            assert_eq!(number(foreign), None, "{foreign}");
        }
    }

    fn day(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(year, month, day)
    }

    /// Two tracks, of which the older one has an end.
    fn two(since: Option<NaiveDate>, until: Option<NaiveDate>) -> [Track; 2] {
        [
            Track { number: "0.1", version: "0.1.4", since: day(2030, 1, 1), until },
            Track { number: "0.2", version: "0.2.0", since, until: None },
        ]
    }

    #[test]
    fn a_track_with_an_end_is_warned_of_by_its_date_and_no_other_is() {
        let tracks = two(day(2030, 4, 30), day(2031, 5, 31));
        let told = |version| warning(&tracks, &exports(version));
        let said = told("0.1.2").expect("a warning");
        assert!(said.contains("track 0.1 ") && said.contains("2031-05-31") && said.contains("against 0.2 "), "{said}");
        assert_eq!(told("0.2.0"), None, "no end is set");
        assert_eq!(told("0.3.0"), None, "that one is refused, not warned of");
        assert_eq!(warning(&tracks, &["run".to_owned()]), None);
        assert_eq!(warning(SERVED, &exports("0.1.0")), None);
    }

    /// An end is at least 12 months after the successor's release.
    fn keep_their_word(tracks: &[Track]) -> bool {
        tracks.iter().enumerate().all(|(n, track)| match (track.until, tracks.get(n + 1).and_then(|next| next.since)) {
            (None, _) => true,
            (Some(until), Some(since)) => since.checked_add_months(Months::new(12)).is_some_and(|day| until >= day),
            (Some(_), None) => false,
        })
    }

    #[test]
    fn no_track_ends_within_a_year_of_its_successors_release() {
        assert!(keep_their_word(SERVED));
        assert!(keep_their_word(&two(day(2030, 4, 30), None)));
        assert!(keep_their_word(&two(day(2030, 4, 30), day(2031, 4, 30))));
        assert!(!keep_their_word(&two(day(2030, 4, 30), day(2031, 4, 29))));
        assert!(!keep_their_word(&two(None, day(2031, 4, 30))), "its successor is not released");
        let [old, _] = two(None, day(2031, 4, 30));
        assert!(!keep_their_word(&[old]), "it has no successor");
    }
}
