//! What was tried, and what should not have been.

use reqwest::StatusCode;

use crate::support::Answer;

/// Evidence shown of one kind.
const SHOWN: usize = 5;

#[derive(Default)]
pub struct Report {
    pub cases: u64,
    failures: u64,
    /// The kind last told, and how often.
    last: (String, usize),
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.failures == 0
    }

    pub fn line(&self) -> String {
        format!("fuzz: cases={} failures={}", self.cases, self.failures)
    }

    /// `kind`: the part of the campaign; many failures of one kind are told once they are a few.
    pub fn fail(&mut self, kind: &str, what: &str) {
        self.failures += 1;
        if self.last.0 != kind {
            self.last = (kind.to_owned(), 0);
        }
        self.last.1 += 1;
        if self.last.1 <= SHOWN {
            println!("failure: {kind}: {what:.2000}");
        }
    }

    /// One request that must be refused, and how.
    pub fn refused(&mut self, kind: &str, name: &str, answer: &Answer, expected: &[u16]) {
        self.cases += 1;
        if !expected.contains(&answer.status.as_u16()) {
            self.fail(kind, &format!("{name}: {} {}", answer.status, answer.body));
        } else if answer.body["type"].as_str().is_none() {
            self.fail(kind, &format!("{name}: {} is no problem: {}", answer.status, answer.body));
        }
    }

    /// One request that may do what it says, or be refused as a problem; nothing here is limited or short.
    pub fn sound(&mut self, kind: &str, name: &str, answer: &Answer) {
        self.cases += 1;
        let status = answer.status;
        let is_problem = answer.body["type"].as_str().is_some_and(|kind| kind.starts_with("urn:usher:problem:"));
        if status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status.is_client_error() && !is_problem
        {
            self.fail(kind, &format!("{name}: {status} {}", answer.body));
        }
    }
}
