//! A host that is killed between two effects of a guest.

use super::{LANGUAGES, Rig, options, order};
use crate::support::{Fault, Host, HostOptions};

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_effects_before_are_replayed_in_each_language() {
    for language in LANGUAGES {
        let mut rig = Rig::start().await;
        // Mail and first question are done; the last call is on its way.
        rig.proxy.on("POST /orders/", 1, Fault::HoldBefore);
        let id = rig.submit(language, order("o-1")).await;
        rig.proxy.wait_held(1).await;
        assert_eq!(rig.sink.mails().await.len(), 1, "{language}");
        rig.host.kill9();
        let again =
            HostOptions { data_dir: Some(rig.host.data_dir.clone()), plugins: Vec::new(), ..options(&rig.proxy.base) };
        let second = Host::start(&rig.db, Some(&rig.sink), again).await;
        let job = second.client().wait(&id, "completed").await;
        assert_eq!(job["result"]["told"], 204, "{language}: {job}");
        assert_eq!(rig.sink.mails().await.len(), 1, "{language}: the mail is not sent again");
        assert_eq!(rig.asked("GET /orders/o-1"), 1, "{language}: the shop is not asked again");
        rig.proxy.release();
    }
}
