//! The plugins' own cases, as an author plays them: each also crashed before, between and after its effects.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::{author::play_in, support::component};

/// A component, and where its cases are.
const ALL: [(&str, &str); 12] = [
    ("payments.wasm", "payments/cases"),
    ("refunds.wasm", "refunds/cases"),
    ("payouts.wasm", "payouts/cases"),
    ("nft.wasm", "nft/cases"),
    ("nft-service.wasm", "nft/cases-service"),
    ("notifications.wasm", "notifications/cases"),
    ("sms.wasm", "sms/cases"),
    ("push.wasm", "push/cases"),
    ("analytics.wasm", "analytics/cases"),
    ("analytics-upstream.wasm", "analytics/cases-upstream"),
    ("cleanup.wasm", "cleanup/cases"),
    ("reports.wasm", "reports/cases"),
];

#[test]
fn the_products_plugins_pass_their_cases_crashed_at_every_effect() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    for (file, cases) in ALL {
        let (code, report) = play_in(&component(file), &plugins.join(cases), &[]);
        assert_eq!(code, 0, "{file}: {report}");
        for case in report["cases"].as_array().unwrap() {
            let (effects, crashes) = (case["effects"].as_u64().unwrap(), case["crashes"].as_u64().unwrap());
            // An effect without an answer has no place after it.
            assert!(crashes == effects + 1 || crashes == effects, "{file}: {case}");
        }
    }
}

/// Each type is seen to succeed, to fail for good, and to have no answer yet.
#[test]
fn each_of_the_ten_types_has_a_case_of_each_end() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut seen = BTreeSet::new();
    for (_, cases) in ALL {
        for entry in std::fs::read_dir(plugins.join(cases)).unwrap() {
            let text = std::fs::read(entry.unwrap().path()).unwrap();
            let case: Value = serde_json::from_slice(&text).unwrap();
            let end = case["expect"]["end"].as_object().unwrap().keys().next().unwrap().clone();
            seen.insert((case["type"].as_str().unwrap().to_owned(), end));
        }
    }
    let wanted = crate::support::product::TYPES.iter().flat_map(|(job_type, _)| {
        ["completed", "failed", "stopped"].map(|end| ((*job_type).to_owned(), end.to_owned()))
    });
    assert_eq!(seen, wanted.collect::<BTreeSet<_>>());
}
