use super::*;

fn through(text: &str) -> String {
    Js::parse(text).expect(text).stringify()
}

/// Each line is `[input, JSON.stringify(JSON.parse(input))]`, written by Node: `node tests/pgboss/corpus.mjs`.
#[test]
fn a_corpus_comes_out_as_node_writes_it() {
    let corpus = include_str!("../../../../tests/pgboss/corpus.jsonl");
    let mut lines = 0;
    for line in corpus.lines() {
        let (input, output): (String, String) = serde_json::from_str(line).expect(line);
        assert_eq!(through(&input), output, "{input}");
        lines += 1;
    }
    assert!(lines > 500, "{lines} lines");
}

#[test]
fn what_is_no_json_is_none() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "\"\t\"",
        "\"\\x\"",
        "nul",
        "1 2",
        "+1",
        "\"\\u12\"",
    ] {
        assert_eq!(Js::parse(text), None, "{text}");
    }
    assert_eq!(Js::parse(&"[".repeat(100_000)), None);
}

#[test]
fn values_in_a_text_read_as_in_a_template_literal() {
    for (json, text) in [
        ("null", "null"),
        ("[1,null,[2,\"x\"],{}]", "1,,2,x,[object Object]"),
        ("{\"a\":1}", "[object Object]"),
        ("\"\\ud800\"", "\u{fffd}"),
        ("1e400", "Infinity"),
        ("-0", "0"),
    ] {
        assert_eq!(Js::parse(json).expect(json).text(), text);
    }
}

#[test]
fn jsonb_puts_short_keys_first() {
    let sorted = Js::parse(r#"{"bb":1,"é":2,"a":{"zz":1,"y":2},"10":3,"9":4}"#).expect("json").through_jsonb();
    assert_eq!(sorted.stringify(), r#"{"9":4,"10":3,"a":{"y":2,"zz":1},"bb":1,"é":2}"#);
}
