use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::{Collector, SECONDS, counter, counters, gauge, histograms, table::Table};

/// Methods beyond these are counted as the last.
const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "other"];
/// `aborted`: the caller went away before there was an answer.
const STATUSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests of this host's door.
#[derive(Debug)]
pub struct Http {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    received: IntCounter,
    sent: IntCounter,
    routes: Table<OfRoute>,
}

#[derive(Debug)]
struct OfRoute {
    name: Box<str>,
    methods: [OnceLock<OfMethod>; METHODS.len()],
}

#[derive(Debug)]
struct OfMethod {
    statuses: [IntCounter; STATUSES.len()],
    seconds: Histogram,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            requests: counters(
                "usher_http_requests_total",
                "Requests by route, method and class of status.",
                &["route", "method", "status"],
            ),
            seconds: histograms(
                "usher_http_request_duration_seconds",
                "How long requests took until the head of their answer.",
                &["route", "method"],
                &SECONDS,
            ),
            in_flight: gauge("usher_http_requests_in_flight", "Requests without an answer so far."),
            received: counter("usher_http_received_bytes_total", "Bodies of requests, where their length was told."),
            sent: counter("usher_http_sent_bytes_total", "Bodies of answers, where their length was known."),
            routes: Table::default(),
        }
    }
}

impl Http {
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.requests.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.received.clone()),
            Box::new(self.sent.clone()),
        ]
    }

    /// A request came. `route`: as it is configured, never as it was asked for.
    pub fn begin(&self, route: &str, method: &str, bytes: Option<u64>) -> UnderWay<'_> {
        self.in_flight.inc();
        self.received.inc_by(bytes.unwrap_or(0));
        let route = self.routes.get(route, |name| OfRoute { name: name.into(), methods: Default::default() });
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        UnderWay { http: self, route, method, began: Instant::now(), status: 0 }
    }

    fn of_method<'a>(&self, route: &'a OfRoute, method: usize) -> &'a OfMethod {
        route.methods[method].get_or_init(|| {
            let (route, method) = (&*route.name, METHODS[method]);
            OfMethod {
                statuses: STATUSES.map(|status| self.requests.with_label_values(&[route, method, status])),
                seconds: self.seconds.with_label_values(&[route, method]),
            }
        })
    }
}

/// Counted when it is dropped.
pub struct UnderWay<'a> {
    http: &'a Http,
    route: Arc<OfRoute>,
    method: usize,
    began: Instant,
    /// 0: there is no answer.
    status: u16,
}

impl UnderWay<'_> {
    pub fn answered(mut self, status: u16, bytes: Option<u64>) {
        self.status = status;
        self.http.sent.inc_by(bytes.unwrap_or(0));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.http.in_flight.dec();
        let counted = self.http.of_method(&self.route, self.method);
        counted.statuses[usize::from(self.status / 100).min(STATUSES.len() - 1)].inc();
        if self.status > 0 {
            counted.seconds.observe(self.began.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_class_and_those_that_went_away_too() {
        let http = Http::default();
        http.begin("/jobs", "POST", Some(10)).answered(202, Some(5));
        http.begin("/jobs", "POST", None).answered(503, None);
        http.begin("/jobs", "BREW", None).answered(405, None);
        let gone = http.begin("/jobs", "POST", None);
        assert_eq!(http.in_flight.get(), 1);
        drop(gone);
        let count = |method, status| http.requests.with_label_values(&["/jobs", method, status]).get();
        assert_eq!([count("POST", "2xx"), count("POST", "5xx"), count("POST", "aborted")], [1, 1, 1]);
        assert_eq!((count("other", "4xx"), http.in_flight.get()), (1, 0));
        assert_eq!((http.received.get(), http.sent.get()), (10, 5));
        assert_eq!(http.seconds.with_label_values(&["/jobs", "POST"]).get_sample_count(), 2);
    }
}
