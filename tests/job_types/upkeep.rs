//! What the shop's own services are asked for: old data, reports, events.

use serde_json::{Value, json};

use super::Rig;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_cleanup_goes_on_from_job_to_job() {
    let rig = Rig::start().await;
    rig.product.services.fill("sessions", 1_000);
    let first = rig
        .run("cleanup-old-data", json!({"collection": "sessions", "olderThanDays": 30, "pageSize": 10}), "completed")
        .await;
    let mut job = first.clone();
    let mut pages = Vec::new();
    loop {
        pages.push(job["result"]["pages"].as_u64().unwrap());
        assert_eq!(job["result"]["before"], first["result"]["before"], "one cut-off for all");
        let Some(next) = job["result"]["continuedBy"].as_str().map(str::to_owned) else { break };
        let parent = job["id"].clone();
        job = rig.host.client().wait(&next, "completed").await;
        assert_eq!(job["parent"], parent);
    }
    assert_eq!(pages, [40, 80, 100]);
    assert_eq!(job["result"]["deleted"], 1_000);
    assert_eq!((rig.product.services.left("sessions"), rig.product.services.cleanups("sessions")), (Some(0), 100));
    rig.product.services.no_complaints();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_stored_as_it_was_asked_for() {
    let rig = Rig::start().await;
    let csv = json!({"report": "sales", "format": "csv", "columns": ["sum", "seat"]});
    let job = rig.run("generate-report", csv, "completed").await;
    let path = job["result"]["path"].as_str().unwrap();
    assert_eq!(path, format!("/reports/sales/{}.csv", job["id"].as_str().unwrap()));
    assert_eq!((&job["result"]["rows"], &job["result"]["format"]), (&json!(5), &json!("csv")));
    let (kind, text) = rig.product.services.files()[path].clone();
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(text, "sum,seat\r\n1000,1A\r\n2000,2A\r\n3000,3A\r\n4000,4A\r\n5000,5A\r\n");

    let job = rig.run("generate-report", json!({"report": "sales", "format": "json"}), "completed").await;
    let (kind, text) = rig.product.services.files()[job["result"]["path"].as_str().unwrap()].clone();
    assert_eq!(kind, "application/json");
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[4]), (5, &json!({"seat": "5A", "sum": 5000})));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_under_its_spelling_with_the_jobs_id() {
    let rig = Rig::start().await;
    let event = json!({"event": " Door  opened!", "userId": "u1", "properties": {"door": 7}});
    let job = rig.run("analytics-track", event, "completed").await;
    assert_eq!((&job["result"]["release"], &job["tier"]), (&json!("v3"), &json!(3)), "{job}");
    let events = eventually("it came", async || Some(rig.product.services.events()).filter(|e| !e.is_empty())).await;
    assert_eq!((&events[0]["event"], &events[0]["id"]), (&json!("door_opened"), &job["id"]));
    assert_eq!(events[0]["properties"], json!({"door": 7}));
}
