use std::fs;

use crate::support::{scratch, usher};

/// What `usher config check` says, and with which exit code.
fn check(config: &str) -> (Option<i32>, String) {
    let dir = scratch("rules");
    fs::write(dir.join("usher.toml"), config).unwrap();
    let output = usher().args(["config", "check", "--dev"]).current_dir(&dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// A sound rule, but for these lines.
fn rule(kind: &str, lines: &str) -> String {
    format!("[[alerts.rules]]\nname = \"r\"\nkind = \"{kind}\"\n{lines}\n")
}

#[test]
fn bad_rules_stop_the_start_and_are_named_with_their_place() {
    for (config, said) in [
        (
            rule("queue-dept", "threshold = 1"),
            "alerts.rules.0 (r).kind: there is no \"queue-dept\"; there are queue-depth, oldest-ready",
        ),
        (rule("queue-depth", "threshold = 0"), "alerts.rules.0 (r).threshold: must be a whole number of at least 1"),
        (rule("queue-depth", "threshold = -5"), "(r).threshold: must be a whole number"),
        (rule("queue-depth", "threshold = 1.5"), "(r).threshold: must be a whole number"),
        (rule("queue-depth", "threshold = \"15m\""), "(r).threshold: must be a whole number"),
        (rule("queue-depth", "threshold = nan"), "(r).threshold: must be a whole number"),
        (rule("oldest-ready", "threshold = 15"), "(r).threshold: must be a time of more than 0, such as \"15m\""),
        (rule("oldest-ready", "threshold = \"0s\""), "(r).threshold: must be a time of more than 0"),
        (rule("oldest-ready", "threshold = \"soon\""), "(r).threshold: must be a time of more than 0"),
        (
            rule("failure-rate", "threshold = 50\nwindow = \"5m\""),
            "(r).threshold: must be a share of more than 0 and at most 1",
        ),
        (rule("failure-rate", "threshold = 0.0\nwindow = \"5m\""), "(r).threshold: must be a share"),
        (rule("failure-rate", "threshold = 0.5"), "(r).window: at least 1s: a rule of failure-rate counts"),
        (
            rule("postgres-disk", "threshold = \"10GB\""),
            "(r).threshold: must be a size of more than 0, such as \"10GiB\"",
        ),
        (rule("postgres-wal", "threshold = 10"), "(r).threshold: must be a size"),
        (rule("queue-depth", ""), "missing field `threshold`"),
        (rule("queue-depth", "threshold = 1\nqueue = \"mony\""), "(r).queue: there is no queues.mony"),
        (rule("queue-depth", "threshold = 1\nwindow = \"25h\""), "(r).window: at most 24 hours"),
        (rule("queue-depth", "threshold = 1\nwindow = \"soon\""), "alerts.rules.0.window"),
        (rule("queue-depth", "threshold = 1\nseverity = \"fatal\""), "(r).severity: must be info, warning or critical"),
        (rule("queue-depth", "threshold = 1\nrepeat = \"31days\""), "(r).repeat: 0s, or 1s to 30 days"),
        (
            rule("queue-depth", "threshold = 1\nprovider = \"stripe\""),
            "(r).provider: a rule of queue-depth knows queue",
        ),
        (
            rule("node-lost", "threshold = 1\nwindow = \"1h\"\ntenant = \"t1\""),
            "(r).tenant: a rule of node-lost is about the whole",
        ),
        (
            rule("provider-paused", "threshold = \"1h\"\nprovider = \"strip\""),
            "(r).provider: there is no \"strip\"; there are email",
        ),
        (rule("dead-jobs", "threshold = 1\nwindow = \"1h\"\ntier = 4"), "tier must be 1, 2 or 3"),
        (rule("dead-jobs", "threshold = 1\nwindow = \"1h\"\ntype = \"\""), "(r).type: 1 to 128 characters"),
        (rule("queue-depth", "threshold = 1\nthreshhold = 2"), "threshhold"),
        (
            rule("queue-depth", "threshold = 1").replace("\"r\"", "\"Deep Queue\""),
            "(Deep Queue).name: a name is 1 to 64 of",
        ),
        (
            rule("queue-depth", "threshold = 1") + &rule("dead-jobs", "threshold = 1\nwindow = \"1h\""),
            "alerts.rules.1 (r).name: another rule has this name",
        ),
        ("[alerts]\ninterval = \"10ms\"\n".to_owned(), "alerts.interval: 100ms to 5m"),
        ("[alerts]\nkeep = \"1h\"\n".to_owned(), "alerts.keep: 1 day to 10 years"),
        ("[alerts]\nrepeat = \"31days\"\n".to_owned(), "alerts.repeat: 0s, or 1s to 30 days"),
        (
            "[alerts]\noff = [\"money\"]\n".to_owned(),
            "alerts.off: the product has no rule \"money\"; it has money-failed",
        ),
    ] {
        let (code, told) = check(&config);
        assert_eq!(code, Some(2), "{config}: {told}");
        assert!(told.contains(said), "{config}: {told}");
    }
}

#[test]
fn sound_rules_are_taken_also_in_place_of_the_products() {
    let config = rule("dead-jobs", "threshold = 3\nwindow = \"1h\"\ntier = 1").replace("\"r\"", "\"money-failed\"")
        + &rule(
            "failure-rate",
            "threshold = 0.25\nwindow = \"10m\"\nqueue = \"money\"\nseverity = \"critical\"\nrepeat = \"4h\"",
        )
        + "[[alerts.rules]]\nname = \"disk\"\nkind = \"postgres-disk\"\nthreshold = \"80GiB\"\nmail = false\n";
    let (code, told) = check(&format!("[alerts]\noff = [\"node-lost\"]\n{config}"));
    assert_eq!(code, Some(0), "{told}");
}
