//! Looking at what a host has: once or again and again, as a table or as JSON.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stdout},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, ColorChoice};
use reqwest::Method;
use serde_json::{Value, value::RawValue};
use url::form_urlencoded::Serializer;

use super::{
    Failure,
    client::Host,
    output::{self, Column, Line, Paper},
    releases::Door,
    runtime,
};

/// Which host, and how what it says is shown.
#[derive(Debug, Args)]
pub(super) struct View {
    #[command(flatten)]
    door: Door,
    /// Colours. By themselves they are there on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    /// Look again every so many seconds, until Ctrl-C: on a terminal in place, by --json one document each time [default: 2]
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    watch: Option<u64>,
}

/// How much of a list.
#[derive(Debug, Args)]
pub(super) struct Amount {
    /// So many, at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A list of the API, and how people see it.
pub(super) struct Listing {
    pub path: &'static str,
    pub query: Vec<(&'static str, Option<String>)>,
    /// What the entries stand under.
    pub member: &'static str,
    /// The host takes `limit` for this list.
    pub is_sized: bool,
    pub columns: &'static [Column],
    pub line: fn(&Value, DateTime<Utc>) -> Line,
}

/// Most entries that a host gives out at once.
const PAGE: u64 = 200;

impl View {
    /// One document, at `path`. `text`: as people see it.
    pub fn one(&self, path: &str, text: impl Fn(&Value, Paper) -> String) -> Result<(), Failure> {
        self.show(
            async |host: &Host| host.fetch(host.request(Method::GET, path)?).await,
            |found: Box<RawValue>, paper| {
                let document = serde_json::from_str(found.get()).context("the answer is not understood")?;
                Ok(text(&document, paper))
            },
            |found: Box<RawValue>| found.get().to_owned(),
        )
    }

    /// A list.
    pub fn list(&self, listing: &Listing, amount: &Amount) -> Result<(), Failure> {
        let most = if amount.all { u64::MAX } else { amount.limit };
        if self.door.json && self.watch.is_none() {
            let host = self.host()?;
            // As they come: all there are may be many.
            return runtime()?.block_on(async {
                let mut pages = Pages::new(&host, listing, most);
                while let Some(page) = pages.next().await? {
                    for entry in page {
                        output::json(entry.get());
                    }
                }
                Ok(())
            });
        }
        self.show(
            async |host: &Host| {
                let mut pages = Pages::new(host, listing, most);
                let mut found = Found::default();
                while let Some(page) = pages.next().await? {
                    if self.door.json {
                        found.raw.extend(page);
                        continue;
                    }
                    let now = Utc::now();
                    for entry in page {
                        let entry = serde_json::from_str(entry.get()).context("the answer is not understood")?;
                        found.lines.push((listing.line)(&entry, now));
                    }
                }
                found.more = pages.more;
                Ok::<_, Failure>(found)
            },
            |found: Found, paper| {
                let mut text = output::table(listing.columns, found.lines, paper);
                if found.more && paper.width.is_some() {
                    text.push_str(&output::remark("there are more: --limit N, or --all", paper));
                }
                Ok(text)
            },
            |found: Found| {
                let entries: Vec<_> = found.raw.iter().map(|entry| entry.get()).collect();
                format!("[{}]", entries.join(","))
            },
        )
    }

    /// `look`: asks the host; `text` and `json`: what was found, for people and for programs.
    fn show<T>(
        &self,
        look: impl AsyncFn(&Host) -> Result<T, Failure>,
        text: impl Fn(T, Paper) -> Result<String, Failure>,
        json: impl Fn(T) -> String,
    ) -> Result<(), Failure> {
        let every = self.watch.map(Duration::from_secs);
        if every.is_some() && !self.door.json && !stdout().is_terminal() {
            return Err(Failure::Usage(
                "--watch draws on a terminal, and standard output is none; with --json it prints a document each time"
                    .to_owned(),
            ));
        }
        let host = self.host()?;
        runtime()?.block_on(async {
            match every {
                None if self.door.json => output::json(&json(look(&host).await?)),
                None => output::put(&text(look(&host).await?, Paper::look(self.color))?),
                Some(every) if self.door.json => {
                    return until_interrupted(async {
                        loop {
                            output::json(&json(look(&host).await?));
                            tokio::time::sleep(every).await;
                        }
                    })
                    .await;
                }
                Some(every) => {
                    let mut screen = Screen { every, shown: None };
                    return until_interrupted(async {
                        loop {
                            let paper = Paper::look(self.color);
                            match look(&host).await {
                                Ok(found) => screen.draw(text(found, paper)?, paper),
                                // It may be back soon. What is wrong from the start is wrong.
                                Err(Failure::NoAnswer(error)) if screen.shown.is_some() => {
                                    screen.complain(&format!("{error:#}"), paper);
                                }
                                Err(failure) => return Err(failure),
                            }
                            tokio::time::sleep(every).await;
                        }
                    })
                    .await;
                }
            }
            Ok(())
        })
    }

