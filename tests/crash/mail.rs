//! Mail: at most once where the profile parks, at least once and under one Message-ID where it resends, and once wherever
//! the crash came before the mail or after the journal knew.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{
    Db, Host, HostOptions, Sink,
    cells::{self, Harm, Point, Way},
    message_id,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDoubt {
    Resend,
    Park,
}

fn options(on_doubt: OnDoubt) -> HostOptions {
    let on_doubt = match on_doubt {
        OnDoubt::Resend => "resend",
        OnDoubt::Park => "park",
    };
    HostOptions { plugins: vec!["guest-effects.wasm"], mail_timeout: "2s", on_doubt, ..HostOptions::default() }
}

/// What may be at the mail server in the end, fewest and most, and the states in which the job may be then.
fn promised(on_doubt: OnDoubt, point: Point, harm: Harm) -> (usize, usize, &'static [&'static str]) {
    match (on_doubt, point, harm) {
        // Nothing was sent before, or the journal has the answer.
        (_, Point::BeforeStart | Point::AfterEnd, _) | (OnDoubt::Resend, Point::AfterStart, _) => {
            (1, 1, &["completed"])
        }
        (OnDoubt::Resend, Point::AfterSend, Harm::Kill) => (2, 2, &["completed"]),
        // Who wakes with an answer at hand may write it down before it is asked for, and what a host has told PostgreSQL may be
        // written down after its death.
        (OnDoubt::Resend, Point::AfterSend | Point::AfterReply, _) => (1, 2, &["completed"]),
        // That nothing was sent is known to nobody but the mail server.
        (OnDoubt::Park, Point::AfterStart, _) => (0, 0, &["dead"]),
        (OnDoubt::Park, Point::AfterSend, _) => (1, 1, &["dead"]),
        (OnDoubt::Park, Point::AfterReply, _) => (1, 1, &["completed", "dead"]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_as_often_as_its_profile_allows_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for on_doubt in [OnDoubt::Resend, OnDoubt::Park] {
        for point in Point::ALL {
            all.extend(Harm::ALL.map(|harm| (on_doubt, point, harm)));
        }
    }
    cells::all("mail", all, async |(on_doubt, point, harm)| {
        let (db, sink) = (Db::new().await, Sink::start().await);
        let mut first = Host::start(&db, Some(&sink), options(on_doubt)).await;
        let client = first.client();
        let mail = json!({"do": "mail", "to": "anna@example.com"});
        let (job, held) = cells::reach(point, &db, &sink, async || client.submit("guest-mail", mail).await).await;
        if matches!(point, Point::AfterStart | Point::AfterSend) {
            assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("started"));
        }
        let options = HostOptions { data_dir: Some(first.data_dir.clone()), ..options(on_doubt) };
        let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, Some(&sink), options)).await;
        let state = cells::ended(&db).await;
        // What was held on its way goes on, late.
        Way::release(&sink).await;
        if harm == Harm::Freeze {
            // It is awake, and what it had begun is over.
            let again = first.client().submit("guest-mail", json!({"do": "mail", "to": "berta@example.com"})).await;
            second.client().wait(&again, "completed").await;
        }

        let job = second.client().job(&job).await;
        let mails = sink.mails().await;
        let mut mails = mails.iter().filter(|mail| mail["to"] == json!(["anna@example.com"])).peekable();
        let ids: BTreeSet<_> = mails.clone().map(message_id).collect();
        if ids.len() > 1 {
            return Err(format!("several Message-IDs: {ids:?}"));
        }
        if state == "completed" && job["result"]["messageId"] != message_id(mails.peek().ok_or("no mail")?) {
            return Err(format!("the result names another mail: {job}"));
        }
        if state == "dead" && job["reason"] != "unknown-outcome" {
            return Err(format!("it does not wait for a person: {job}"));
        }
        let (fewest, most, states) = promised(on_doubt, point, harm);
        let count = mails.count();
        if !(fewest..=most).contains(&count) || !states.contains(&state.as_str()) {
            return Err(format!("{count} mails and {state}; promised are {fewest} to {most} and {states:?}"));
        }
        Ok(())
    })
    .await;
}
