//! What a host costs that has nothing to do. Measured with the product's own times.

use std::time::Duration;

use crate::support::{Db, Host, HostOptions, Proxy};

const LOOK: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_host_asks_less_than_once_a_second_and_uses_less_than_a_hundredth_of_a_core() {
    let mut db = Db::new().await;
    let proxy = Proxy::start(&db.url).await;
    db.url = proxy.url.clone();
    let options = HostOptions {
        cluster: Some(String::new()),
        filter: "info",
        // The product's own rules are looked at.
        config: "[alerts]\n".to_owned(),
        ..HostOptions::default()
    };
    let host = Host::start(&db, None, options).await;
    // Past the first round of everything.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, cpu) = (proxy.statements(), ticks(host.pid()));
    tokio::time::sleep(LOOK).await;
    let statements = proxy.statements() - before;
    // Ticks of 10 ms, so the percentage of a core is ticks a second.
    let cpu = (ticks(host.pid()) - cpu) as f64 / LOOK.as_secs_f64();
    println!("idle host: {:.2} statements/s, {cpu:.2} % CPU", statements as f64 / LOOK.as_secs_f64());
    assert!((1..20).contains(&statements), "{statements} statements in {LOOK:?}");
    assert!(cpu < 1.0, "{cpu} % CPU");
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
