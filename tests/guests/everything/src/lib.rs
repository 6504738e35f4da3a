//! Calls everything that the contract has, without the SDK. The component of each published version is kept in `tests/compat`, and
//! must load in every later host of its track. Its result is what each call came to, in order.

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "processor", generate_all });
}

use bindings::{
    exports::usher::plugin::handler::{Failure, Guest, Job},
    usher::plugin::{context, email, jobs, log, progress, push, sms, solana, stripe, types::Error, upstream, webhook},
};

struct Plugin;

impl Guest for Plugin {
    fn process(job: Job) -> Result<String, Failure> {
        let mut said = vec![format!("{}:{}", job.job_type, job.attempt >= 1 && job.attempt <= job.max_attempts)];
        if context::now_ms() == 0 || context::random() == context::random() {
            return Err(Failure::Permanent("no time, or no randomness".to_owned()));
        }
        log::write(log::Level::Info, "hello", &[("n".to_owned(), "1".to_owned())]);
        progress::report(50, "half");
        said.push(word(email::send(&mail()).map(|sent| sent.message_id)));
        said.push(word(
            email::send_template("default", &["a@example.com".to_owned()], "admin-alert", DATA)
                .map(|sent| sent.refused.len()),
        ));
        said.push(word(sms::send(&text()).map(|sent| sent.status)));
        said.push(word(push::send(&notification()).map(|sent| sent.id)));
        said.push(word(upstream::call(&request()).map(|response| response.status)));
        said.push(word(stripe::create_payment_intent(&payment()).map(|outcome| outcome.id)));
        said.push(word(stripe::get_payment_intent("pi_1").map(|outcome| outcome.status)));
        said.push(word(stripe::capture_payment_intent("pi_1", Some(1)).map(|outcome| outcome.amount)));
        said.push(word(stripe::cancel_payment_intent("pi_1", None).map(|outcome| outcome.currency)));
        said.push(word(stripe::create_refund(&refund()).map(|outcome| outcome.raw)));
        said.push(word(stripe::create_payout(&payout()).map(|outcome| outcome.id)));
        said.push(word(stripe::create_transfer(&transfer()).map(|outcome| outcome.id)));
        said.push(word(solana::mint_nft("one", &nft()).map(|minted| minted.slot)));
        said.push(word(jobs::enqueue(&child()).map(|_| ())));
        said.push(word(webhook::publish("everything.done", "{}")));
        match job.payload.as_str() {
            "\"retry\"" => Err(Failure::Retry("again".to_owned())),
            _ => Ok(format!("[{}]", said.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(","))),
        }
    }
}

/// `ok`, or the kind of the refusal.
fn word<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(Error::Denied(_)) => "denied".to_owned(),
        Err(Error::Invalid(_)) => "invalid".to_owned(),
        Err(Error::Rejected(no)) => no.code,
    }
}

const DATA: &str = r#"{"severity":"info","title":"t","message":"m"}"#;

fn mail() -> email::Message {
    email::Message {
        profile: "default".to_owned(),
        to: vec!["a@example.com".to_owned()],
        subject: "Hi".to_owned(),
        text: "Hello".to_owned(),
        html: None,
        reply_to: None,
        attachments: Vec::new(),
    }
}

fn text() -> sms::Message {
    sms::Message { profile: "default".to_owned(), to: "+4915112345678".to_owned(), text: "Hello".to_owned() }
}

fn notification() -> push::Notification {
    push::Notification {
        profile: "default".to_owned(),
        target: push::Target::Topic("news".to_owned()),
        title: "Hi".to_owned(),
        body: "Hello".to_owned(),
        data: vec![("n".to_owned(), "1".to_owned())],
    }
}

fn request() -> upstream::Request {
    upstream::Request {
        upstream: "everything".to_owned(),
        method: upstream::Method::Post,
        path: "/x".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Some(b"{}".to_vec()),
    }
}

fn payment() -> stripe::Payment {
    stripe::Payment {
        amount: 500,
        currency: "eur".to_owned(),
        customer: None,
        payment_method: None,
        confirm: false,
        destination: None,
        application_fee: None,
        extra: Vec::new(),
    }
}

fn refund() -> stripe::Refund {
    stripe::Refund { payment_intent: "pi_1".to_owned(), amount: None, reason: None, extra: Vec::new() }
}

fn payout() -> stripe::Payout {
    stripe::Payout { account: None, amount: 1, currency: "eur".to_owned(), extra: Vec::new() }
}

fn transfer() -> stripe::Transfer {
    stripe::Transfer {
        amount: 1,
        currency: "eur".to_owned(),
        destination: "acct_1".to_owned(),
        transfer_group: None,
        extra: Vec::new(),
    }
}

fn nft() -> solana::Nft {
    solana::Nft {
        name: "Seat".to_owned(),
        symbol: "T".to_owned(),
        uri: "https://files.example.com/a.json".to_owned(),
        recipient: "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM".to_owned(),
        collection: None,
        royalty_bps: 0,
        attributes: Vec::new(),
    }
}

fn child() -> jobs::NewJob {
    jobs::NewJob { job_type: "everything".to_owned(), payload: "{}".to_owned(), key: None, delay_ms: 0 }
}

bindings::export!(Plugin with_types_in bindings);
