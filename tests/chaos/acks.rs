//! What was acknowledged: in a file, on disk, before it counts.

use std::{
    collections::HashSet,
    fs::File,
    io::Write,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::load::Plan;

/// One acknowledged job.
#[derive(Clone, Debug)]
pub struct Ack {
    pub plan: Plan,
    pub id: Uuid,
    /// The first try; its commit is not before this.
    pub sent: Instant,
    /// The answer was here.
    pub answered: Instant,
    pub tries: u32,
}

pub struct Acks {
    all: Mutex<Vec<Ack>>,
    /// Whose cancel was asked for.
    cancelled: Mutex<HashSet<Uuid>>,
    /// Submits that were refused for good, in words.
    refused: Mutex<Vec<String>>,
    writer: mpsc::UnboundedSender<(String, oneshot::Sender<()>)>,
}

impl Acks {
    pub fn new(file: &Path) -> Self {
        let (writer, lines) = mpsc::unbounded_channel();
        let file = File::create(file).unwrap();
        std::thread::spawn(move || write(file, lines));
        Self { all: Mutex::default(), cancelled: Mutex::default(), refused: Mutex::default(), writer }
    }

    /// Returns when it is on disk.
    pub async fn add(&self, ack: Ack) {
        let (written, done) = oneshot::channel();
        self.writer.send((format!("{} {}\n", ack.id, ack.plan.n), written)).unwrap();
        done.await.unwrap();
        self.all.lock().unwrap().push(ack);
    }

    pub fn count(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    pub fn all(&self) -> Vec<Ack> {
        self.all.lock().unwrap().clone()
    }

    /// The newest ones.
    pub fn latest(&self, count: usize) -> Vec<Uuid> {
        self.all.lock().unwrap().iter().rev().take(count).map(|ack| ack.id).collect()
    }

    pub fn will_cancel(&self, id: Uuid) {
        self.cancelled.lock().unwrap().insert(id);
    }

    pub fn cancelled(&self) -> HashSet<Uuid> {
        self.cancelled.lock().unwrap().clone()
    }

    pub fn refuse(&self, why: String) {
        self.refused.lock().unwrap().push(why);
    }

    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }
}

/// One fsync for those of about 10 ms.
fn write(mut file: File, mut lines: mpsc::UnboundedReceiver<(String, oneshot::Sender<()>)>) {
    while let Some((mut text, first)) = lines.blocking_recv() {
        std::thread::sleep(Duration::from_millis(10));
        let mut waiting = vec![first];
        while let Ok((line, written)) = lines.try_recv() {
            text.push_str(&line);
            waiting.push(written);
        }
        file.write_all(text.as_bytes()).unwrap();
        file.sync_data().unwrap();
        for written in waiting {
            let _ = written.send(());
        }
    }
}
