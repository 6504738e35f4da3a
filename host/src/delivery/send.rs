use std::{fmt::Display, time::Duration};

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue},
};

use super::schedule::Schedule;
use crate::{
    clock,
    egress::{Reply, SendError},
    webhooks::{
        Webhooks,
        store::{Due, End, Sent},
    },
};

/// Signs and sends one delivery once.
pub(super) async fn send(webhooks: &Webhooks, schedule: &Schedule, due: Due) -> Sent {
    let answer = match headers(webhooks, &due, clock::unix_ms() / 1_000) {
        Ok(headers) => webhooks.egress.post(&due.url, headers, due.body.clone()).await,
        Err(error) => Err(SendError::Failed(error.to_string())),
    };
    read(schedule, &due, answer)
}

/// As Standard Webhooks says; while two secrets live, both sign.
fn headers(webhooks: &Webhooks, due: &Due, timestamp: u64) -> Result<HeaderMap, InvalidHeaderValue> {
    let id = due.id.to_string();
    let mut signatures = webhooks.secret(due.endpoint, due.generation).sign(&id, timestamp, &due.body);
    if due.previous_signs {
        signatures.push(' ');
        signatures.push_str(&webhooks.secret(due.endpoint, due.generation - 1).sign(&id, timestamp, &due.body));
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("webhook-id"), id.try_into()?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), timestamp.into());
    headers.insert(HeaderName::from_static("webhook-signature"), signatures.try_into()?);
    Ok(headers)
}

/// Decided once: 2xx has arrived, 410 wants no more, anything else is tried again, as long as there is a try left. An
/// endpoint that says how long it wants peace gets it, for all of its deliveries.
fn read(schedule: &Schedule, due: &Due, answer: Result<Reply, SendError>) -> Sent {
    let sent = |end, status, error, quiet| Sent {
        id: due.id,
        endpoint: due.endpoint,
        lease: due.lease,
        end,
        status,
        error,
        quiet,
    };
    let again = |at_least: Duration| match schedule.after(due.tries) {
        Some(pause) => End::Again { after: pause.max(at_least) },
        None => End::Failed,
    };
    let answered = |what: StatusCode| -> Option<String> { Some(format!("the endpoint answered {what}")) };
    match answer {
        Ok(Reply { status, .. }) if status.is_success() => sent(End::Delivered, Some(status.as_u16()), None, None),
        Ok(Reply { status: status @ StatusCode::GONE, .. }) => {
            sent(End::Gone, Some(status.as_u16()), answered(status), None)
        }
        Ok(Reply { status, retry_after }) => {
            let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            let quiet = retry_after.filter(|_| asks);
            sent(again(quiet.unwrap_or_default()), Some(status.as_u16()), answered(status), quiet)
        }
        Err(error) => sent(again(Duration::ZERO), None, Some(plain(&error)), None),
    }
}

fn plain(error: &impl Display) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DeliveryId, EndpointId, Lease};

    fn due(tries: i32) -> Due {
        Due {
            id: DeliveryId(uuid::Uuid::from_u128(1)),
            endpoint: EndpointId(uuid::Uuid::from_u128(2)),
            lease: Lease::random(),
            url: String::new(),
            generation: 1,
            previous_signs: false,
            body: String::new(),
            tries,
        }
    }

    fn end(tries: i32, status: u16, retry_after: Option<u64>) -> Sent {
        let schedule = Schedule { pauses: vec![Duration::from_secs(10); 2] };
        let status = StatusCode::from_u16(status).expect("a status");
        read(&schedule, &due(tries), Ok(Reply { status, retry_after: retry_after.map(Duration::from_secs) }))
    }

    #[test]
    fn only_a_success_is_one() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(end(1, status, None).end, End::Delivered, "{status}");
        }
        for status in [301, 302, 304, 307, 308, 400, 401, 404, 409, 422, 429, 500, 502, 503, 504] {
            assert!(matches!(end(1, status, None).end, End::Again { .. }), "{status}");
            assert_eq!(end(3, status, None).end, End::Failed, "{status}, and no try is left");
        }
        assert_eq!(end(1, 410, None).end, End::Gone);
    }

    #[test]
    fn an_endpoint_that_asks_for_peace_gets_it_and_no_other_does() {
        for status in [429, 503] {
            let sent = end(1, status, Some(3_600));
            assert_eq!(
                (sent.end, sent.quiet),
                (End::Again { after: Duration::from_secs(3_600) }, Some(Duration::from_secs(3_600)))
            );
        }
        let sent = end(1, 429, Some(1));
        assert!(matches!(sent.end, End::Again { after } if after >= Duration::from_secs(8)), "no sooner than planned");
        let sent = end(1, 500, Some(3_600));
        assert!(matches!(sent.end, End::Again { after } if after <= Duration::from_secs(12)) && sent.quiet.is_none());
    }

    #[test]
    fn what_did_not_come_through_is_tried_again() {
        let schedule = Schedule { pauses: vec![Duration::from_secs(10)] };
        for error in [SendError::TimedOut, SendError::Refused(crate::egress::Refused::Private)] {
            let sent = read(&schedule, &due(1), Err(error));
            assert!(matches!(sent.end, End::Again { .. }) && sent.status.is_none() && sent.error.is_some());
        }
    }
}
