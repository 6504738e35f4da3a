use serde_json::json;

use super::{Terminal, admin, command, run, venue_admin};
use crate::support::{Db, Host, HostOptions};

const ESCAPE: char = '\u{1b}';

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_colours_its_own_width_and_a_picture_that_stays_in_place() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let chief = venue_admin();
    let first = host.client().submit("guest", json!({"do": "ok"})).await;
    let list = |more: &[&'static str]| [&["jobs", "list"][..], more].concat();
    let shown = async |args: &[&str], columns: u16, env: &[(&str, &str)]| {
        let (code, shown) = Terminal::start(&host, &chief, args, (24, columns), env).end().await;
        assert_eq!(code, Some(0), "{args:?}: {shown}");
        shown
    };

    // Colours: on a terminal, unless somebody says otherwise; elsewhere only if somebody says so.
    let colored = shown(&list(&[]), 200, &[]).await;
    assert!(colored.contains("\u{1b}[1mID") && colored.contains(&first), "{colored:?}");
    for (args, env) in [
        (list(&[]), &[("NO_COLOR", "1")][..]),
        (list(&[]), &[("TERM", "dumb")]),
        (list(&["--color", "never"]), &[]),
        (list(&["--json"]), &[]),
    ] {
        let plain = shown(&args, 200, env).await;
        assert!(!plain.contains(ESCAPE) && plain.contains(&first), "{args:?} {env:?}: {plain:?}");
    }
    assert!(shown(&list(&["--color", "always"]), 200, &[("NO_COLOR", "1")]).await.contains("\u{1b}[1mID"));
    let piped = |more: &[&'static str]| command(&host, &chief, &list(more)).output().unwrap().stdout;
    assert!(!piped(&[]).contains(&0x1b) && piped(&["--color", "always"]).contains(&0x1b));

    // Narrow: columns go, ids stay whole, and no line is wider than the terminal.
    let narrow = shown(&list(&["--color", "never"]), 70, &[]).await;
    assert!(narrow.contains(&first) && narrow.contains("TYPE") && !narrow.contains("TENANT"), "{narrow}");
    assert!(narrow.lines().all(|line| line.trim_end().chars().count() <= 70), "{narrow}");
    for _ in 0..3 {
        host.client().submit("guest", json!({"do": "ok"})).await;
    }
    let some = shown(&list(&["--color", "never", "--limit", "2"]), 200, &[]).await;
    assert!(some.contains("there are more: --limit N, or --all"), "{some}");

    // Watched: what is new comes in, the screen holds, and Ctrl-C is no failure.
    let lines = 12;
    let mut watched = Terminal::start(&host, &chief, &list(&["--watch=1"]), (lines, 120), &[]);
    watched.wait_shown(&first).await;
    let mut last = String::new();
    for _ in 0..15 {
        last = host.client().submit("guest", json!({"do": "ok"})).await;
    }
    watched.wait_shown(&last).await;
    watched.wait_shown("more lines").await;
    watched.interrupt();
    let (code, shown) = watched.end().await;
    assert_eq!(code, Some(0), "{shown}");
    let frames: Vec<_> = shown.split("\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{shown:?}");
    for frame in &frames[..frames.len() - 1] {
        assert!(frame.matches('\n').count() < lines.into(), "it would scroll: {frame:?}");
        assert!(frame.contains("every 1 s, ") && frame.contains("\u{1b}[K"), "{frame:?}");
    }
    assert!(!shown.contains("\u{1b}[2J") && !shown.contains("\u{1b}[?1049h"), "{shown:?}");
    // A line that is too long is cut, and lines go on again behind the picture.
    assert!(frames.iter().all(|frame| frame.starts_with("\u{1b}[?7l") && frame.contains("\u{1b}[?7h")), "{shown:?}");

    // One job, too.
    let mut watched = Terminal::start(&host, &chief, &["jobs", "show", &first, "--watch=1"], (40, 120), &[]);
    watched.wait_shown("ready").await;
    assert_eq!(run(&host, &chief, &["jobs", "cancel", &first]).code, Some(0));
    watched.wait_shown("cancelled").await;
    watched.interrupt();
    assert_eq!(watched.end().await.0, Some(0));

    // What is wrong from the start ends it.
    let gone = ["jobs", "show", "00000000-0000-7000-8000-000000000000", "--watch"];
    let (code, shown) = Terminal::start(&host, &chief, &gone, (24, 120), &[]).end().await;
    assert!(code == Some(1) && shown.contains("[not-found]"), "{shown}");
    // Nobody sees a picture in a file.
    for args in [&["jobs", "list", "--watch"][..], &["queues", "--watch=5"]] {
        let said = run(&host, &admin(), args);
        assert!(said.code == Some(2) && said.err.contains("--json"), "{args:?}: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_host_may_go_and_come_back() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    host.client().submit("guest", json!({"do": "ok"})).await;
    let mut watched = Terminal::start(&host, &venue_admin(), &["jobs", "list", "--watch=1"], (24, 160), &[]);
    watched.wait_shown("ready").await;
    assert_eq!(host.terminate().await, Some(0));
    watched.wait_shown("does not answer").await;
    watched.interrupt();
    let (code, shown) = watched.end().await;
    assert_eq!(code, Some(0));
    // What was there is still to be seen below.
    let last = shown.rsplit("\u{1b}[H").next().unwrap();
    assert!(last.contains("does not answer") && last.contains("ready"), "{last:?}");
}
