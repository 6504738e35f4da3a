use super::{
    State,
    wit::{
        log::{self, Level},
        progress,
    },
};

impl log::Host for State {
    async fn write(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let mut text = message;
        for (name, value) in fields.iter().take(32) {
            text.push_str(&format!(" {name}={value}"));
        }
        let Some(line) = self.log.admit(&text) else { return Ok(()) };
        let name = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.log.keep(name, &line);
        let (job, job_type) = (self.job, &self.job_type);
        match level {
            Level::Debug => tracing::debug!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
            Level::Info => tracing::info!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
            Level::Warn => tracing::warn!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
            Level::Error => tracing::error!(job.id = %job, job.kind = job_type, guest.line = line, "guest log"),
        }
        if matches!(level, Level::Warn | Level::Error) {
            self.log.remember(&line);
        }
        Ok(())
    }
}

/// Lossy by contract: nobody listens yet but the log.
impl progress::Host for State {
    async fn report(&mut self, percent: u8, note: String) -> wasmtime::Result<()> {
        if let Some(line) = self.log.admit(&note) {
            tracing::debug!(job.id = %self.job, progress.percent = percent.min(100), guest.line = line, "guest progress");
        }
        Ok(())
    }
}
