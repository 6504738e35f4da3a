//! A service behind an upstream that does things, and counts how often it did them. `POST /mint` acts once under an
//! `Idempotency-Key`, and gives the first answer again to whoever comes with it later; `POST /once` knows no keys and acts every time.
//! `GET /reads` does nothing but tell how often it was asked.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::http::{self, Request};

/// Something that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub path: String,
    /// Whose, by the body's `ticket`.
    pub ticket: String,
    pub key: String,
}

#[derive(Default)]
struct Book {
    acts: Vec<Act>,
    reads: usize,
    /// By key: the body it came with, and what was answered.
    answers: HashMap<String, (Vec<u8>, String)>,
}

pub struct ActingService {
    pub base: String,
    book: Arc<Mutex<Book>>,
}

impl ActingService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::<Mutex<Book>>::default();
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let book = Arc::clone(&shared);
                // An error is the end of one connection.
                tokio::spawn(async move { serve(client, &book).await });
            }
        });
        Self { base, book }
    }

    /// All that it did, in its order.
    pub fn acts(&self) -> Vec<Act> {
        self.book.lock().unwrap().acts.clone()
    }

    pub fn reads(&self) -> usize {
        self.book.lock().unwrap().reads
    }
}

async fn serve(client: TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let (status, body) = book.lock().unwrap().hear(&request);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        http::answer(&mut client, status, &headers, body.as_bytes()).await?;
    }
    Ok(())
}

impl Book {
    fn hear(&mut self, request: &Request) -> (u16, String) {
        if request.method == "GET" && request.path == "/reads" {
            self.reads += 1;
            return (200, json!({"number": self.reads}).to_string());
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (Some(key), Some(ticket)) = (request.header("idempotency-key"), body["ticket"].as_str()) else {
            return (400, json!({"error": "a key and a ticket are needed"}).to_string());
        };
        let knows_keys = request.path == "/mint";
        if let Some((before, answer)) = self.answers.get(key).filter(|_| knows_keys) {
            let is_same = *before == request.body;
            return if is_same { (200, answer.clone()) } else { (422, json!({"error": "another body"}).to_string()) };
        }
        let answer = json!({"ticket": ticket, "number": self.acts.len()}).to_string();
        let act = Act { path: request.path.clone(), ticket: ticket.to_owned(), key: key.to_owned() };
        self.acts.push(act);
        self.answers.insert(key.to_owned(), (request.body.clone(), answer.clone()));
        (200, answer)
    }
}
