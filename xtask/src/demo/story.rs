use std::time::{Duration, Instant};

use super::{Stage, http::Http};
use crate::{
    json::{self, Json},
    sh::{Result, failed},
};

const PATIENCE: Duration = Duration::from_secs(60);

const PAYMENT: &str = r#"{"venueId":"v1","userId":"u1","eventId":"jazz","eventName":"Night of Jazz","amount":5000,"currency":"EUR","paymentMethod":"pm_card_visa","name":"Anna","email":"anna@example.com","items":[{"name":"Seat, row 7","quantity":2,"unitAmount":2500}]}"#;

const CONFIRMATION: &str = r#"{"to":"anna@example.com","template":"payment-confirmation","data":{"name":"Anna","eventName":"Night of Jazz","orderId":"o-1","currency":"EUR","total":5000,"items":[{"name":"Seat, row 7","quantity":2,"unitAmount":2500}]}}"#;

/// One thing after the other, each checked.
pub fn tell(stage: &Stage) -> Result<()> {
    let mut host = stage.http()?;
    let mut mail = Http::connect(&stage.mail_control, "")?;

    println!("\n1  A payment job on the money queue");
    let id = host.submit("payment-process", PAYMENT)?;
    let job = follow(&mut host, &id, "completed")?;
    let result = job.get("result").cloned().unwrap_or(Json::Null);
    println!("   the stand-in for Stripe: {} {}", result.text("paymentIntent"), result.text("status"));
    if result.text("status") != "succeeded" {
        return failed("the payment was not made");
    }
    let child = result.text("emailJob").to_owned();
    println!("   it enqueued a mail, committed with its success:");
    follow(&mut host, &child, "completed")?;
    show_mail(&mut mail, 1)?;

    println!("\n2  The confirmation template, through a server that first says 451");
    mail.post("/faults", r#"["451 4.3.0 try again later"]"#, None)?;
    let id = host.submit("send-email", CONFIRMATION)?;
    let job = follow(&mut host, &id, "completed")?;
    for error in job.get("errors").map(Json::as_array).unwrap_or_default() {
        println!("   attempt {:?}: {}: {}", error.get("attempt"), error.text("kind"), error.text("message"));
    }
    if job.get("attempt") != Some(&Json::Number(2.0)) {
        return failed("the 451 was not retried");
    }
    show_mail(&mut mail, 2)?;

    println!("\n3  The same Idempotency-Key twice");
    let body = format!("{{\"type\":\"payment-process\",\"payload\":{}}}", PAYMENT.replace("jazz", "blues"));
    let first = host.post("/jobs", &body, Some("checkout-4711"))?;
    let second = host.post("/jobs", &body, Some("checkout-4711"))?;
    println!("   {} {}", first.status, first.body.text("id"));
    println!(
        "   {} {}  Idempotency-Replayed: {}",
        second.status,
        second.body.text("id"),
        second.header("idempotency-replayed").unwrap_or("-")
    );
    if (first.status, second.status) != (202, 200) || first.body.text("id") != second.body.text("id") {
        return failed("one key made two jobs");
    }
    follow(&mut host, first.body.text("id"), "completed")?;

    println!("\n4  A component that panics");
    let id = host.submit("guest", r#"{"do":"panic"}"#)?;
    let error = until("the trap is told", || {
        let job = host.get(&format!("/jobs/{id}"))?.body;
        Ok(job.get("errors").and_then(|errors| errors.as_array().first().cloned()))
    })?;
    println!("   {}: {}", error.text("kind"), error.text("message"));
    let live = host.get("/health/live")?;
    println!("   the host: {} {}", live.status, live.body.text("status"));
    if error.text("kind") != "trap-unreachable" || live.status != 200 {
        return failed("the trap was not contained");
    }
    Ok(())
}

/// Prints the states that a job goes through, until the one that is wanted.
fn follow(host: &mut Http, id: &str, wanted: &str) -> Result<Json> {
    let began = Instant::now();
    let mut seen = String::new();
    until(&format!("job {id} is {wanted}"), || {
        let job = host.get(&format!("/jobs/{id}"))?.body;
        let state = job.text("state").to_owned();
        if state != seen {
            println!("   {:5} ms  {} {state}", began.elapsed().as_millis(), job.text("type"));
            seen.clone_from(&state);
        }
        match state == wanted {
            true => Ok(Some(job)),
            false if state == "dead" => failed(format!("job {id} is dead: {:?}", job.get("errors"))),
            false => Ok(None),
        }
    })
}

fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    failed(format!("not within {PATIENCE:?}: {what}"))
}

/// The n-th mail, as the SMTP server received it.
fn show_mail(server: &mut Http, n: usize) -> Result<()> {
    let mail = until("the mail arrives", || Ok(server.get("/mails")?.body.as_array().get(n - 1).cloned()))?;
    let headers = mail.get("headers").cloned().unwrap_or(Json::Null);
    println!("   ┌ received over {}", if mail.get("tls") == Some(&Json::Bool(true)) { "TLS" } else { "clear text" });
    for header in ["From", "To", "Subject", "Message-ID"] {
        println!("   │ {header}: {}", headers.text(header));
    }
    let body = mail.text("body").replace("\r\n", "\n");
    // The text part, after its own headers.
    let text = body.split("Content-Type: text/plain").nth(1).unwrap_or(&body);
    let text = text.split("\n\n").skip(1).collect::<Vec<_>>().join("\n\n");
    for line in text.lines().filter(|line| !line.trim().is_empty()).take_while(|line| !line.starts_with("--")).take(8) {
        println!("   │   {}", line.trim_end_matches('='));
    }
    println!("   └");
    Ok(())
}

/// For the swap: a payload that is unlike the others.
pub fn event(thread: usize, n: usize) -> String {
    format!("{{\"event\":{}}}", json::quote(&format!("Page {thread} {n}")))
}
