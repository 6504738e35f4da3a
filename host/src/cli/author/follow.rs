//! What a host that runs with --dev says of a plugin, as it says it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use serde_json::Value;

/// Most bytes of one look.
const LOOK: u64 = 1 << 20;

/// The file that the host writes, from some place on.
pub(super) struct Follow {
    file: PathBuf,
    at: u64,
}

impl Follow {
    /// What is in it already was said before.
    pub fn from_now(file: PathBuf) -> Self {
        let at = file.metadata().map_or(0, |meta| meta.len());
        Self { file, at }
    }

    /// What was said since the last look.
    pub fn lines(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let Ok(mut file) = File::open(&self.file) else { return Vec::new() };
        // It has begun anew.
        if file.metadata().is_ok_and(|meta| meta.len() < self.at) {
            self.at = 0;
        }
        let read = file.seek(SeekFrom::Start(self.at)).and_then(|_| file.take(LOOK).read_to_end(&mut bytes));
        // The end of a line may be still to come.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if read.is_err() {
            return Vec::new();
        }
        self.at += whole as u64;
        String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
    }
}

/// As the author sees it. `None`: it is about something else than these job types.
pub(super) fn shown(line: &str, job_types: &BTreeSet<String>) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let fields = &event["fields"];
    let text = |name: &str| fields[name].as_str().unwrap_or_default();
    let is_ours = job_types.contains(text("job.kind"));
    match text("message") {
        "guest log" if is_ours => {
            let level = event["level"].as_str().unwrap_or_default().to_lowercase();
            Some(format!("log     {level:5} {} {}", text("job.id"), text("guest.line")))
        }
        "guest progress" if is_ours => {
            Some(format!("at      {}% {} {}", fields["progress.percent"], text("job.id"), text("guest.line")))
        }
        "release published" => Some(format!("host    takes {} {}", text("plugin.name"), text("plugin.version"))),
        "a component was refused" => Some(format!("host    refuses it ({}): {}", text("reason"), text("error"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_lines_that_are_whole_new_and_of_the_plugin_are_shown() {
        let file = std::env::temp_dir().join(format!("usher-follow-{}", uuid::Uuid::new_v4()));
        let mut host = File::options().create(true).append(true).open(&file).expect("a file");
        let line = |job_type: &str, text: &str| {
            format!(
                r#"{{"level":"WARN","fields":{{"message":"guest log","job.id":"7","job.kind":"{job_type}","guest.line":"{text}"}}}}"#
            )
        };
        let types = BTreeSet::from(["a".to_owned()]);
        writeln!(host, "{}", line("a", "before")).expect("written");
        let mut follow = Follow::from_now(file.clone());
        let mut look = || -> Vec<_> { follow.lines().iter().filter_map(|line| shown(line, &types)).collect() };
        assert_eq!(look(), Vec::<String>::new());
        writeln!(host, "{}", line("b", "another's")).expect("written");
        write!(host, "{}\n{}", line("a", "one"), line("a", "two")).expect("written");
        assert_eq!(look(), ["log     warn  7 one"], "the second has no end yet");
        writeln!(host).expect("written");
        assert_eq!(look(), ["log     warn  7 two"]);
        // The host keeps its file short by beginning anew.
        host.set_len(0).expect("cut");
        writeln!(host, "{}", line("a", "three")).expect("written");
        assert_eq!(look(), ["log     warn  7 three"]);
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn whether_the_host_takes_a_build_is_shown_too() {
        let line = r#"{"level":"WARN","fields":{"message":"a component was refused","reason":"policy","error":"no"}}"#;
        assert_eq!(shown(line, &BTreeSet::new()).as_deref(), Some("host    refuses it (policy): no"));
        let line = r#"{"fields":{"message":"release published","plugin.name":"a","plugin.version":"1.0.0+dev.1"}}"#;
        assert_eq!(shown(line, &BTreeSet::new()).as_deref(), Some("host    takes a 1.0.0+dev.1"));
        assert_eq!(shown("half a line", &BTreeSet::new()), None);
    }
}
