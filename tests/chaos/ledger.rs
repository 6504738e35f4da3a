//! The service behind the upstream: it keeps what it was told before it answers, and knows a repeat by its key.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

use crate::rng::Rng;

/// One effect of the load: the job's number, and which of its calls.
pub type Step = (u64, u64);

#[derive(Default)]
struct Book {
    /// The distinct keys of each step, and how often each came.
    steps: Mutex<HashMap<Step, HashMap<String, u32>>>,
    /// Answers that were slow, and that never went out.
    late: AtomicU64,
    unanswered: AtomicU64,
}

pub struct Ledger {
    pub port: u16,
    book: Arc<Book>,
}

struct Line {
    text: String,
    written: oneshot::Sender<()>,
}

impl Ledger {
    pub async fn start(file: &Path, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::<Book>::default();
        let (writer, lines) = mpsc::channel(1024);
        let file = File::create(file).unwrap();
        std::thread::spawn(move || write(file, lines));
        let shared = Arc::clone(&book);
        tokio::spawn(async move {
            for n in 0.. {
                if let Ok((client, _)) = listener.accept().await {
                    let (book, writer, rng) = (Arc::clone(&shared), writer.clone(), Rng::fork(seed, 0x1ed6e4 + n));
                    // An error is the end of one connection.
                    tokio::spawn(async move { serve(client, &book, &writer, rng).await });
                }
            }
        });
        Self { port, book }
    }

    pub fn steps(&self) -> HashMap<Step, HashMap<String, u32>> {
        self.book.steps.lock().unwrap().clone()
    }

    /// Slow answers, lost answers.
    pub fn moods(&self) -> (u64, u64) {
        (self.book.late.load(Ordering::Relaxed), self.book.unanswered.load(Ordering::Relaxed))
    }
}

/// Groups: one fsync for all that came in meanwhile.
fn write(mut file: File, mut lines: mpsc::Receiver<Line>) {
    while let Some(first) = lines.blocking_recv() {
        let mut group = vec![first];
        while let Ok(line) = lines.try_recv() {
            group.push(line);
        }
        let text: String = group.iter().map(|line| line.text.as_str()).collect();
        file.write_all(text.as_bytes()).unwrap();
        file.sync_data().unwrap();
        for line in group {
            let _ = line.written.send(());
        }
    }
}

struct Request {
    key: String,
    body: Vec<u8>,
}

async fn serve(client: TcpStream, book: &Book, writer: &mpsc::Sender<Line>, mut rng: Rng) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    while let Some(request) = read(&mut client).await? {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (Some(job), Some(step)) = (body["job"].as_u64(), body["step"].as_u64()) else {
            answer(&mut client, "400 Bad Request", "no job, no step").await?;
            continue;
        };
        let (written, done) = oneshot::channel();
        let line = Line { text: format!("{} {job} {step}\n", request.key), written };
        *book.steps.lock().unwrap().entry((job, step)).or_default().entry(request.key).or_default() += 1;
        if writer.send(line).await.is_err() || done.await.is_err() {
            return Ok(());
        }
        // Happened; now the answer may be late or lost.
        match rng.below(1000) {
            0..3 => {
                book.unanswered.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            3..400 => {
                book.late.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(rng.below(400))).await;
            }
            _ => {}
        }
        answer(&mut client, "200 OK", &format!("{job}/{step}")).await?;
    }
    Ok(())
}

/// The next request, if the client has one.
async fn read(client: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let (mut key, mut length, mut first) = (String::new(), 0, true);
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() && !first {
            break;
        }
        first = false;
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "idempotency-key" => value.trim().clone_into(&mut key),
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                "transfer-encoding" => return Err(io::Error::other("the ledger reads no chunks")),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    Ok(Some(Request { key, body }))
}

async fn answer(client: &mut BufReader<TcpStream>, status: &str, body: &str) -> io::Result<()> {
    let text = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.get_mut().write_all(text.as_bytes()).await
}
