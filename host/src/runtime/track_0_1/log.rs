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
        let level = match level {
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        self.log.write(level, &text);
        Ok(())
    }
}

/// Lossy by contract: it goes to the log, and to those who follow the job.
impl progress::Host for State {
    async fn report(&mut self, percent: u8, note: String) -> wasmtime::Result<()> {
        self.log.progress(percent, &note);
        Ok(())
    }
}
