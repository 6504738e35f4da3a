//! Confirms an order: the Rust one of three.

use std::{fs, hint::black_box, net::TcpStream};

use serde::Deserialize;
use serde_json::{Value, json};
use usher_plugin::{Error, Failure, Job, context, email::Message, log, upstream::Request, webhook};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    email: String,
    items: Vec<Item>,
    #[serde(default)]
    fail_once: bool,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    sku: String,
    quantity: u32,
}

/// What the shop knows.
#[derive(Debug, Deserialize)]
struct Known {
    total: u64,
    currency: String,
}

fn process(job: Job<Order>) -> Result<Value, Failure> {
    let order = job.payload;
    if order.items.is_empty() {
        return Err(Failure::permanent(format_args!("order {} has no items", order.order_id)));
    }
    if let Some(item) = order.items.iter().find(|item| item.quantity == 0) {
        return Err(Failure::permanent(format_args!("order {}: none of {} is ordered", order.order_id, item.sku)));
    }
    if let Some(trouble) = &order.trouble {
        let done = make(trouble)?;
        return if order.fail_once && job.attempt == 1 { Err(Failure::retry(done)) } else { Ok(done) };
    }

    let before = seen();
    let asked = Request::get("rig", format!("/orders/{}", order.order_id)).call()?;
    if asked.status == 404 {
        return Err(Failure::permanent(format_args!("the shop knows no order {}", order.order_id)));
    }
    let Known { total, currency } = asked.expect_json()?;
    let number = format!("{:016x}", context::random());

    let text = format!("Order {} is confirmed. Your number is {number}.", order.order_id);
    let mail = match Message::new(&order.email, format!("Order {}", order.order_id), text).send() {
        Ok(sent) => json!({"sent": sent.message_id}),
        // The order stands, mail or not.
        Err(Error::Rejected(no)) => json!({"rejected": no.code}),
        Err(error) => return Err(error.into()),
    };
    let confirmed = Request::post("rig", format!("/orders/{}/confirmed", order.order_id));
    let told = confirmed.json(&json!({"number": number}))?.call()?;
    let after = seen();
    webhook::publish("order.confirmed", &json!({"order": order.order_id, "number": number}))?;
    let done = json!({
        "order": order.order_id, "total": total, "currency": currency, "number": number,
        "mail": mail, "told": told.status, "before": before, "after": after,
    });
    if order.fail_once && job.attempt == 1 {
        return Err(Failure::retry(done));
    }
    Ok(done)
}

/// Clock and dice, as this language has them; the standard library's are not there.
fn seen() -> Value {
    json!({"now": context::now_ms(), "language": context::now_ms(), "random": context::random()})
}

fn make(trouble: &str) -> Result<Value, Failure> {
    match trouble {
        "throw" => panic!("the guest gave up"),
        "loop" => loop {
            black_box(0);
        },
        "wait" => {
            let began = context::now_ms();
            while context::now_ms() < began + 60_000 {}
            Ok(json!("time moved"))
        }
        "allocate" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                black_box(&kept);
            }
        }
        "print" => {
            log::info("said by the guest", &[]);
            log::warn("complained by the guest", &[]);
            Ok(Value::Null)
        }
        "flood" => {
            for n in 0..20_000 {
                log::info(&format!("flood {n} {}", "x".repeat(100)), &[]);
            }
            Ok(Value::Null)
        }
        "probe" => Ok(json!({
            "environment": std::env::var_os("PATH").is_some(),
            "file": fs::read("/etc/hostname").is_ok(),
            "folder": fs::read_dir("/").is_ok(),
            "written": fs::write("/tmp/usher", "x").is_ok(),
            "connected": TcpStream::connect("127.0.0.1:1").is_ok(),
        })),
        "dice" => {
            let mut bytes = [0; 11];
            getrandom::fill(&mut bytes)?;
            let number = getrandom::u64().map(|number| format!("{number:016x}"))?;
            Ok(json!({"random": context::random(), "bytes": bytes, "uuid": number}))
        }
        other => Err(Failure::permanent(format_args!("no such trouble: {other}"))),
    }
}

usher_plugin::plugin!(process);
