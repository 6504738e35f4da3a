//! A stand-in for the part of Stripe that no peer here has: transfers, and payouts of connected accounts. It is ours, so it
//! proves only that what we send is allowed by Stripe's description and carries its key; nothing about Stripe itself.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::{
    http::{self, Request},
    stripe_api,
};

#[derive(Default)]
struct Books {
    seen: Vec<Request>,
    kept: Vec<Kept>,
    /// What a key was first used for, and its answer.
    keys: HashMap<(String, String), (String, Value)>,
}

struct Kept {
    /// `Stripe-Account`; empty is the platform's own.
    account: String,
    /// `transfers` or `payouts`.
    collection: String,
    object: Value,
}

/// Plays `POST` and `GET` of `/v1/transfers` and `/v1/payouts`, and `GET` of one of them.
pub struct StripeStandIn {
    pub base: String,
    books: Arc<Mutex<Books>>,
}

/// A status, its headers, its body.
type Reply = (u16, Vec<(String, String)>, Value);

impl StripeStandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::<Mutex<Books>>::default();
        let all = Arc::clone(&books);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let books = Arc::clone(&all);
                // An error is the end of one connection.
                tokio::spawn(async move { connection(client, &books).await });
            }
        });
        Self { base, books }
    }

    /// All requests, refused ones too.
    pub fn seen(&self) -> Vec<Request> {
        self.books.lock().unwrap().seen.clone()
    }

    /// What an account has, oldest first. The platform's own account is "".
    pub fn all(&self, collection: &str, account: &str) -> Vec<Value> {
        let books = self.books.lock().unwrap();
        let of_it = books.kept.iter().filter(|kept| kept.collection == collection && kept.account == account);
        of_it.map(|kept| kept.object.clone()).collect()
    }
}

async fn connection(client: TcpStream, books: &Mutex<Books>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let (status, mut headers, body) = books.lock().unwrap().answer(&request);
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        http::answer(&mut client, status, &headers, body.to_string().as_bytes()).await?;
    }
    Ok(())
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    (status, Vec::new(), json!({"error": {"type": kind, "message": message}}))
}

