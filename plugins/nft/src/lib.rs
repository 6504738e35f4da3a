//! `nft-mint`: a ticket as a token. Its metadata file goes to a storage that names files by their content, so that a repeat
//! does no harm; then the token is minted, once: by the minting service, or by this host on Solana, as the payload's `profile` says.
//!
//! Whether the service mints once under a key is the operator's to know (`upstreams.minting.idempotent`); without that, a mint
//! whose answer was lost waits for a person.

mod sha256;
mod ticket;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
#[cfg(not(feature = "service-only"))]
use usher_plugin::solana::Nft;
use usher_plugin::{
    Failure, Job,
    jobs::NewJob,
    log,
    upstream::{self, Request},
    webhook,
};

use crate::ticket::{Profile, Ticket};

/// The job's result, and the data of the event.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    job_id: String,
    event_id: String,
    venue_id: Option<String>,
    /// The seat or the ticket.
    ticket: String,
    /// `service` or `solana`.
    by: &'static str,
    /// Of the compressed token, as the service names it.
    asset_id: Option<String>,
    /// Address of the mint on Solana.
    mint: Option<String>,
    token_account: Option<String>,
    signature: Option<String>,
    metadata_uri: String,
    recipient: Option<String>,
}

/// What the minting service answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asset {
    asset_id: String,
}

fn process(job: Job<Ticket>) -> Result<Minted, Failure> {
    let ticket = &job.payload;
    let label = ticket.label().ok_or_else(|| Failure::permanent("it names neither a seat nor a ticket"))?;
    let metadata_uri = upload(ticket)?;
    let minted = Minted {
        job_id: job.id.clone(),
        event_id: ticket.event_id.clone(),
        venue_id: ticket.venue_id.clone(),
        ticket: label.to_owned(),
        by: "service",
        asset_id: None,
        mint: None,
        token_account: None,
        signature: None,
        metadata_uri,
        recipient: ticket.recipient.clone(),
    };
    let minted = match ticket.profile {
        Profile::Service => by_service(ticket, minted)?,
        Profile::Solana => on_solana(ticket, minted)?,
    };
    webhook::publish("nft.minted", &minted)?;
    if let Some(email) = &ticket.email {
        news(&mail(ticket, email, &minted), &job.id);
    }
    Ok(minted)
}

/// The address of the metadata file, which is there once this returns.
fn upload(ticket: &Ticket) -> Result<String, Failure> {
    let file = ticket.metadata().to_string().into_bytes();
    let name = sha256::hex(&file);
    let put = Request::put("metadata", format!("/{name}")).header("content-type", "application/json").body(file);
    put.call()?.expect_ok()?;
    Ok(format!("{}{name}", ticket.metadata_base.as_deref().unwrap_or("storage:/")))
}

fn by_service(ticket: &Ticket, minted: Minted) -> Result<Minted, Failure> {
    let wanted = json!({
        "eventId": minted.event_id, "ticketId": minted.ticket, "metadataUri": minted.metadata_uri,
        "recipient": ticket.recipient, "collection": ticket.collection, "royaltyBps": ticket.royalty_bps,
    });
    let Asset { asset_id } = upstream::post_json("minting", "/api/v1/mint/compressed", &wanted)?;
    Ok(Minted { asset_id: Some(asset_id), ..minted })
}

#[cfg(not(feature = "service-only"))]
fn on_solana(ticket: &Ticket, minted: Minted) -> Result<Minted, Failure> {
    let (Some(recipient), Some(_)) = (&ticket.recipient, &ticket.metadata_base) else {
        return Err(Failure::permanent("a mint on Solana needs a recipient and a metadataBase"));
    };
    let mut nft =
        Nft::new(&ticket.name, &minted.metadata_uri, recipient).symbol(&ticket.symbol).royalty_bps(ticket.royalty_bps);
    if let Some(collection) = &ticket.collection {
        nft = nft.collection(collection);
    }
    let made = nft.mint(&minted.ticket)?;
    Ok(Minted {
        by: "solana",
        mint: Some(made.mint),
        token_account: Some(made.token_account),
        signature: Some(made.signature),
        ..minted
    })
}

#[cfg(feature = "service-only")]
fn on_solana(_: &Ticket, _: Minted) -> Result<Minted, Failure> {
    Err(Failure::permanent("this release of the plugin mints by the service only"))
}