    fn host(&self) -> Result<Host, Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        self.door.open()
    }
}

#[derive(Default)]
struct Found {
    raw: Vec<Box<RawValue>>,
    lines: Vec<Line>,
    more: bool,
}

/// A list, page by page.
struct Pages<'a> {
    host: &'a Host,
    listing: &'a Listing,
    left: u64,
    cursor: Option<String>,
    is_over: bool,
    /// There are others than those that were asked for.
    more: bool,
}

impl<'a> Pages<'a> {
    fn new(host: &'a Host, listing: &'a Listing, most: u64) -> Self {
        Self { host, listing, left: most, cursor: None, is_over: false, more: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<Box<RawValue>>>, Failure> {
        if self.is_over || self.left == 0 {
            return Ok(None);
        }
        let said = "the answer is not understood";
        let page = self.host.fetch(self.host.request(Method::GET, &self.path())?).await?;
        let mut page: BTreeMap<String, Box<RawValue>> = serde_json::from_str(page.get()).context(said)?;
        let entries = page.remove(self.listing.member).context(said)?;
        let mut entries: Vec<Box<RawValue>> = serde_json::from_str(entries.get()).context(said)?;
        let next: Option<String> = match page.remove("nextCursor") {
            Some(next) => serde_json::from_str(next.get()).context(said)?,
            None => None,
        };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.more = next.is_some() || entries.len() > most;
        entries.truncate(most);
        self.left -= entries.len() as u64;
        // A host that says the same place again would be asked for ever.
        self.is_over = next.is_none() || next == self.cursor;
        self.cursor = next;
        Ok(Some(entries))
    }

    fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in &self.listing.query {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.listing.is_sized {
            query.append_pair("limit", &self.left.min(PAGE).to_string());
        }
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        let query = query.finish();
        if query.is_empty() { self.listing.path.to_owned() } else { format!("{}?{query}", self.listing.path) }
    }
}

/// Ctrl-C is how watching ends, and no failure.
async fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        done = work => done,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted.context("cannot wait for Ctrl-C")?),
    }
}

/// A terminal that is drawn on in place. What is longer than it is cut off, so that nothing is ever pushed out at its top.
struct Screen {
    every: Duration,
    /// The last round, as it was found.
    shown: Option<String>,
}

/// To the first place; lines are cut at the edge.
const BEGIN: &str = "\u{1b}[H\u{1b}[?7l";
const REST_OF_LINE: &str = "\u{1b}[K";
/// The rest of the screen is cleared; lines go on again.
const END: &str = "\u{1b}[J\u{1b}[?7h";
/// Lines of a terminal that does not say how many it has.
const LINES: u16 = 24;

impl Screen {
    fn draw(&mut self, text: String, paper: Paper) {
        let head = format!("every {} s, {} UTC, ends by Ctrl-C", self.every.as_secs(), Utc::now().format("%H:%M:%S"));
        self.put(&head, &text, paper);
        self.shown = Some(text);
    }

    /// Over what was shown before.
    fn complain(&self, message: &str, paper: Paper) {
        let head = message.split('\n').next().unwrap_or_default();
        self.put(head, self.shown.as_deref().unwrap_or_default(), paper);
    }

    fn put(&self, head: &str, text: &str, paper: Paper) {
        let head = output::remark(head, paper);
        // The last line stays free for the cursor.
        let most = usize::from(paper.height.unwrap_or(LINES)).saturating_sub(1).max(1);
        let lines: Vec<_> = head.lines().chain(text.lines()).collect();
        let mut shown = BEGIN.to_owned();
        let (fits, cut) = if lines.len() > most { (most - 1, lines.len() + 1 - most) } else { (most, 0) };
        for line in lines.iter().take(fits) {
            shown.push_str(line);
            shown.push_str(REST_OF_LINE);
            shown.push('\n');
        }
        if cut > 0 {
            shown.push_str(output::remark(&format!("… {cut} more lines"), paper).trim_end());
            shown.push_str(REST_OF_LINE);
            shown.push('\n');
        }
        shown.push_str(END);
        output::put(&shown);
    }
}