fn refused(message: &str) -> Reply {
    error(400, "invalid_request_error", message)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Books {
    fn answer(&mut self, request: &Request) -> Reply {
        self.seen.push(request.clone());
        let authorization = request.header("authorization").unwrap_or_default();
        if !authorization.starts_with("Bearer sk_test_") && !authorization.starts_with("Basic ") {
            return error(401, "invalid_request_error", "no test key");
        }
        let account = request.header("stripe-account").unwrap_or_default();
        if !account.is_empty() && !account.starts_with("acct_") {
            return error(403, "invalid_request_error", &format!("{account} is no connected account"));
        }
        let (path, query) = request.split();
        let body = request.text();
        if request.method == "POST" && request.header("content-type") != Some("application/x-www-form-urlencoded") {
            return refused("the body is not a form");
        }
        let complaints = stripe_api::newest().complaints_of(request);
        if !complaints.is_empty() {
            return refused(&complaints.join("; "));
        }
        let parts: Vec<_> = path.trim_start_matches("/v1/").split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", [collection @ ("transfers" | "payouts")]) => self.create_once(request, account, collection, &body),
            ("GET", [collection @ ("transfers" | "payouts")]) => self.list(account, collection, query),
            ("GET", [collection @ ("transfers" | "payouts"), id]) => {
                let mut of_it = self.kept.iter().filter(|kept| kept.account == account);
                match of_it.find(|kept| kept.collection == *collection && kept.object["id"] == *id) {
                    Some(kept) => (200, Vec::new(), kept.object.clone()),
                    None => error(404, "invalid_request_error", &format!("no such {collection}: {id}")),
                }
            }
            _ => error(404, "invalid_request_error", "the stand-in does not play this"),
        }
    }

    /// Under one key once: the first answer again, or a refusal when the parameters differ.
    fn create_once(&mut self, request: &Request, account: &str, collection: &str, body: &str) -> Reply {
        let Some(key) = request.header("idempotency-key") else {
            return (200, Vec::new(), self.create(account, collection, body));
        };
        let of_what = format!("{collection}?{body}");
        let place = (account.to_owned(), key.to_owned());
        if let Some((first, answer)) = self.keys.get(&place) {
            if *first != of_what {
                return error(400, "idempotency_error", "the key was first used with other parameters");
            }
            return (200, vec![("idempotent-replayed".to_owned(), "true".to_owned())], answer.clone());
        }
        let answer = self.create(account, collection, body);
        self.keys.insert(place, (of_what, answer.clone()));
        (200, Vec::new(), answer)
    }

    fn create(&mut self, account: &str, collection: &str, body: &str) -> Value {
        let id = |kind: &str| format!("{kind}_{}", uuid::Uuid::new_v4().simple());
        let mut object = match collection {
            "transfers" => json!({
                "id": id("tr"), "object": "transfer", "amount_reversed": 0, "destination_payment": id("py"),
                "reversals": {"object": "list", "data": [], "has_more": false, "url": "/v1/transfers/reversals"},
                "reversed": false, "source_transaction": null, "source_type": "card", "transfer_group": null,
            }),
            _ => json!({
                "id": id("po"), "object": "payout", "arrival_date": now(), "automatic": false, "destination": null,
                "failure_balance_transaction": null, "failure_code": null, "failure_message": null,
                "method": "standard", "original_payout": null, "reconciliation_status": "not_applicable",
                "reversed_by": null, "source_type": "card", "statement_descriptor": null, "status": "pending",
                "type": "bank_account",
            }),
        };
        object["balance_transaction"] = id("txn").into();
        object["created"] = now().into();
        object["description"] = Value::Null;
        object["livemode"] = false.into();
        object["metadata"] = json!({});
        for (name, value) in http::fields(body) {
            if let Some(name) = name.strip_prefix("metadata[").and_then(|name| name.strip_suffix(']')) {
                object["metadata"][name] = value.into();
            } else if name == "amount" {
                object["amount"] = value.parse::<i64>().unwrap_or_default().into();
            } else if !name.starts_with("expand") {
                object[name] = value.into();
            }
        }
        let (account, collection) = (account.to_owned(), collection.to_owned());
        self.kept.push(Kept { account, collection, object: object.clone() });
        object
    }

    /// Newest first, a page at a time.
    fn list(&self, account: &str, collection: &str, query: &str) -> Reply {
        let fields = http::fields(query);
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
        let fits = |object: &Value| {
            let created = object["created"].as_u64().unwrap_or_default();
            number("created[gte]").is_none_or(|at| created >= at)
                && number("created[gt]").is_none_or(|at| created > at)
                && number("created[lte]").is_none_or(|at| created <= at)
                && number("created[lt]").is_none_or(|at| created < at)
                && ["transfer_group", "destination", "status"]
                    .iter()
                    .all(|name| field(name).is_none_or(|value| object[name] == value))
        };
        let of_it = self.kept.iter().rev().filter(|kept| kept.account == account && kept.collection == collection);
        let mut left: Vec<_> = of_it.map(|kept| &kept.object).filter(|object| fits(object)).collect();
        if let Some(last) = field("starting_after") {
            let Some(at) = left.iter().position(|object| object["id"] == last) else {
                return refused(&format!("starting_after: no such object: {last}"));
            };
            left.drain(..=at);
        }
        let page = usize::try_from(number("limit").unwrap_or(10).clamp(1, 100)).unwrap_or(100);
        let has_more = left.len() > page;
        left.truncate(page);
        let body = json!({"object": "list", "data": left, "has_more": has_more, "url": format!("/v1/{collection}")});
        (200, Vec::new(), body)
    }
}
