//! The gate's failpoints, from outside: a file says what happens to the next call that comes by a point, and the host that
//! took it leaves word (`effects::gate::failpoint`).

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use uuid::Uuid;

pub const POINTS: [&str; 4] = ["before-start", "after-start", "after-reply", "after-end"];

pub struct Points {
    dir: PathBuf,
}

/// A host that was hit.
#[derive(Debug)]
pub struct Hit {
    pub pid: u32,
    pub effect: Uuid,
}

impl Points {
    pub fn new(dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    pub fn dir(&self) -> String {
        self.dir.to_str().unwrap().to_owned()
    }

    /// `None`: no such call came by in time.
    pub async fn hit(&self, point: &str, action: &str, whose: &str, patience: Duration) -> Option<Hit> {
        let (armed, beside) = (self.dir.join(point), self.dir.join(format!("{point}.new")));
        fs::write(&beside, format!("{action} {whose}")).unwrap();
        fs::rename(&beside, &armed).unwrap();
        let began = Instant::now();
        loop {
            if let Some(hit) = self.word(point) {
                return Some(hit);
            }
            if began.elapsed() > patience {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if fs::remove_file(&armed).is_ok() {
            return None;
        }
        // Taken in the last moment.
        for _ in 0..200 {
            if let Some(hit) = self.word(point) {
                return Some(hit);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    fn word(&self, point: &str) -> Option<Hit> {
        let file = self.dir.join(format!("{point}.hit"));
        let text = fs::read_to_string(&file).ok()?;
        fs::remove_file(&file).unwrap();
        let mut words = text.split_whitespace().skip(1);
        let (pid, effect) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        Some(Hit { pid, effect })
    }
}
