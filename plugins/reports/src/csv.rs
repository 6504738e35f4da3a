//! Rows as CSV (RFC 4180), made for spreadsheets.

use serde_json::{Map, Value};

pub type Row = Map<String, Value>;

/// A line of names, then a line a row. `columns`: which, in order; absent: all that some row has, as they come.
pub fn table(rows: &[Row], columns: Option<&[String]>) -> String {
    let mut all: Vec<&str> = Vec::new();
    match columns {
        Some(columns) => all.extend(columns.iter().map(String::as_str)),
        None => {
            for name in rows.iter().flat_map(Map::keys) {
                if !all.contains(&name.as_str()) {
                    all.push(name);
                }
            }
        }
    }
    let mut out = String::new();
    line(&mut out, all.iter().map(|name| text(name)));
    for row in rows {
        line(&mut out, all.iter().map(|name| row.get(*name).map(cell).unwrap_or_default()));
    }
    out
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(words) => text(words),
        other => other.to_string(),
    }
}

/// What somebody wrote is words, and no formula of whoever opens the file (<https://owasp.org/www-community/attacks/CSV_Injection>).
/// Numbers are numbers, negative ones too.
fn text(words: &str) -> String {
    match words.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{words}"),
        false => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: Value) -> Vec<Row> {
        serde_json::from_value(value).expect("a list of objects")
    }

    #[test]
    fn what_has_a_meaning_in_csv_is_quoted() {
        let rows = rows(json!([
            {"name": "Ada, Countess", "sum": -5, "note": "she said \"yes\"\nand left", "paid": true},
            {"name": "Bob", "sum": 2.5, "tags": ["a", "b"], "note": null},
        ]));
        assert_eq!(
            table(&rows, None),
            "name,note,paid,sum,tags\r\n\
             \"Ada, Countess\",\"she said \"\"yes\"\"\nand left\",true,-5,\r\n\
             Bob,,,2.5,\"[\"\"a\"\",\"\"b\"\"]\"\r\n"
        );
    }

    #[test]
    fn columns_are_those_that_were_asked_for() {
        let rows = rows(json!([{"a": 1, "b": 2}, {"b": 3}]));
        let columns = ["b".to_owned(), "c".to_owned()];
        assert_eq!(table(&rows, Some(&columns)), "b,c\r\n2,\r\n3,\r\n");
        assert_eq!(table(&[], None), "\r\n");
    }

    #[test]
    fn a_formula_is_no_formula_any_more() {
        let rows = rows(json!([{"=x": "=HYPERLINK(\"http://evil.example\")", "n": -1, "p": "+49", "ok": "a=b"}]));
        assert_eq!(table(&rows, None), "'=x,n,ok,p\r\n\"'=HYPERLINK(\"\"http://evil.example\"\")\",-1,a=b,'+49\r\n");
    }
}
