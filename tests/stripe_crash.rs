//! The crash matrix: each function that moves money × each point of the gate × a host that is killed, or frozen past its lease
//! and then woken. Counted at the provider: exactly one, and none missing.
//!
//! - Stripe World acts once under a key, as Stripe does.
//! - localstripe ignores keys, so that there the question alone keeps it single; but for what is held up on its way until after
//!   that (`AfterStart`), where only the key protects. Captures and cancels are asked for by the payment's state, of which there is
//!   one: there would be no double to see.
//! - The stand-in is ours. It plays what no peer has, transfers and payouts of connected accounts, and once under a key since we
//!   made it so: its cells show what a host does about a call, and nothing about Stripe.

use serde_json::{Value, json};

use crate::{
    stripe::{options, payment},
    support::{
        Db, FaultProxy, Host, HostOptions, LocalStripe, StripeClient, StripeStandIn, StripeWorld,
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

/// What the stand-in plays.
#[derive(Clone, Copy, Debug)]
enum Played {
    Transfer,
    ConnectedPayout,
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_once_wherever_the_host_dies_or_freezes() {
    let functions = [Function::Payment, Function::Capture, Function::Cancel, Function::Refund, Function::Payout];
    let mut all = Vec::new();
    for harm in Harm::ALL {
        for point in Point::ALL {
            all.extend(functions.map(|function| (Peer::World, function, point, harm)));
        }
        for point in [Point::BeforeStart, Point::AfterSend, Point::AfterReply, Point::AfterEnd] {
            let functions = [Function::Payment, Function::Refund, Function::Payout];
            all.extend(functions.map(|function| (Peer::Local, function, point, harm)));
        }
    }
    cells::all("Stripe", all, async |(peer, function, point, harm)| {
        let made = match peer {
            Peer::World => {
                let world = StripeWorld::start().await;
                cell(&world.stripe, world.base_url(), peer, function, point, harm).await
            }
            Peer::Local => {
                let local = LocalStripe::start().await;
                cell(&local.stripe, local.base_url(), peer, function, point, harm).await
            }
        };
        if made == 1 { Ok(()) } else { Err(format!("{made} at the provider")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_only_a_stand_in_plays_is_made_once_under_its_key_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for harm in Harm::ALL {
        for point in Point::ALL {
            all.extend([Played::Transfer, Played::ConnectedPayout].map(|function| (function, point, harm)));
        }
    }
    cells::all("Stripe's stand-in", all, async |(function, point, harm)| {
        let stand_in = StripeStandIn::start().await;
        let (collection, account, payload) = match function {
            Played::Transfer => {
                let transfer = json!({
                    "do": "stripe", "call": "transfer", "amount": 500, "currency": "eur", "account": "acct_venue", "group": "g1",
                });
                ("transfers", "", transfer)
            }
            Played::ConnectedPayout => {
                let payout = json!({"do": "stripe", "call": "payout", "amount": 300, "currency": "eur", "account": "acct_venue"});
                ("payouts", "acct_venue", payout)
            }
        };
        run(&stand_in.base, payload, &format!("POST /v1/{collection}"), point, harm).await;
        let made = stand_in.all(collection, account).len();
        if made == 1 { Ok(()) } else { Err(format!("{made} at the stand-in")) }
    })
    .await;
}

/// A job of one call, to its end; what was held up on its way has arrived by then.
async fn run(base: &str, payload: Value, path: &str, point: Point, harm: Harm) {
    let proxy = FaultProxy::start(base).await;
    let db = Db::new().await;
    let mut first = Host::start(&db, None, options(&proxy.base)).await;
    let way = Requests { proxy: &proxy, path };
    let client = first.client();
    let (_, held) = cells::reach(point, &db, &way, async || client.submit("guest-money", payload).await).await;
    let options = HostOptions { data_dir: Some(first.data_dir.clone()), ..options(&proxy.base) };
    let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, options)).await;
    assert_eq!(cells::ended(&db).await, "completed", "{}", second.log());
    proxy.release();
    proxy.wait_quiet().await;
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 1);
}

/// Returns how many the provider has of what was asked for once.
async fn cell(stripe: &StripeClient, base: &str, peer: Peer, function: Function, point: Point, harm: Harm) -> usize {
    let (payload, path, counted) = ask(peer, function, stripe).await;
    run(base, payload, path, point, harm).await;
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
async fn ask(peer: Peer, function: Function, stripe: &StripeClient) -> (Value, &'static str, Counted) {
    let card = match peer {
        Peer::World => stripe.payment_method("tok_visa").await,
        // It knows cards by name only.
        Peer::Local => "pm_card_visa".to_owned(),
    };
    // By hand, so without a mark.
    let paid = async |more: &[(&str, &str)]| {
        let fields = [("amount", "5000"), ("currency", "eur"), ("payment_method", card.as_str()), ("confirm", "true")];
        id(&stripe.create("/v1/payment_intents", &[&fields[..], more].concat()).await)
    };
    match function {
        Function::Payment => (payment(&card), "POST /v1/payment_intents", Counted::Marked("/v1/payment_intents")),
        Function::Capture | Function::Cancel => {
            let held = paid(&[("capture_method", "manual")]).await;
            let (call, status) = match function {
                Function::Capture => ("capture", "succeeded"),
                _ => ("cancel", "canceled"),
            };
            let payload = json!({"do": "stripe", "call": call, "paymentIntent": held});
            (payload, "POST /v1/payment_intents", Counted::Status(status))
        }
        Function::Refund => {
            let payload = json!({"do": "stripe", "call": "refund", "paymentIntent": paid(&[]).await, "amount": 100});
            (payload, "POST /v1/refunds", Counted::Marked("/v1/refunds"))
        }
        Function::Payout => {
            paid(&[]).await;
            let payload = json!({"do": "stripe", "call": "payout", "amount": 700, "currency": "eur"});
            (payload, "POST /v1/payouts", Counted::Marked("/v1/payouts"))
        }
    }
}
