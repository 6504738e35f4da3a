//! What the tests of money stand on: the Stripe peers, the faults on the way to them, Stripe's description of its API.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Fault, FaultProxy, LocalStripe, StripeClient, StripeStandIn, StripeWorld, stripe::id, stripe_api, within,
};

const INTENT: [(&str, &str); 4] =
    [("amount", "1200"), ("currency", "eur"), ("confirm", "true"), ("metadata[usher_effect]", "e1")];

/// Stripe's ready-made good card, which localstripe knows by this name only.
const VISA: &str = "pm_card_visa";

/// A confirmed payment intent of this card, under this key.
async fn pay(stripe: &StripeClient, card: &str, key: &str) -> crate::support::Answer {
    let fields = [&INTENT[..], &[("payment_method", card)]].concat();
    stripe.post_with("/v1/payment_intents", &fields, &[("idempotency-key", key)]).await
}

/// How many charges and intents carry the effect.
async fn counted(stripe: &StripeClient) -> (usize, usize) {
    let intents = stripe.with_metadata("/v1/payment_intents", "usher_effect", "e1").await;
    (stripe.list("/v1/charges").await.len(), intents.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_world_acts_once_under_a_key() {
    let world = StripeWorld::start().await;
    let card = world.stripe.payment_method("tok_visa").await;
    let first = pay(&world.stripe, &card, "k1").await;
    assert_eq!((first.status.as_u16(), &first.body["status"]), (200, &json!("succeeded")), "{}", first.body);
    let second = pay(&world.stripe, &card, "k1").await;
    assert_eq!(second.body, first.body);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(counted(&world.stripe).await, (1, 1));

    let other = world
        .stripe
        .post_with("/v1/payment_intents", &[("amount", "1300"), ("currency", "eur")], &[("idempotency-key", "k1")])
        .await;
    assert_eq!((other.status.as_u16(), &other.body["error"]["type"]), (400, &json!("idempotency_error")));
    pay(&world.stripe, &card, "k2").await;
    assert_eq!(counted(&world.stripe).await, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_stripe_world_know_nothing_of_each_other() {
    let (one, other) = (StripeWorld::start().await, StripeWorld::start().await);
    one.stripe.customer("anna@example.com").await;
    assert_eq!(one.stripe.list("/v1/customers").await.len(), 1);
    assert_eq!(other.stripe.list("/v1/customers").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_world_declines_refunds_and_pays_out() {
    let world = StripeWorld::start().await;
    let bad = world.stripe.payment_method("tok_visa_chargeDeclined").await;
    let declined = pay(&world.stripe, &bad, "bad").await;
    assert_eq!((declined.status.as_u16(), &declined.body["error"]["type"]), (402, &json!("card_error")));

    let too_early = world.stripe.post("/v1/payouts", &[("amount", "500"), ("currency", "eur")]).await;
    assert_eq!(too_early.status.as_u16(), 400, "nothing is there to pay out: {}", too_early.body);
    world.stripe.balance(5000, "eur").await;
    let marked = [("amount", "500"), ("currency", "eur"), ("metadata[usher_effect]", "p1")];
    world.stripe.create("/v1/payouts", &marked).await;
    assert_eq!(world.stripe.with_metadata("/v1/payouts", "usher_effect", "p1").await.len(), 1);

    let card = world.stripe.payment_method("tok_visa").await;
    let intent = id(&pay(&world.stripe, &card, "good").await.body);
    let refund = |amount: &'static str| {
        [("payment_intent", intent.clone()), ("amount", amount.to_owned()), ("metadata[usher_effect]", "r1".to_owned())]
    };
    for (amount, status) in [("700", 200), ("700", 400), ("500", 200)] {
        let fields = refund(amount);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = world.stripe.post("/v1/refunds", &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{amount}: {}", answer.body);
    }
    assert_eq!(world.stripe.with_metadata("/v1/refunds", "usher_effect", "r1").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_after_page() {
    let world = StripeWorld::start().await;
    for n in 0..120 {
        world.stripe.customer(&format!("c{n}@example.com")).await;
    }
    let mut ids: Vec<_> = world.stripe.list("/v1/customers").await.iter().map(id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn localstripe_shows_the_double_that_a_key_would_hide() {
    let local = LocalStripe::start().await;
    let card = VISA.to_owned();
    for _ in 0..2 {
        let answer = pay(&local.stripe, &card, "k1").await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    }
    assert_eq!(counted(&local.stripe).await, (2, 2));

    // Asked as we ask Stripe: with what it does not know, and by a window.
    let intents = local.stripe.list("/v1/payment_intents").await;
    let (intent, created) = (id(&intents[0]), intents[0]["created"].as_u64().unwrap());
    let fields = [("payment_intent", intent.as_str()), ("amount", "200"), ("reason", "duplicate")];
    for _ in 0..2 {
        let refund = local.stripe.post_with("/v1/refunds", &fields, &[("idempotency-key", "r1")]).await;
        assert_eq!(refund.status.as_u16(), 200, "{}", refund.body);
    }
    for (window, refunds) in [(format!("created[gte]={created}"), 2), (format!("created[lt]={created}"), 0)] {
        let found = local.stripe.get(&format!("/v1/refunds?limit=100&{window}")).await;
        assert_eq!(found.body["data"].as_array().unwrap().len(), refunds, "{window}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_before_leaves_the_provider_untouched_and_one_after_does_not() {
    let local = LocalStripe::start().await;
    let card = VISA.to_owned();
    let proxy = FaultProxy::start(local.base_url()).await;
    let through = StripeClient::new(&proxy.base);
    let fields = [&INTENT[..], &[("payment_method", card.as_str())]].concat();
    for (fault, happened) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1)] {
        proxy.on("POST /v1/payment_intents", 1, fault.clone());
        // Neither a look nor another path is what the rule waits for.
        through.list("/v1/payment_intents").await;
        let cut = through.request("/v1/payment_intents", &fields, &[("idempotency-key", "k1")]).send().await;
        assert!(cut.is_err(), "{fault:?}");
        assert_eq!(counted(&local.stripe).await.1, happened, "{fault:?}");
    }
    // Nothing is left of the rules.
    assert_eq!(pay(&through, &card, "k2").await.status.as_u16(), 200);
    let seen = proxy.seen();
    let posts: Vec<_> = seen.iter().filter(|seen| seen.request.method == "POST").collect();
    let faults: Vec<_> = posts.iter().map(|seen| seen.fault).collect();
    assert_eq!(faults, [Some("cut-before"), Some("cut-after"), None]);
    assert_eq!(posts[0].request.header("idempotency-key"), Some("k1"));
    assert!(posts[0].request.text().contains("metadata%5Busher_effect%5D=e1"), "{}", posts[0].request.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_under_the_key_after_a_lost_answer_is_no_double_at_stripe_world() {
    let world = StripeWorld::start().await;
    let card = world.stripe.payment_method("tok_visa").await;
    let proxy = FaultProxy::start(world.base_url()).await;
    let through = StripeClient::new(&proxy.base);
    proxy.on("POST /v1/payment_intents", 1, Fault::CutAfter);
    let fields = [&INTENT[..], &[("payment_method", card.as_str())]].concat();
    let request = through.request("/v1/payment_intents", &fields, &[("idempotency-key", "k1")]);
    assert!(request.send().await.is_err());
    let again = pay(&through, &card, "k1").await;
    assert_eq!(again.headers["idempotent-replayed"], "true", "{}", again.body);
    assert_eq!(counted(&world.stripe).await, (1, 1));
    // What came along the way is held against the description.
    through.post("/v1/payment_intents", &[("amount", "5"), ("currency", "eur"), ("colour", "red")]).await;
    let seen = proxy.seen();
    let complaints: Vec<_> = seen.iter().map(|seen| stripe_api::newest().complaints_of(&seen.request)).collect();
    assert_eq!(complaints, [vec![], vec![], vec!["colour: unknown parameter".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_answers_come_as_often_as_was_said_or_stick_to_their_key() {
    let local = LocalStripe::start().await;
    let card = VISA.to_owned();
    let proxy = FaultProxy::start(local.base_url()).await;
    let through = StripeClient::new(&proxy.base);
    proxy.on("POST /v1/payment_intents", 1, Fault::too_many(7));
    proxy.on("POST /v1/payment_intents", 1, Fault::conflict());
    proxy.on("POST /v1/payment_intents", 1, Fault::broken());
    let limited = pay(&through, &card, "k1").await;
    assert_eq!((limited.status.as_u16(), &limited.headers["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(pay(&through, &card, "k1").await.status.as_u16(), 409);
    assert_eq!(pay(&through, &card, "k1").await.status.as_u16(), 500);
    assert_eq!(counted(&local.stripe).await.1, 0, "none of these reached the provider");
    assert_eq!(pay(&through, &card, "k1").await.status.as_u16(), 200);

    for (acted, key) in [(false, "s1"), (true, "s2")] {
        let before = counted(&local.stripe).await.1;
        proxy.on("", 1, Fault::broken_for_good(acted));
        for _ in 0..3 {
            assert_eq!(pay(&through, &card, key).await.status.as_u16(), 500);
        }
        assert_eq!(counted(&local.stripe).await.1 - before, usize::from(acted));
        assert_eq!(pay(&through, &card, &format!("{key} anew")).await.status.as_u16(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_late_or_held_and_a_held_request_outlives_its_client() {
    let local = LocalStripe::start().await;
    let card = VISA.to_owned();
    let proxy = FaultProxy::start(local.base_url()).await;
    let through = StripeClient::new(&proxy.base);
    proxy.on("", 1, Fault::Delay(Duration::from_secs(1)));
    let began = Instant::now();
    assert_eq!(pay(&through, &card, "k1").await.status.as_u16(), 200);
    assert!(began.elapsed() >= Duration::from_secs(1));

    proxy.on("", 1, Fault::HoldAfter);
    let held = tokio::spawn({
        let (base, card) = (proxy.base.clone(), card.clone());
        async move { pay(&StripeClient::new(&base), &card, "k2").await.status.as_u16() }
    });
    proxy.wait_held(1).await;
    assert_eq!(counted(&local.stripe).await.1, 2, "the provider acted");
    assert!(!held.is_finished());
    proxy.release();
    assert_eq!(held.await.unwrap(), 200);

    proxy.on("", 1, Fault::HoldBefore);
    let fields = [&INTENT[..], &[("payment_method", card.as_str())]].concat();
    let asked = tokio::spawn(through.request("/v1/payment_intents", &fields, &[]).send());
    proxy.wait_held(2).await;
    asked.abort();
    assert_eq!(counted(&local.stripe).await.1, 2, "the provider has heard nothing yet");
    proxy.release();
    within(Duration::from_secs(20), "the request arrives after all", async || {
        (counted(&local.stripe).await.1 == 3).then_some(())
    })
    .await;
}

#[test]
fn what_we_send_to_stripe_is_held_against_its_own_description() {
    assert_eq!(stripe_api::newest().version(), "2026-08-26.dahlia");
    let editions = [stripe_api::newest(), stripe_api::old()];
    let intents = "/v1/payment_intents";
    for (method, path, fields) in [
        (
            "POST",
            intents,
            "amount=1200&currency=eur&confirm=true&metadata%5Busher_effect%5D=e1&payment_method_types[]=card",
        ),
        ("POST", "/v1/payment_methods", "type=card&card[token]=tok_visa"),
        ("POST", "/v1/payment_intents/pi_1/capture", "amount_to_capture=5"),
        ("POST", "/v1/payment_intents/pi_1/cancel", "cancellation_reason=requested_by_customer"),
        ("POST", "/v1/refunds", "payment_intent=pi_1&amount=5&reason=duplicate&metadata[a]="),
        ("POST", "/v1/transfers", "amount=5&currency=eur&destination=acct_1&transfer_group=g&expand[0]=destination"),
        ("GET", "/v1/transfers", "created[gte]=5&limit=100&transfer_group=g"),
        ("GET", "/v1/payouts/po_1", ""),
    ] {
        for edition in editions {
            assert_eq!(edition.complaints(method, path, fields), Vec::<String>::new(), "{method} {path} {fields}");
        }
    }
    for (method, path, fields, said) in [
        ("POST", intents, "amount=5&currency=eur&colour=red", "colour: unknown parameter"),
        (
            "POST",
            intents,
            "amount=5&currency=eur&shipping[name]=A&shipping[address][planet]=x",
            "shipping[address][planet]: unknown parameter",
        ),
        ("POST", "/v1/payment_methods", "type=card&card[tokn]=tok_visa", "card[tokn]: unknown parameter"),
        ("POST", "/v1/payment_methods", "type=carrot", "type: \"carrot\" is not one of"),
        ("POST", intents, "currency=eur", "amount: missing"),
        ("POST", intents, "amount=5.5&currency=eur", "amount: \"5.5\" is no integer"),
        ("POST", intents, "amount=5&currency=eur&confirm=yes", "confirm: \"yes\" is no boolean"),
        ("POST", intents, "amount=5&amount=6&currency=eur", "amount: twice"),
        ("POST", intents, "amount[x]=5&currency=eur", "amount: has fields"),
        ("POST", intents, "amount=5&currency=eur&metadata=x", "metadata: "),
        ("POST", "/v1/transfers", "amount=5&currency=eur", "destination: missing"),
        ("GET", "/v1/transfers", "created[since]=5", "created[since]: unknown parameter"),
        ("POST", "/v1/refundz", "", "POST /v1/refundz is not in the description"),
    ] {
        for edition in editions {
            let found = edition.complaints(method, path, fields);
            assert!(found.iter().any(|one| one.starts_with(said)), "{method} {path} {fields}: {found:?}");
        }
    }
}

#[test]
fn the_two_editions_of_the_description_differ_by_years() {
    let fields = "amount=5&currency=eur&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never";
    assert_eq!(stripe_api::newest().complaints("POST", "/v1/payment_intents", fields), Vec::<String>::new());
    let old = stripe_api::old().complaints("POST", "/v1/payment_intents", fields);
    assert_eq!(old, ["automatic_payment_methods[allow_redirects]: unknown parameter"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_takes_what_the_description_allows_and_once_under_a_key() {
    let stand_in = StripeStandIn::start().await;
    let stripe = StripeClient::new(&stand_in.base);
    let transfer =
        [("amount", "500"), ("currency", "eur"), ("destination", "acct_1"), ("metadata[usher_effect]", "t1")];
    let key = [("idempotency-key", "k1")];
    let first = stripe.post_with("/v1/transfers", &transfer, &key).await;
    assert_eq!((first.status.as_u16(), &first.body["amount"]), (200, &json!(500)), "{}", first.body);
    assert_eq!(stripe_api::newest().lacks("transfer", &first.body), Vec::<String>::new());
    let again = stripe.post_with("/v1/transfers", &transfer, &key).await;
    assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&first.body, &"true".parse().unwrap()));
    let other = stripe.post_with("/v1/transfers", &[&transfer[..], &[("description", "x")]].concat(), &key).await;
    assert_eq!((other.status.as_u16(), &other.body["error"]["type"]), (400, &json!("idempotency_error")));
    assert_eq!(stripe.with_metadata("/v1/transfers", "usher_effect", "t1").await, std::slice::from_ref(&first.body));
    let one = stripe.get(&format!("/v1/transfers/{}", id(&first.body))).await;
    assert_eq!(one.body, first.body);

    let wrong = stripe.post("/v1/transfers", &[("amount", "5"), ("currency", "eur"), ("to", "acct_1")]).await;
    let message = wrong.body["error"]["message"].as_str().unwrap();
    assert_eq!(wrong.status.as_u16(), 400);
    assert!(message.contains("to: unknown parameter") && message.contains("destination: missing"), "{message}");
    assert_eq!(stand_in.all("transfers", "").len(), 1);
    assert_eq!(stand_in.seen().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_keeps_connected_accounts_apart() {
    let stand_in = StripeStandIn::start().await;
    let stripe = StripeClient::new(&stand_in.base);
    let fields = [("amount", "500"), ("currency", "eur")];
    for account in ["acct_1", "acct_2"] {
        let headers = [("stripe-account", account), ("idempotency-key", "k1")];
        let payout = stripe.post_with("/v1/payouts", &fields, &headers).await;
        assert_eq!(payout.status.as_u16(), 200, "{}", payout.body);
        assert_eq!(stripe_api::newest().lacks("payout", &payout.body), Vec::<String>::new());
        assert_eq!(stand_in.all("payouts", account), [payout.body]);
    }
    assert_eq!(stripe.list("/v1/payouts").await, Vec::<Value>::new());
    let foreign = stripe.post_with("/v1/payouts", &fields, &[("stripe-account", "cus_1")]).await;
    assert_eq!(foreign.status.as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_lists_newest_first_in_pages_and_windows() {
    let stand_in = StripeStandIn::start().await;
    let stripe = StripeClient::new(&stand_in.base);
    for n in 0..103 {
        let group = if n < 3 { "few" } else { "many" };
        let fields = [("amount", "5"), ("currency", "eur"), ("destination", "acct_1"), ("transfer_group", group)];
        stripe.create("/v1/transfers", &fields).await;
    }
    let newest = stand_in.all("transfers", "").pop().unwrap();
    let all = stripe.list("/v1/transfers").await;
    assert_eq!((all.len(), &all[0]), (103, &newest));
    let count = async |query: &str| {
        let answer = stripe.get(&format!("/v1/transfers?limit=100&{query}")).await;
        answer.body["data"].as_array().unwrap().len()
    };
    assert_eq!(count("transfer_group=few").await, 3);
    let created = newest["created"].as_u64().unwrap();
    assert_eq!(count(&format!("created[gt]={created}")).await, 0);
    assert_eq!(count(&format!("created[gte]={}&transfer_group=few", created - 3600)).await, 3);
}
