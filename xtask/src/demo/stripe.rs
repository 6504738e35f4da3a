//! A stand-in for Stripe inside the demo, which needs neither an account nor Node for it. It answers a charge as Stripe does, once
//! under a key. It is ours, and so proves nothing about Stripe: `cargo xtask demo --all` charges at a peer that is not.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::{
    json,
    sh::{OrFail, Result},
};

/// By idempotency key: what was answered.
type Book = Mutex<HashMap<String, (u16, String)>>;

struct Request {
    /// Method and path.
    line: String,
    key: String,
    body: String,
}

/// Serves for as long as this process lives; its base URL.
pub fn start() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").or_fail("listen for payments")?;
    let address = listener.local_addr().or_fail("listen for payments")?;
    let book = Arc::<Book>::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let book = Arc::clone(&book);
            // An error is the end of one connection.
            thread::spawn(move || serve(stream, &book));
        }
    });
    Ok(format!("http://{address}"))
}

fn serve(stream: TcpStream, book: &Book) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let (status, body) = answer(&request, book);
        let head =
            format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        stream.get_mut().write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    }
    Ok(())
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let line = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { line, key, body: String::from_utf8_lossy(&body).into_owned() }))
}

fn answer(request: &Request, book: &Book) -> (u16, String) {
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    match request.line.as_str() {
        "POST /v1/payment_intents" => {
            if let Some(first) = book.get(&request.key) {
                return first.clone();
            }
            let said = charge(&request.body, book.len() + 1);
            book.insert(request.key.clone(), said.clone());
            said
        }
        // A host that lost an answer asks what is there. Nothing is lost here.
        line if line.starts_with("GET /v1/payment_intents") => {
            (200, r#"{"object":"list","data":[],"has_more":false}"#.to_owned())
        }
        _ => (404, error("invalid_request_error", "resource_missing", "The stand-in does not play this.")),
    }
}

fn charge(form: &str, n: usize) -> (u16, String) {
    let field = |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    if field("payment_method").contains("chargeDeclined") {
        return (402, error("card_error", "card_declined", "Your card was declined."));
    }
    let body = format!(
        r#"{{"id":"pi_demo_{n}","object":"payment_intent","status":"succeeded","amount":{},"currency":{},"metadata":{{}}}}"#,
        field("amount").parse::<u64>().unwrap_or_default(),
        json::quote(field("currency")),
    );
    (200, body)
}

fn error(kind: &str, code: &str, message: &str) -> String {
    let [kind, code, message] = [kind, code, message].map(json::quote);
    format!(r#"{{"error":{{"type":{kind},"code":{code},"message":{message}}}}}"#)
}
