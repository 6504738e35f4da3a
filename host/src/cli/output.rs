//! What commands print: nothing that steers a terminal, and no noise when the reader has gone.

use std::{
    borrow::Cow,
    env,
    fmt::Display,
    io::{self, IsTerminal, Write, stdout},
    process,
};

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, TimeDelta, Utc};
use clap::ColorChoice;
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, presets};
use serde_json::Value;

use super::complain;

/// One line, or several.
pub(super) fn line(text: impl Display) {
    put(&format!("{}\n", clean(&text.to_string())));
}

/// Without an end of the line.
pub(super) fn text(text: impl Display) {
    put(&clean(&text.to_string()));
}

/// A JSON document as a line. Between its tokens may be what a caller wrote there, ends of lines too.
pub(super) fn json(document: &str) {
    line(document.replace(['\n', '\r'], " "));
}

/// As it is: whoever calls has cleaned what is not their own.
pub(super) fn put(text: &str) {
    let mut out = stdout().lock();
    let done = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(out);
    match done {
        Ok(()) => {}
        // Who read it (`| head`) has what they wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            process::exit(1);
        }
    }
}

/// Shows control characters in place of obeying them, as JSON would write them, so that JSON stays JSON. A job's error may
/// hold a stranger's escapes, and text that runs from right to left may turn around what stands beside it.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn steers(c: char) -> bool {
    let is_space = matches!(c, '\n' | '\t');
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && !is_space) || turns
}

/// Longest text of a cell, in characters.
const LONGEST: usize = 500;

/// In one line.
fn cell(text: &str) -> String {
    let text: String = text.chars().take(LONGEST).map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    clean(&text).into_owned()
}

/// Where it is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    /// In characters; `None`: no terminal, which is as wide as it takes.
    pub width: Option<u16>,
    pub height: Option<u16>,
    pub is_colored: bool,
}

impl Paper {
    pub fn look(choice: ColorChoice) -> Self {
        let is_terminal = stdout().is_terminal();
        let size = if is_terminal { rustix::termios::tcgetwinsize(stdout()).ok() } else { None };
        let said = |size: u16| (size > 0).then_some(size);
        let is_colored = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                is_terminal && !refused && env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        Self {
            width: size.and_then(|size| said(size.ws_col)),
            height: size.and_then(|size| said(size.ws_row)),
            is_colored,
        }
    }
}

/// What happens to a column where the terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Whole,
    Cut,
    /// It is left out, the last one first.
    Spare,
}

/// Its name, and what happens to it.
pub(super) type Column = (&'static str, Fit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Busy => AnsiColor::Cyan.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Cells as they come, and how the line looks.
#[derive(Debug)]
pub(super) struct Line {
    pub cells: Vec<String>,
    pub tone: Tone,
}

/// A header and a line for each, all clean.
pub(super) fn table(columns: &[Column], lines: Vec<Line>, paper: Paper) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let row = |cells: Vec<Cell>| {
        let mut row = Row::from(cells);
        row.max_height(1);
        row
    };
    table.set_header(row(columns.iter().map(|(name, _)| Cell::new(name)).collect()));
    let mut styles = vec![Style::new().bold()];
    for line in lines {
        table.add_row(row(line.cells.iter().map(|text| Cell::new(cell(text))).collect()));
        styles.push(line.tone.style());
    }
    for (column, (_, fit)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, GAP));
        if *fit != Fit::Cut {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(width) = paper.width {
        // The gap behind the last column may hang over the edge.
        let room = width.saturating_add(GAP);
        let widths = table.column_max_content_widths();
        let mut taken: usize = widths.iter().map(|width| usize::from(*width) + usize::from(GAP)).sum();
        for (n, (width, (_, fit))) in widths.iter().zip(columns).enumerate().rev() {
            if taken <= usize::from(room) {
                break;
            }
            if let (Fit::Spare, Some(column)) = (fit, table.column_mut(n)) {
                column.set_constraint(ColumnConstraint::Hidden);
                taken -= usize::from(*width) + usize::from(GAP);
            }
        }
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(room);
    }
    let mut out = String::new();
    for (line, style) in table.lines().zip(styles) {
        out.push_str(&styled(line.trim_end(), style, paper));
        out.push('\n');
    }
    out
}

/// Between two columns.
const GAP: u16 = 2;

