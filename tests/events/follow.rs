use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{TimeDelta, Utc};
use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Event, Stream, idle, kept, refused, sorted, told};
use crate::support::{Client, Db, Host, HostOptions, PATIENCE, SECRET, eventually, forged_token, token};

async fn submit(client: &Client, job_type: &str, payload: Value, in_ms: i64) -> String {
    let at = Utc::now() + TimeDelta::milliseconds(in_ms);
    let body = json!({"type": job_type, "payload": payload, "runAt": at});
    let answer = client.post(body.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

fn talks() -> Value {
    json!({"do": "steps", "steps": [
        {"do": "log", "message": "hello\nworld"}, {"do": "progress", "percent": 50, "note": "half"}, {"do": "ok"},
    ]})
}

fn named<'a>(events: &'a [Event], name: &str) -> Option<&'a Event> {
    events.iter().find(|event| event.name == name)
}

fn names(jobs: &[(&str, &str)]) -> Vec<(String, String)> {
    jobs.iter().map(|(job, name)| ((*job).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_with_its_progress_and_its_lines_to_its_end() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let id = submit(&client, "guest", talks(), 700).await;
    let mut stream = Stream::open(&client, &format!("/jobs/{id}/events"), None).await;
    let first = stream.next().await.unwrap();
    assert_eq!(
        (first.name.as_str(), first.job(), &first.data["state"]),
        ("snapshot", id.as_str(), &json!("scheduled"))
    );
    assert!(
        stream.last.is_some() && stream.retry.is_some(),
        "whoever is cut off before the first event can go on, too"
    );
    let events = stream.until(&id, "job.completed").await;
    // Its submit may be told as well: a stream begins a moment before it is asked for.
    assert_eq!(kept(&events).iter().filter(|(_, name)| name == "job.completed").count(), 1);
    assert!(kept(&events).iter().all(|(job, _)| *job == id));
    let end = events.last().unwrap();
    assert_eq!(
        (&end.data["type"], &end.data["tenant"], &end.data["state"]),
        (&json!("guest"), &json!("t1"), &json!("completed"))
    );
    let running = named(&events, "job.running").expect("nobody else is in its way");
    assert_eq!((&running.data["attempt"], &running.data["state"]), (&json!(1), &json!("running")));
    let line = named(&events, "job.log").unwrap();
    assert_eq!((&line.data["level"], &line.data["message"]), (&json!("info"), &json!("hello world")));
    let progress = named(&events, "job.progress").unwrap();
    assert_eq!((&progress.data["percent"], &progress.data["note"]), (&json!(50), &json!("half")));
    // Over is told to who comes late.
    let mut late = Stream::open(&client, &format!("/jobs/{id}/events"), None).await;
    assert_eq!(late.next().await.unwrap().data["state"], "completed");
    // A retry, its end, and the redrive after it; only what is asked for.
    let id = submit(&client, "guest", json!({"do": "retry", "until": 2}), 700).await;
    let mut all = Stream::open(&client, &format!("/jobs/{id}/events"), None).await;
    let mut ends = Stream::open(&client, &format!("/jobs/{id}/events?state=completed"), None).await;
    let states: Vec<_> = kept(&all.until(&id, "job.completed").await).into_iter().map(|(_, name)| name).collect();
    assert!(
        states.ends_with(&["job.scheduled".to_owned(), "job.completed".to_owned()]) && states.len() <= 3,
        "{states:?}"
    );
    assert_eq!(kept(&ends.until(&id, "job.completed").await).len(), 1);
    // Another tenant's job is not there, as is none.
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(refused(&other, &format!("/jobs/{id}/events"), None).await.0, 404);
    assert_eq!(refused(&client, "/jobs/nonsense/events", None).await.0, 404);
    // As long as the token is good.
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 2;
    let claims = json!({"userId": "u9", "role": "user", "tenantId": "t1", "exp": exp});
    let short = client.with_token(forged_token(claims, Algorithm::HS256, SECRET.as_bytes()));
    let mut short = Stream::open(&short, "/events", None).await;
    let over = async { while short.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, over).await.expect("the stream ends with its token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_hears_of_its_own_jobs_and_of_those_it_asks_for() {
    let db = Db::new().await;
    let config = "[events]\nper_caller = 4\n".to_owned();
    let host = Host::start(&db, None, HostOptions { config, ..HostOptions::default() }).await;
    let one = host.client();
    let two = one.with_token(token("user", Some("t2")));
    let admin = host.admin();
    let mut all = Stream::open(&one, "/events", None).await;
    let mut money = Stream::open(&one, "/events?type=guest-money", None).await;
    let mut dead = Stream::open(&one, "/events?state=dead&tenant=t1", None).await;
    let mut other = Stream::open(&two, "/events", None).await;
    let mut every = Stream::open(&admin, "/events", None).await;
    let mut named = Stream::open(&admin, "/events?tenant=t2", None).await;
    let mut mine = Vec::new();
    for (job_type, step) in
        [("guest", "ok"), ("guest-money", "ok"), ("guest", "permanent"), ("guest-money", "permanent")]
    {
        let id = one.submit(job_type, json!({"do": step})).await;
        one.wait(&id, if step == "ok" { "completed" } else { "dead" }).await;
        mine.push(id);
    }
    let theirs = two.submit("guest", json!({"do": "ok"})).await;
    two.wait(&theirs, "completed").await;
    let last = mine[3].clone();
    assert_eq!(sorted(kept(&all.until(&last, "job.dead").await)), told(&db, "t1").await);
    let money = money.until(&last, "job.dead").await;
    let expected = names(&[
        (mine[1].as_str(), "job.ready"),
        (mine[1].as_str(), "job.completed"),
        (mine[3].as_str(), "job.ready"),
        (mine[3].as_str(), "job.dead"),
    ]);
    assert_eq!(kept(&money), expected);
    assert_eq!(money.last().unwrap().data["reason"], "permanent");
    let expected = names(&[(mine[2].as_str(), "job.dead"), (mine[3].as_str(), "job.dead")]);
    assert_eq!(kept(&dead.until(&last, "job.dead").await), expected);
    let expected = names(&[(theirs.as_str(), "job.ready"), (theirs.as_str(), "job.completed")]);
    assert_eq!(kept(&other.until(theirs.as_str(), "job.completed").await), expected);
    assert_eq!(kept(&named.until(theirs.as_str(), "job.completed").await), expected);
    let both = [told(&db, "t1").await, told(&db, "t2").await].concat();
    assert_eq!(sorted(kept(&every.until(theirs.as_str(), "job.completed").await)), sorted(both));
    // What is asked for must make sense.
    for (path, status) in
        [("/events?state=gone", 400), ("/events?since=1", 400), ("/events?type=a%00b", 400), ("/events?tenant=t2", 403)]
    {
        assert_eq!(refused(&one, path, None).await.0, status, "{path}");
    }
    let nobody = one.with_token("nonsense".to_owned());
    assert_eq!(refused(&nobody, "/events", None).await.0, 401);
    for last in ["x", "1-2-3", "1-2-3-4-5-6", "-1-2-3-4-5"] {
        let refused = refused(&one, "/events", Some(last)).await;
        assert_eq!(refused, (StatusCode::BAD_REQUEST, json!("urn:usher:problem:invalid-event-id")), "{last}");
    }
    // A caller's streams are counted, and a place is free when its client has gone.
    let fourth = Stream::open(&one, "/events", None).await;
    let refused = refused(&one, "/events", None).await;
    assert_eq!(refused, (StatusCode::TOO_MANY_REQUESTS, json!("urn:usher:problem:too-many-streams")));
    Stream::open(&two, "/events", None).await;
    drop(fourth);
    let mut again = eventually("the place is free", async || {
        let response = super::ask(&one, "/events", None).await.unwrap();
        response.status().is_success().then(|| Stream::of(response, None))
    })
    .await;
    // A host that stops does not wait for those that follow.
    assert_eq!(host.terminate().await, Some(0));
    while again.next().await.is_some() {}
    let config = "[events]\nenabled = false\n".to_owned();
    let off = Host::start(&db, None, HostOptions { config, plugins: Vec::new(), ..idle() }).await;
    let refused = super::refused(&off.client(), "/events", None).await;
    assert_eq!(refused, (StatusCode::NOT_FOUND, json!("urn:usher:problem:events-off")));
}

/// Nobody is owed it, so a few jobs are let talk until one is heard.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_says_on_one_node_is_heard_on_another() {
    let db = Db::new().await;
    let door = Host::start(&db, None, idle()).await;
    let _runs = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..HostOptions::default() }).await;
    let client = door.client();
    let mut tenant = Stream::open(&client, "/events", None).await;
    for _ in 0..20 {
        let id = submit(&client, "guest", talks(), 1_500).await;
        let mut stream = Stream::open(&client, &format!("/jobs/{id}/events"), None).await;
        stream.until(&id, "job.completed").await;
        let mut later = Vec::new();
        // What is told by the way comes at most once a second, also after the end.
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(3), stream.next()).await {
            later.push(event);
            if named(&later, "job.log").is_some() && named(&later, "job.progress").is_some() {
                break;
            }
        }
        if named(&later, "job.log").is_some() {
            let of_many = tenant.until(&id, "job.completed").await;
            assert!(named(&of_many, "job.log").is_none(), "lines are for those who follow the job");
            return;
        }
    }
    panic!("no line of twenty jobs was heard on the other node");
}
