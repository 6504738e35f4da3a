//! The crash matrix: each function that moves money × each point of the gate × a host that is killed, or frozen past its lease
//! and then woken. Counted at the provider: exactly one, and none missing. Stripe World acts once under a key, as Stripe does.
//! localstripe ignores keys, so that there the question alone keeps it single; but for what is held up on its way until after
//! that (`AfterStart`), where only the key protects.

use serde_json::{Value, json};

use crate::{
    stripe::{options, payment},
    support::{
        Db, FaultProxy, Host, HostOptions, LocalStripe, StripeClient, StripeWorld,
        cells::{self, Harm, Point, Requests},
        stripe::id,
    },
};

#[derive(Clone, Copy, Debug)]
enum Function {
    Payment,
    Capture,
    Cancel,
    Refund,
    Payout,
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    World,
    Local,
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_once_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for harm in Harm::ALL {
        for point in Point::ALL {
            all.extend([Function::Payment, Function::Refund, Function::Payout].map(|f| (Peer::World, f, point, harm)));
        }
        for function in [Function::Capture, Function::Cancel] {
            all.extend([Point::AfterSend, Point::AfterReply].map(|point| (Peer::World, function, point, harm)));
        }
        for point in [Point::BeforeStart, Point::AfterSend, Point::AfterReply, Point::AfterEnd] {
            all.push((Peer::Local, Function::Payment, point, harm));
        }
    }
    cells::all(all, async |(peer, function, point, harm)| {
        let made = match peer {
            Peer::World => {
                let world = StripeWorld::start().await;
                cell(&world.stripe, world.base_url(), function, point, harm).await
            }
            Peer::Local => {
                let local = LocalStripe::start().await;
                cell(&local.stripe, local.base_url(), function, point, harm).await
            }
        };
        if made == 1 { Ok(()) } else { Err(format!("{made} at the provider")) }
    })
    .await;
}

/// Returns how many the provider has of what was asked for once.
async fn cell(stripe: &StripeClient, base: &str, function: Function, point: Point, harm: Harm) -> usize {
    let proxy = FaultProxy::start(base).await;
    let db = Db::new().await;
    let (payload, path, counted) = ask(function, stripe).await;
    let mut first = Host::start(&db, None, options(&proxy.base)).await;
    let way = Requests { proxy: &proxy, path };
    let client = first.client();
    let (_, held) = cells::reach(point, &db, &way, async || client.submit("guest-money", payload).await).await;
    let options = HostOptions { data_dir: Some(first.data_dir.clone()), ..options(&proxy.base) };
    let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, options)).await;
    assert_eq!(cells::ended(&db).await, "completed", "{}", second.log());
    // What was held on its way arrives all the same, late.
    proxy.release();
    proxy.wait_quiet().await;
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 1);
    match counted {
        Counted::Marked(collection) => {
            let all = stripe.list(collection).await;
            all.iter().filter(|object| object["metadata"]["usher_effect"].is_string()).count()
        }
        Counted::Status(status) => {
            let all = stripe.list("/v1/payment_intents").await;
            all.iter().filter(|object| object["status"] == status).count()
        }
    }
}

/// Where what was done is counted at the provider.
enum Counted {
    /// Objects of a collection that carry an effect's mark.
    Marked(&'static str),
    /// Payments in that state.
    Status(&'static str),
}

/// The payload, how its request begins, and where it is counted.
async fn ask(function: Function, stripe: &StripeClient) -> (Value, &'static str, Counted) {
    match function {
        Function::Payment => {
            let made = stripe.post("/v1/payment_methods", &[("type", "card"), ("card[token]", "tok_visa")]).await;
            // localstripe knows cards by name only.
            let card = made.body["id"].as_str().unwrap_or("pm_card_visa").to_owned();
            (payment(&card), "POST /v1/payment_intents", Counted::Marked("/v1/payment_intents"))
        }
        Function::Capture | Function::Cancel => {
            let card = stripe.payment_method("tok_visa").await;
            let fields = [
                ("amount", "900"),
                ("currency", "eur"),
                ("payment_method", card.as_str()),
                ("confirm", "true"),
                ("capture_method", "manual"),
            ];
            let held = id(&stripe.create("/v1/payment_intents", &fields).await);
            let (call, status) = match function {
                Function::Capture => ("capture", "succeeded"),
                _ => ("cancel", "canceled"),
            };
            let payload = json!({"do": "stripe", "call": call, "paymentIntent": held});
            (payload, "POST /v1/payment_intents", Counted::Status(status))
        }
        Function::Refund => {
            stripe.balance(5000, "eur").await;
            let paid = id(&stripe.list("/v1/payment_intents").await[0]);
            let payload = json!({"do": "stripe", "call": "refund", "paymentIntent": paid, "amount": 100});
            (payload, "POST /v1/refunds", Counted::Marked("/v1/refunds"))
        }
        Function::Payout => {
            stripe.balance(5000, "eur").await;
            let payload = json!({"do": "stripe", "call": "payout", "amount": 700, "currency": "eur"});
            (payload, "POST /v1/payouts", Counted::Marked("/v1/payouts"))
        }
    }
}
