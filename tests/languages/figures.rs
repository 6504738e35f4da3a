//! What a guest of each language costs, as docs/operators.md says it: measured on the one plugin that is there in all three.

use std::fs;

use super::LANGUAGES;
use crate::support::{component, scratch, usher};

/// Sizes and memories change a little with each toolchain; counts are what they are.
const NEAR: f64 = 0.1;

/// MB of the component, core instances, slots, MiB from the start.
type Figures = [f64; 4];

fn told() -> Vec<(String, Figures)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| A guest in |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let number = |cell: &str| cell.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
            (cells[0].to_owned(), [1, 2, 3, 4].map(|n| number(cells[n])))
        })
        .collect()
}

fn measured(language: &str) -> Figures {
    let config = format!(
        "[plugins.policy.order-{language}]\nemail = [\"default\"]\nupstream = [\"rig\"]\nwebhook = [\"order.confirmed\"]\n\n\
         [upstreams.rig]\nbase_url = \"http://127.0.0.1:1\"\nmethods = [\"GET\", \"POST\"]\n\n\
         [email.profiles.default]\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"none\"\nfrom = \"shop@example.com\"\n"
    );
    let (path, file) = (scratch("figures").join("usher.toml"), component(&format!("order-{language}.wasm")));
    fs::write(&path, config).unwrap();
    let output = usher().args(["plugin", "check", "--config"]).arg(path).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let needs = said.lines().find_map(|line| line.strip_prefix("needs: ")).unwrap();
    let before = |what: &str| -> f64 {
        let number = needs.split(what).next().unwrap().split(' ').next_back().unwrap();
        number.parse().unwrap_or_else(|_| panic!("{what}: {needs}"))
    };
    let size = fs::metadata(file).unwrap().len() as f64;
    [size / 1e6, before(" core instances"), before(" slots"), before(" KiB of memory") / 1024.0]
}

#[test]
fn what_a_guest_of_each_language_costs_is_what_the_page_says() {
    let told = told();
    assert_eq!(told.len(), LANGUAGES.len(), "{told:?}");
    for (language, (name, told)) in LANGUAGES.into_iter().zip(told) {
        let [size, instances, slots, memory] = measured(language);
        assert_eq!([instances, slots], [told[1], told[2]], "{name}: core instances, slots");
        for (what, told, measured) in [("MB", told[0], size), ("MiB", told[3], memory)] {
            let off = (told - measured).abs();
            // One digit behind the point.
            assert!(off <= (measured * NEAR).max(0.06), "{name}: {told} {what} on the page, {measured:.2} measured");
        }
    }
}
