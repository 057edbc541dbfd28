//! Ingest's program as a server process.

use std::collections::BTreeMap;
use std::error::Error;

use genesys_test_support::{LocalAws, Printed, command, read, terminate};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// A listening server.
pub(crate) struct Server {
    child: Child,
    /// The output, read while the program runs, because a full pipe would block the program.
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    address: String,
}

impl Server {
    /// Starts the program with these settings and the local AWS, on a free port.
    ///
    /// # Errors
    /// The output of the program, if it ended before it listened.
    pub(crate) async fn start(
        settings: &BTreeMap<String, String>,
        aws: &LocalAws,
    ) -> Result<Self, Box<dyn Error>> {
        Self::launch(command(crate::INGEST, settings, aws)).await
    }

    /// Starts the program with a limit of open files.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) async fn start_with_open_files(
        limit: u32,
        settings: &BTreeMap<String, String>,
        aws: &LocalAws,
    ) -> Result<Self, Box<dyn Error>> {
        let mut shell = command("sh", settings, aws);
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\""), crate::INGEST]);
        Self::launch(shell).await
    }

    async fn launch(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let std = command.as_std();
        let is_set = std.get_envs().any(|(name, _)| name == "LISTEN_ADDR");
        if !is_set {
            command.env("LISTEN_ADDR", "127.0.0.1:0");
        }
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut printed = String::new();
        while let Some(line) = lines.next_line().await? {
            printed.push_str(&line);
            printed.push('\n');
            let line: Value = serde_json::from_str(&line)?;
            if line["message"] == "listening" {
                let address = line["address"].as_str().ok_or("no address")?.to_owned();
                let stderr = child.stderr.take().ok_or("no stderr")?;
                return Ok(Self {
                    child,
                    stdout: tokio::spawn(rest(printed, lines)),
                    stderr: tokio::spawn(read(stderr)),
                    address,
                });
            }
        }
        Err(printed.into())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a SIGTERM. Returns whether the program succeeded, and its output.
    pub(crate) async fn end(mut self) -> Result<(bool, Printed), Box<dyn Error>> {
        terminate(&self.child)?;
        let status = self.child.wait().await?;
        let printed = Printed { stdout: self.stdout.await?, stderr: self.stderr.await? };
        Ok((status.success(), printed))
    }
}

/// Returns the lines so far and all later ones.
async fn rest(mut printed: String, mut lines: Lines<BufReader<ChildStdout>>) -> String {
    while let Ok(Some(line)) = lines.next_line().await {
        printed.push_str(&line);
        printed.push('\n');
    }
    printed
}
