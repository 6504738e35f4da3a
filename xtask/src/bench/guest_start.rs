//! What one attempt costs without queue and database: `host/benches/guest_start.rs`.

use super::{
    kit::{Kit, alternate},
    report::{Row, figure, median, say},
};
use crate::{
    json::{self, Json},
    sh::{self, OrFail, Result},
};

pub fn measure(kit: &Kit) -> Result<Vec<Row>> {
    let figures = alternate(&[&|| run(kit)])?;
    let ours = figures.first().map_or(f64::NAN, |all| median(all));
    let note = "store, instance, bench-noop with its one host call; median of 50,000 on one thread";
    Ok(vec![Row { name: "guest-start", unit: "µs", ours, peer: None, note }])
}

/// Always the host of this checkout: a bench target is linked with it.
fn run(kit: &Kit) -> Result<f64> {
    let attempts = kit.scaled(50_000, 1_000).to_string();
    let mut bench = sh::cargo();
    bench
        .args(["bench", "--quiet", "--package", "usher-host", "--bench", "guest_start", "--"])
        .arg(&kit.plugin)
        .arg(attempts)
        .env("SQLX_OFFLINE", "true");
    let said = sh::output(&mut bench)?;
    let answer = json::parse(said.trim()).or_fail("the answer of guest_start")?;
    match (answer.get("p50_us"), answer.get("p99_us")) {
        (Some(Json::Number(p50)), Some(Json::Number(p99))) => {
            say(&format!("   p50 {} µs, p99 {} µs", figure(*p50), figure(*p99)));
            Ok(*p50)
        }
        _ => sh::failed(format!("guest_start said {said:?}")),
    }
}
