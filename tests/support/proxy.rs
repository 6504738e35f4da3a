use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A way to PostgreSQL that can be closed or lead elsewhere, counts what goes along it, and may change what the server says.
pub struct Proxy {
    /// The same database, through it.
    pub url: String,
    /// Host and port.
    server: Arc<Mutex<String>>,
    is_open: watch::Sender<bool>,
    statements: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn start(url: &str) -> Self {
        Self::that_changes(url, |_| {}).await
    }

    /// `change` sees each piece of the server's answers as it comes, and keeps its length.
    pub async fn that_changes(url: &str, change: fn(&mut [u8])) -> Self {
        let (user, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let server = Arc::new(Mutex::new(server.to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Without TLS, so that the messages can be read.
        let url = format!("{user}@{}/{database}?sslmode=disable", listener.local_addr().unwrap());
        let (is_open, state) = watch::channel(true);
        let statements = Arc::new(AtomicU64::new(0));
        let (counter, leads_to) = (Arc::clone(&statements), Arc::clone(&server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = leads_to.lock().unwrap().clone();
                tokio::spawn(connection(client, server, state.clone(), Arc::clone(&counter), change));
            }
        });
        Self { url, server, is_open, statements }
    }

    /// From now on new connections go to the server of this URL.
    pub fn lead_to(&self, url: &str) {
        let (_, rest) = url.rsplit_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        server.clone_into(&mut self.server.lock().unwrap());
    }

    /// Ends all connections, and each new one at once.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// How many the clients have executed: messages Query and Execute of the protocol.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }
}

async fn connection(
    client: TcpStream,
    server: String,
    mut is_open: watch::Receiver<bool>,
    statements: Arc<AtomicU64>,
    change: fn(&mut [u8]),
) {
    if !*is_open.borrow_and_update() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The end of either direction is the end of both.
    tokio::select! {
        _ = requests(from_client, to_server, &statements) => {}
        _ = answers(from_server, to_client, change) => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    statements: &AtomicU64,
) -> Result<(), std::io::Error> {
    // The first message has no type; every other is one byte of type, then its length.
    let mut is_first = true;
    loop {
        let mut message = Vec::new();
        if !is_first {
            message.push(from.read_u8().await?);
        }
        if matches!(message.as_slice(), b"Q" | b"E") {
            statements.fetch_add(1, Ordering::Relaxed);
        }
        let length = from.read_u32().await?;
        message.extend(length.to_be_bytes());
        let at = message.len();
        message.resize(at + length as usize - 4, 0);
        from.read_exact(&mut message[at..]).await?;
        to.write_all(&message).await?;
        is_first = false;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: fn(&mut [u8])) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        change(&mut buffer[..read]);
        to.write_all(&buffer[..read]).await?;
    }
}
