use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::eventually;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What the receiver says to one request.
#[derive(Clone, Debug)]
pub enum Say {
    Status(u16),
    /// With one header.
    With(u16, &'static str, String),
    /// 200, with these headers (each with its line break) and this body.
    Body(String, Vec<u8>),
    /// 200, with all of the request's headers as `x-echo-NAME` and in the body.
    Echo,
    /// Nothing, as long as the other side waits.
    Nothing,
    /// 200 and a body that comes byte by byte, as long as the other side waits.
    Drip,
    /// Nothing, and the connection ends.
    Cut,
    /// 200 and a body without end.
    Endless,
    /// 200 and a body that is small as it comes and huge once it is unpacked.
    Bomb,
}

/// Somebody's HTTP server: keeps all it gets, says what it is told, and 200 where it is told nothing.
pub struct Receiver {
    pub port: u16,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    received: Mutex<Vec<Received>>,
    plan: Mutex<VecDeque<Say>>,
    always: Mutex<Option<Say>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner::default());
        let shared = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, inner }
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.place())
    }

    /// To the next requests, one each.
    pub fn plan(&self, says: impl IntoIterator<Item = Say>) {
        self.inner.plan.lock().unwrap().extend(says);
    }

    /// How much of the plan nobody has met yet.
    pub fn planned(&self) -> usize {
        self.inner.plan.lock().unwrap().len()
    }

    /// From now on it says 200.
    pub fn clear(&self) {
        self.inner.plan.lock().unwrap().clear();
    }

    /// To all requests that no plan is made for.
    pub fn always(&self, say: Say) {
        *self.inner.always.lock().unwrap() = Some(say);
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    pub async fn wait(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests came"), async || {
            Some(self.received()).filter(|received| received.len() >= count)
        })
        .await
    }
}

async fn serve(stream: TcpStream, inner: Arc<Inner>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).ok()?;
    let echo = headers.clone();
    inner.received.lock().unwrap().push(Received { path, headers, body });
    let planned = inner.plan.lock().unwrap().pop_front();
    let say = planned.or_else(|| inner.always.lock().unwrap().clone()).unwrap_or(Say::Status(200));
    let mut stream = stream.into_inner();
    match say {
        Say::Status(status) => {
            answer(&mut stream, status, "").await?;
        }
        Say::With(status, name, value) => {
            answer(&mut stream, status, &format!("{name}: {value}\r\n")).await?;
        }
        Say::Body(headers, body) => {
            let head =
                format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
            stream.shutdown().await.ok()?;
        }
        Say::Echo => {
            let headers: String = echo.iter().map(|(name, value)| format!("x-echo-{name}: {value}\r\n")).collect();
            let head =
                format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", headers.len());
            stream.write_all((head + &headers).as_bytes()).await.ok()?;
            stream.shutdown().await.ok()?;
        }
        Say::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(b"1\r\nx\r\n").await.ok()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Say::Nothing => tokio::time::sleep(Duration::from_secs(600)).await,
        Say::Cut => {}
        Say::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await.ok()?;
            }
        }
        Say::Bomb => {
            // The largest promise that fits: nobody unpacks it, so it need not be a good one.
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10000000\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).await.ok()?;
            stream.write_all(&vec![0; 9_999_990]).await.ok()?;
        }
    }
    Some(())
}

async fn answer(stream: &mut TcpStream, status: u16, headers: &str) -> Option<()> {
    let text = format!("HTTP/1.1 {status} Said\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}