/// The token is there by now: a mail that can't be sent is no failure of the job.
fn news(mail: &Value, job: &str) {
    if NewJob::new("send-email", mail).key(format!("nft-minted-{job}")).enqueue().is_err() {
        log::error("minted, and the news was not taken; is send-email served here?", &[]);
    }
}

/// A payload of `send-email`.
fn mail(ticket: &Ticket, email: &str, minted: &Minted) -> Value {
    let token = minted.mint.as_ref().or(minted.asset_id.as_ref());
    json!({
        "to": email,
        "template": "nft-ticket-minted",
        "data": {
            "name": ticket.holder.as_deref().unwrap_or("guest"),
            "eventName": ticket.event_name.as_deref().unwrap_or(&ticket.event_id),
            "seat": minted.ticket,
            "mint": token,
            // A compressed token has none of its own.
            "signature": minted.signature.as_deref().unwrap_or("-"),
        },
    })
}

usher_plugin::plugin!(process);

#[cfg(test)]
mod tests {
    use usher_plugin::testing::Host;

    use super::*;

    const WALLET: &str = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU";

    fn job(more: Value) -> Job<Ticket> {
        let mut payload =
            json!({"eventId": "e1", "seatId": "12A", "name": "Seat 12A", "attributes": {"b": "2", "a": "1"}});
        payload.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Job::sample("nft-mint", serde_json::from_value(payload).expect("fields as the schema has them"))
    }

    #[test]
    fn the_file_is_named_by_its_content_and_the_service_told_its_name() {
        let mut host =
            Host::new().ok(json!({"status": 204})).ok(json!({"status": 201, "json": {"assetId": "asset-1"}}));
        let minted = host.run(|| process(job(json!({"email": "ada@example.com"})))).expect("minted");
        let [upload, mint] = host.effects() else { panic!("two effects") };
        let name = sha256::hex(upload.request["json"].to_string().as_bytes());
        assert_eq!(upload.request["path"], format!("/{name}"));
        assert_eq!(upload.request["json"]["attributes"][0]["trait_type"], "a");
        assert_eq!(mint.request["json"]["metadataUri"], format!("storage:/{name}"));
        assert_eq!((minted.by, minted.asset_id.as_deref()), ("service", Some("asset-1")));
        assert_eq!(
            (host.events()[0].event_type.as_str(), &host.events()[0].data["ticket"]),
            ("nft.minted", &json!("12A"))
        );
        assert_eq!(host.jobs()[0].payload["data"]["mint"], "asset-1");
    }

    #[cfg(not(feature = "service-only"))]
    #[test]
    fn on_solana_the_seat_is_the_label() {
        let made = json!({"mint": "m1", "tokenAccount": "t1", "signature": "s1", "slot": 7});
        let mut host = Host::new().ok(json!({"status": 201})).ok(made);
        let base = json!({"profile": "solana", "recipient": WALLET, "metadataBase": "https://files.example.com/"});
        let minted = host.run(|| process(job(base))).expect("minted");
        let mint = &host.effects()[1];
        assert_eq!((mint.call, &mint.request["label"]), ("solana.mint-nft", &json!("12A")));
        assert_eq!(mint.request["uri"], minted.metadata_uri);
        assert!(minted.metadata_uri.starts_with("https://files.example.com/"));
        assert_eq!((minted.by, minted.mint.as_deref()), ("solana", Some("m1")));
        let mut nowhere = Host::new().ok(json!({"status": 201}));
        let failure = nowhere.run(|| process(job(json!({"profile": "solana", "recipient": WALLET}))));
        assert!(matches!(failure, Err(Failure::Permanent(_))), "the schema says so too");
    }

    #[test]
    fn nothing_is_minted_without_its_file_and_a_refusal_is_final() {
        let mut host = Host::new().ok(json!({"status": 403}));
        assert!(matches!(host.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        assert_eq!(host.effects().len(), 1);
        let mut host = Host::new().ok(json!({"status": 204})).ok(json!({"status": 409, "json": {"error": "no file"}}));
        assert!(matches!(host.run(|| process(job(json!({})))), Err(Failure::Permanent(_))));
        assert!(host.events().is_empty());
    }
}
