//! A stand-in for a shop behind an upstream: knows every order but one, and hears of confirmations.

use std::io;

use serde_json::json;
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use crate::support::http;

pub struct Shop {
    pub base: String,
}

impl Shop {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // An error is the end of one connection.
                tokio::spawn(serve(client));
            }
        });
        Self { base }
    }
}

async fn serve(client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = http::read(&mut client).await? {
        let (status, body) = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/orders/unknown") => (404, json!({"error": "no such order"})),
            ("GET", _) => (200, json!({"total": 4200, "currency": "EUR"})),
            _ => (204, json!(null)),
        };
        let body = if status == 204 { String::new() } else { body.to_string() };
        http::answer(&mut client, status, &[], body.as_bytes()).await?;
    }
    Ok(())
}
