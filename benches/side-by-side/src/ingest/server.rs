//! The program `ingest` as a plain server process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::queue::Queue;
use super::request::SECRET;
use crate::process::{NOBODY, Process};

/// The maximum time to start and to shut down.
const PATIENCE: Duration = Duration::from_secs(15);

/// A running server. Dropping it kills it.
pub(crate) struct Ingest {
    pub(crate) process: Process,
    /// The address of the server.
    pub(crate) address: String,
    /// From its start to its line "listening".
    pub(crate) ready: Duration,
}

impl Ingest {
    /// Starts `binary` for `queue` and waits until it listens. Its output goes to `log`.
    ///
    /// # Errors
    /// The server ends, or it does not listen in time.
    pub(crate) async fn start(binary: &Path, queue: &Queue, log: PathBuf) -> anyhow::Result<Self> {
        let queue_url = queue.url();
        let endpoint = queue.endpoint();
        let own = [
            ("REPLAY_QUEUE_URL", queue_url.as_str()),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("INGEST_AUTH", "signature"),
            ("INGEST_SECRET", SECRET),
            ("SUBSCRIPTION_CHECK", "off"),
            ("LISTEN_ADDR", "127.0.0.1:0"),
        ];
        let variables = own.into_iter().chain(NOBODY);
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let written = std::fs::metadata(&log).map_or(0, |log| log.len());
        let command = [binary.to_string_lossy().into_owned()];
        let mut process = Process::start(&command, Path::new("/"), variables, &log)?;
        let see = || format!("ingest: see {}", log.display());
        let address = tokio::select! {
            address = listening(&log, written) => address,
            ended = process.ended() => bail!("it ended: {}; {}", ended?, see()),
            () = sleep(PATIENCE) => bail!("it does not listen after {} s; {}", PATIENCE.as_secs(), see()),
        };
        let address = address.with_context(see)?;
        Ok(Self { ready: process.started.elapsed(), process, address })
    }

    /// Sends SIGTERM, as a service manager does, and waits for the end.
    ///
    /// # Errors
    /// The server does not end in time, or its exit status is not 0.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(self.process.pid(), Signal::SIGTERM)?;
        let ended = timeout(PATIENCE, self.process.ended()).await;
        let status = ended.context("ingest does not end after SIGTERM")??;
        ensure!(status.success(), "ingest ended after SIGTERM with {status}");
        Ok(())
    }
}

/// Waits for the line "listening" in `log` after the offset `written`. Returns its address.
async fn listening(log: &Path, written: u64) -> anyhow::Result<String> {
    let started = Instant::now();
    loop {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(written))?;
        let mut text = Vec::new();
        file.take(1 << 16).read_to_end(&mut text)?;
        if let Some(address) = address(&String::from_utf8_lossy(&text)) {
            return Ok(address);
        }
        // Short delays at first, because the startup time is measured.
        let pause = if started.elapsed() < Duration::from_secs(1) { 1 } else { 50 };
        sleep(Duration::from_millis(pause)).await;
    }
}

fn address(text: &str) -> Option<String> {
    let lines = text.lines().flat_map(serde_json::from_str::<Value>);
    let mut listening = lines.filter(|line| line["message"] == "listening");
    listening.next()?["address"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_from_the_listening_log_line() {
        let line = r#"{"level":"INFO","message":"listening","address":"127.0.0.1:43210"}"#;
        let text = format!("warning: no JSON\n{{\"message\":\"starting\"}}\n{line}\n{{\"mess");
        assert_eq!(address(&text).as_deref(), Some("127.0.0.1:43210"));
        assert_eq!(address(&line[..40]), None);
        assert_eq!(address(""), None);
    }
}
