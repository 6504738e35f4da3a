//! Text messages and notifications: at most once where the profile parks, at least once where it resends (notifications under
//! one name), and once wherever the crash came before the request or after the journal knew.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    messages::{notification, push_options, sms_options, text},
    support::{
        Db, FaultProxy, Fcm, Host, HostOptions, TokenService, Twilio,
        cells::{self, Harm, Point, Requests},
    },
};

const ANNA: &str = "+4915112345678";
const DEVICE: &str = "fGh3k2mQR0:APA91bH-token-of-annas-telephone_0123456789";

/// What the provider may have taken in the end, fewest and most, and the states in which the job may be then.
fn promised(on_doubt: &str, point: Point, harm: Harm) -> (usize, usize, &'static [&'static str]) {
    match (on_doubt, point, harm) {
        // Nothing was sent before, or the journal has the answer.
        (_, Point::BeforeStart | Point::AfterEnd, _) => (1, 1, &["completed"]),
        // What was held on its way may arrive, late.
        ("resend", Point::AfterStart, _) => (1, 2, &["completed"]),
        ("resend", Point::AfterSend, Harm::Kill) => (2, 2, &["completed"]),
        // Who wakes with an answer at hand may write it down before it is asked for, and what a host has told PostgreSQL may be
        // written down after its death.
        ("resend", _, _) => (1, 2, &["completed"]),
        // That nothing was sent is known to nobody but the provider.
        (_, Point::AfterStart, _) => (0, 1, &["dead"]),
        (_, Point::AfterSend, _) => (1, 1, &["dead"]),
        (_, Point::AfterReply, _) => (1, 1, &["completed", "dead"]),
    }
}

fn judge(on_doubt: &str, point: Point, harm: Harm, count: usize, state: &str, job: &Value) -> Result<(), String> {
    if state == "dead" && job["reason"] != "unknown-outcome" {
        return Err(format!("it does not wait for a person: {job}"));
    }
    let (fewest, most, states) = promised(on_doubt, point, harm);
    if !(fewest..=most).contains(&count) || !states.contains(&state) {
        return Err(format!("{count} sent and {state}; promised are {fewest} to {most} and {states:?}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_sent_as_often_as_its_profile_allows_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for on_doubt in ["resend", "park"] {
        for point in Point::ALL {
            all.extend(Harm::ALL.map(|harm| (on_doubt, point, harm)));
        }
    }
    cells::all("texts", all, async |(on_doubt, point, harm)| {
        let (db, twilio) = (Db::new().await, Twilio::start().await);
        let proxy = FaultProxy::start(&twilio.base).await;
        let way = Requests { proxy: &proxy, path: "POST /2010-04-01/" };
        let mut first = Host::start(&db, None, sms_options(&proxy.base, on_doubt)).await;
        let client = first.client();
        let (job, held) =
            cells::reach(point, &db, &way, async || client.submit("guest-message", text(ANNA)).await).await;
        let options = HostOptions { data_dir: Some(first.data_dir.clone()), ..sms_options(&proxy.base, on_doubt) };
        let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, options)).await;
        let state = cells::ended(&db).await;
        proxy.release();
        proxy.wait_quiet().await;
        let job = second.client().job(&job).await;
        let texts = twilio.texts();
        if state == "completed" && !texts.iter().any(|text| job["result"]["id"] == text.sid.as_str()) {
            return Err(format!("the result names another message: {job}"));
        }
        judge(on_doubt, point, harm, texts.len(), &state, &job)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copies_of_a_notification_bear_one_name_wherever_the_host_dies_or_freezes() {
    let cells = [
        ("resend", Point::BeforeStart, Harm::Kill),
        ("resend", Point::AfterStart, Harm::Freeze),
        ("resend", Point::AfterSend, Harm::Kill),
        ("resend", Point::AfterSend, Harm::Freeze),
        ("resend", Point::AfterReply, Harm::Kill),
        ("resend", Point::AfterEnd, Harm::Kill),
        ("park", Point::AfterSend, Harm::Kill),
        ("park", Point::AfterReply, Harm::Freeze),
    ];
    cells::all("notifications", cells.to_vec(), async |(on_doubt, point, harm)| {
        let (db, tokens, fcm) = (Db::new().await, TokenService::start().await, Fcm::start().await);
        let proxy = FaultProxy::start(&fcm.base).await;
        let account = tokens.account(&tokens.base).await;
        let way = Requests { proxy: &proxy, path: "POST /v1/projects/" };
        let options = || push_options(&proxy.base, &account, on_doubt);
        let mut first = Host::start(&db, None, options()).await;
        let client = first.client();
        let (job, held) =
            cells::reach(point, &db, &way, async || client.submit("guest-message", notification(DEVICE)).await).await;
        let again = HostOptions { data_dir: Some(first.data_dir.clone()), ..options() };
        let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, again)).await;
        let state = cells::ended(&db).await;
        proxy.release();
        proxy.wait_quiet().await;
        let job = second.client().job(&job).await;
        let messages = fcm.messages();
        let names: BTreeSet<_> = messages.iter().map(|message| message["android"].to_string()).collect();
        if names.len() > 1 {
            return Err(format!("several names: {names:?}"));
        }
        if state == "completed" && !job["result"]["id"].is_string() {
            return Err(format!("no result: {job}"));
        }
        judge(on_doubt, point, harm, messages.len(), &state, &job)
    })
    .await;
}