fn styled(text: &str, style: Style, paper: Paper) -> String {
    if paper.is_colored { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Beside a table.
pub(super) fn remark(text: &str, paper: Paper) -> String {
    format!("{}\n", styled(&clean(text), Tone::Faint.style(), paper))
}

/// A document, a member a line: the named ones first, then the others; what is null is left out.
pub(super) fn fields(document: &Value, first: &[&str], paper: Paper) -> String {
    let Value::Object(members) = document else { return format!("{}\n", clean(&document.to_string())) };
    let named = first.iter().filter_map(|name| members.get_key_value(*name));
    let rest = members.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    let shown: Vec<_> = named.chain(rest).filter(|(_, value)| !value.is_null()).collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut out = String::new();
    for (name, value) in shown {
        let text = match value {
            Value::String(text) => text.clone(),
            // One of them a line.
            Value::Array(all) if all.iter().any(Value::is_object) => {
                all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
            }
            other => other.to_string(),
        };
        let name = styled(&format!("{:<width$}", clean(name)), Style::new().bold(), paper);
        for (n, line) in clean(&text).split('\n').enumerate() {
            let before = if n == 0 { name.clone() } else { " ".repeat(width) };
            out.push_str(format!("{before}  {line}").trim_end());
            out.push('\n');
        }
    }
    out
}

/// How long ago, in one number: `45s`, `12m`, `7h`, `3d`.
pub(super) fn age(at: &Value, now: DateTime<Utc>) -> String {
    let at = at.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let Some(at) = at else { return "-".to_owned() };
    let passed = (now - at.with_timezone(&Utc)).max(TimeDelta::zero());
    match passed.num_seconds() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// To the second, in UTC.
pub(super) fn time(at: &Value) -> String {
    let at = at.as_str().unwrap_or("-");
    at.get(..19).unwrap_or(at).replace('T', " ")
}

/// A member as the text of a cell.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Paper = Paper { width: None, height: None, is_colored: false };
    const COLUMNS: [Column; 4] = [("ID", Fit::Whole), ("WHAT", Fit::Cut), ("WHO", Fit::Spare), ("WHEN", Fit::Spare)];

    fn lines(all: &[[&str; 4]]) -> Vec<Line> {
        let line = |cells: &[&str; 4]| Line { cells: cells.map(str::to_owned).to_vec(), tone: Tone::Bad };
        all.iter().map(line).collect()
    }

    #[test]
    fn what_steers_a_terminal_is_shown_in_place_of_being_obeyed() {
        assert_eq!(clean("plain \u{e9} \u{1f39f}\n\tnext"), "plain \u{e9} \u{1f39f}\n\tnext");
        assert_eq!(clean("\u{1b}[2J\u{7}\r"), r"\u001b[2J\u0007\u000d");
        assert_eq!(clean("\u{9b}31m\u{7f}"), r"\u009b31m\u007f");
        assert_eq!(clean("a\u{202e}b\u{2066}c\u{200f}"), r"a\u202eb\u2066c\u200f");
        let document = json!({ "a": "\u{9b}2J\u{1b}\u{202e}" });
        assert_eq!(serde_json::from_str::<Value>(&clean(&document.to_string())).expect("JSON"), document);
    }

    #[test]
    fn a_table_is_as_wide_as_it_takes_where_there_is_no_terminal() {
        let long = "x".repeat(90);
        let shown = table(&COLUMNS, lines(&[["1", &long, "ann", "now"], ["22", "a\nb\u{1b}[1m", "b", "then"]]), PLAIN);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].starts_with("ID  WHAT   ") && lines[0].ends_with("  WHO  WHEN"), "{shown}");
        assert_eq!(lines[1], format!("1   {long}  ann  now"));
        assert!(lines[2].starts_with(r"22  a b\u001b[1m  "), "{shown}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn on_a_narrow_terminal_spare_columns_go_and_the_others_are_cut() {
        let long = "x".repeat(90);
        let at = |width| {
            let paper = Paper { width: Some(width), ..PLAIN };
            table(&COLUMNS, lines(&[["0123456789", "some", "ann", "now"], ["1", "some more", "b", "then"]]), paper)
        };
        let header = |shown: &str| shown.lines().next().unwrap_or_default().split_whitespace().count();
        assert_eq!((header(&at(80)), header(&at(28)), header(&at(22))), (4, 3, 2));
        let paper = Paper { width: Some(30), ..PLAIN };
        let cut = table(&COLUMNS, lines(&[["0123456789", &long, "ann", "now"]]), paper);
        assert!(cut.lines().all(|line| line.chars().count() <= 30) && cut.contains("0123456789  x"), "{cut}");
        assert_eq!(cut.lines().count(), 2, "{cut}");
    }

    #[test]
    fn colours_are_around_lines() {
        let paper = Paper { is_colored: true, ..PLAIN };
        let shown = table(&COLUMNS, lines(&[["1", "a", "b", "c"]]), paper);
        assert_eq!(shown.matches("\u{1b}[31m").count(), 1, "{shown:?}");
        assert!(shown.starts_with("\u{1b}[1mID") && shown.ends_with("\u{1b}[0m\n"), "{shown:?}");
    }

    #[test]
    fn a_document_is_shown_member_by_member() {
        let document = json!({ "b": [{ "x": 1 }, { "x": 2 }], "a": "one\ntwo\u{1b}", "gone": null, "id": 7, "o": {} });
        assert_eq!(
            fields(&document, &["id", "a", "gone"], PLAIN),
            "id  7\na   one\n    two\\u001b\nb   {\"x\":1}\n    {\"x\":2}\no   {}\n"
        );
    }

    #[test]
    fn an_age_is_one_number() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let ago = |seconds: i64| age(&json!((now - TimeDelta::seconds(seconds)).to_rfc3339()), now);
        assert_eq!([ago(-5), ago(45), ago(119)], ["0s", "45s", "119s"]);
        assert_eq!([ago(120), ago(7_200), ago(172_800)], ["2m", "2h", "2d"]);
        assert_eq!(age(&Value::Null, now), "-");
        assert_eq!(time(&json!("2026-01-02T03:04:05.678Z")), "2026-01-02 03:04:05");
    }
}
