//! Effects under faults: Stripe World, localstripe, a minting service, an SMTP server and a webhook receiver, each behind a way
//! that breaks; three hosts that die and freeze at named points of the gate; and a PostgreSQL that crashes. What happened is
//! counted at the providers' side, by business key.
//!
//! With `--plant` the hosts have an error that this must find: a run that does not end with `lost` or `doubled` above 0 then
//! shows that it finds nothing.

mod check;
mod faults;
mod load;
mod plan;
mod points;
mod provider;
mod rig;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

pub use self::rig::Rig;
use crate::check::Report;

/// Known to `effects::gate::failpoint`.
pub const PLANTS: [&str; 3] = ["attempt-key", "no-fence", "early-doubt"];

pub async fn run(rig: Arc<Rig>) -> Report {
    rig.start().await;
    let (over, done) = watch::channel(false);
    let load = tokio::spawn(load::run(Arc::clone(&rig)));
    let faults = tokio::spawn(faults::run(Arc::clone(&rig), done));
    let watch = tokio::spawn(progress(Arc::clone(&rig)));
    let mut loading = load.await.unwrap();
    over.send_replace(true);
    let counts = faults.await.unwrap();
    // No more faults: the submits that are still open must come through now.
    let drained = async { while loading.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(60), drained).await.is_err() {
        rig.note(&format!("{} submits were never acknowledged", loading.len()));
        loading.abort_all();
    }
    check::settle(&rig).await;
    watch.abort();
    check::judge(&rig, counts).await
}

/// A line now and then, for who watches.
async fn progress(rig: Arc<Rig>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let accepted = rig.accepted.lock().unwrap().len();
        let open = rig.open().await.map_or("?".to_owned(), |(jobs, events)| format!("{jobs} and {events} events"));
        rig.note(&format!("accepted {accepted}, open {open}"));
    }
}
