use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{Bucket, store::News};
use crate::{clock::Boottime, config::RateLimit};

/// Who decided a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RateLimitSource)]
pub enum Source {
    Config,
    /// Somebody, at run time.
    Set,
}

/// What this node knows without asking: which buckets have a limit, and which are held.
#[derive(Debug)]
pub(super) struct Book {
    version: i64,
    configured: BTreeMap<String, RateLimit>,
    /// Those set at run time over the configuration's.
    limits: BTreeMap<String, RateLimit>,
    /// Names of `limits` with a `*`.
    patterns: Vec<String>,
    /// Whether one of `limits` is of submits.
    limits_submits: bool,
    held: HashMap<Bucket, Boottime>,
}

impl Book {
    pub fn new(configured: BTreeMap<String, RateLimit>) -> Self {
        let mut book = Self {
            version: -1,
            configured,
            limits: BTreeMap::new(),
            patterns: Vec::new(),
            limits_submits: false,
            held: HashMap::new(),
        };
        book.open(BTreeMap::new());
        book
    }

    pub fn version(&self) -> i64 {
        self.version
    }

    pub fn configured(&self) -> &BTreeMap<String, RateLimit> {
        &self.configured
    }

    /// Limits that count.
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    pub fn limits_submits(&self) -> bool {
        self.limits_submits
    }

    /// Its own limit, or the one of all that are called like it.
    pub fn limit(&self, bucket: &Bucket) -> Option<RateLimit> {
        self.rule(bucket).map(|(_, limit)| limit)
    }

    /// The same, with where it comes from.
    pub fn limit_and_source(&self, bucket: &Bucket) -> Option<(RateLimit, Source)> {
        self.rule(bucket).map(|(name, limit)| {
            // Set as it was configured: there is no difference.
            let is_configured = self.configured.get(name) == Some(&limit);
            (limit, if is_configured { Source::Config } else { Source::Set })
        })
    }

    fn rule(&self, bucket: &Bucket) -> Option<(&str, RateLimit)> {
        let pattern = || self.patterns.iter().find(|pattern| bucket.is_one_of(pattern));
        let found = self.limits.get_key_value(bucket.as_str()).or_else(|| self.limits.get_key_value(pattern()?));
        found.map(|(name, limit)| (name.as_str(), *limit))
    }

    /// For how long it is held.
    pub fn held(&self, bucket: &Bucket, now: Boottime) -> Option<Duration> {
        self.held.get(bucket).filter(|until| **until > now).map(|until| until.since(now))
    }

    /// What the database says, unless we know better by now. A hold that was just made here may not be in it yet.
    pub fn learn(&mut self, news: News, now: Boottime) {
        if news.version < self.version {
            return;
        }
        let is_news = self.version >= 0 && news.version > self.version;
        self.version = news.version;
        if self.open(news.limits) && is_news {
            tracing::info!(version = news.version, "other rate limits hold from now on");
        }
        self.held.retain(|_, until| *until > now);
        for (bucket, time) in news.held {
            self.hold(&Bucket::named(&bucket), now.plus(time));
        }
    }

    /// Only ever for longer.
    pub fn hold(&mut self, bucket: &Bucket, until: Boottime) {
        let known = self.held.entry(bucket.clone()).or_insert(until);
        *known = until.max(*known);
    }

    /// Returns whether any limit is another one now.
    fn open(&mut self, set: BTreeMap<String, RateLimit>) -> bool {
        let before = std::mem::replace(&mut self.limits, self.configured.clone());
        self.limits.extend(set);
        self.patterns = self.limits.keys().filter(|name| name.contains('*')).cloned().collect();
        self.limits_submits = self.limits.keys().any(|name| name.starts_with("submit/"));
        // The one that says more goes first.
        self.patterns.sort_by_key(|pattern| pattern.matches('*').count());
        self.limits != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of: &[(&str, &str)]) -> BTreeMap<String, RateLimit> {
        let limit = |rate: &str| RateLimit { rate: rate.parse().expect("a rate"), burst: None };
        of.iter().map(|(name, rate)| ((*name).to_owned(), limit(rate))).collect()
    }

    fn news(version: i64, set: &[(&str, &str)], held: &[(&str, u64)]) -> News {
        let held = held.iter().map(|(name, s)| ((*name).to_owned(), Duration::from_secs(*s))).collect();
        News { version, limits: limits(set), held }
    }

    #[test]
    fn what_was_set_goes_before_the_configuration_and_a_name_before_a_pattern() {
        let mut book = Book::new(limits(&[("provider/stripe", "1/s"), ("tenant/*/provider/*", "2/s")]));
        let rate = |book: &Book, bucket: &Bucket| book.limit(bucket).map(|limit| limit.rate.to_string());
        let (stripe, acme) = (Bucket::provider("stripe"), Bucket::tenant("acme", "stripe"));
        assert_eq!(rate(&book, &stripe).as_deref(), Some("1/s"));
        assert_eq!(rate(&book, &acme).as_deref(), Some("2/s"));
        assert_eq!(rate(&book, &Bucket::provider("email")), None);
        let set = [("provider/stripe", "3/s"), ("tenant/*/provider/stripe", "4/s")];
        book.learn(news(1, &set, &[]), Boottime::now());
        assert_eq!(rate(&book, &stripe).as_deref(), Some("3/s"));
        assert_eq!(rate(&book, &acme).as_deref(), Some("4/s"));
        book.learn(news(2, &[("tenant/acme/provider/stripe", "5/s")], &[]), Boottime::now());
        assert_eq!(rate(&book, &stripe).as_deref(), Some("1/s"), "the configuration's again");
        assert_eq!(rate(&book, &acme).as_deref(), Some("5/s"));
        book.learn(news(1, &set, &[]), Boottime::now());
        assert_eq!(rate(&book, &acme).as_deref(), Some("5/s"), "older news change nothing");
    }

    #[test]
    fn a_hold_ends_by_itself_and_no_news_shorten_it() {
        let (mut book, bucket, now) = (Book::new(BTreeMap::new()), Bucket::provider("stripe"), Boottime::now());
        book.hold(&bucket, now.plus(Duration::from_secs(9)));
        book.learn(news(1, &[], &[("provider/stripe", 5), ("provider/email", 3)]), now);
        assert_eq!(book.held(&bucket, now), Some(Duration::from_secs(9)));
        assert_eq!(book.held(&Bucket::provider("email"), now), Some(Duration::from_secs(3)));
        assert_eq!(book.held(&bucket, now.plus(Duration::from_secs(9))), None);
    }
}
