//! A TCP proxy between one host and PostgreSQL, that can be a bad network.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

#[derive(Default)]
struct Weather {
    /// Counts up; a connection that is older is cut in the middle of its next message of that direction.
    cuts: [AtomicU64; 2],
    /// Milliseconds before each message; it ends by being set to 0.
    delay: AtomicU64,
    /// Nothing gets through until then, and who tried is cut off.
    hole: Mutex<Option<Instant>>,
    /// Connections that ended by a cut or a hole.
    harmed: AtomicU64,
}

pub struct Proxy {
    pub port: u16,
    weather: Arc<Weather>,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::<Weather>::default();
        let shared = Arc::clone(&weather);
        tokio::spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(connection(client, server, Arc::clone(&shared)));
                }
            }
        });
        Self { port, weather }
    }

    /// All connections that are open now end with half of their next message of that direction.
    pub fn cut(&self, direction: Direction) {
        self.weather.cuts[direction as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub fn delay(&self, each: Duration) {
        self.weather.delay.store(u64::try_from(each.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn drop_all(&self, time: Duration) {
        *self.weather.hole.lock().unwrap() = Some(Instant::now() + time);
    }

    pub fn harmed(&self) -> u64 {
        self.weather.harmed.load(Ordering::SeqCst)
    }

    /// Fine weather; cuts that are ordered already still happen.
    pub fn calm(&self) {
        self.delay(Duration::ZERO);
        *self.weather.hole.lock().unwrap() = None;
    }
}

impl Weather {
    /// How long the hole lasts still.
    fn hole(&self) -> Option<Duration> {
        let until = (*self.hole.lock().unwrap())?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

async fn connection(client: TcpStream, server: u16, weather: Arc<Weather>) {
    if let Some(left) = weather.hole() {
        weather.harmed.fetch_add(1, Ordering::SeqCst);
        return tokio::time::sleep(left).await;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let born = [0, 1].map(|n: usize| weather.cuts[n].load(Ordering::SeqCst));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // The end of either direction is the end of both.
    tokio::select! {
        _ = pump(from_client, to_server, Direction::ToServer, born, &weather) => {}
        _ = pump(from_server, to_client, Direction::ToClient, born, &weather) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    born: [u64; 2],
    weather: &Weather,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if let Some(left) = weather.hole() {
            weather.harmed.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(left).await;
            return Ok(());
        }
        let n = direction as usize;
        if weather.cuts[n].load(Ordering::SeqCst) != born[n] {
            weather.harmed.fetch_add(1, Ordering::SeqCst);
            to.write_all(&buffer[..read / 2]).await?;
            return to.flush().await;
        }
        let delay = weather.delay.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
