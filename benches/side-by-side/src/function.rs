//! The process of a Lambda function under a Runtime API.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::body::Bytes;
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::candidate::Candidate;
use crate::process::{NOBODY, Process};
use crate::runtime_api::{RuntimeApi, TIMEOUT, TimedResponse};

/// A running function. Dropping it kills its process.
pub(crate) struct Function {
    process: Process,
    api: RuntimeApi,
}

impl Function {
    /// Starts a function with these variables and those of Lambda. Its output goes to `log`.
    pub(crate) async fn start(
        candidate: &Candidate,
        variables: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let api = RuntimeApi::start().await?;
        let variables = lambda_variables(&api).into_iter().chain(variables.iter().cloned());
        let Candidate { command, directory, .. } = candidate;
        let process = Process::start(command, directory, variables, log);
        Ok(Self { process: process.with_context(|| candidate.name)?, api })
    }

    /// Invokes the function with an event and waits for the response.
    ///
    /// # Errors
    /// The process ended, or it did not respond in time.
    pub(crate) async fn invoke(&mut self, payload: Bytes) -> anyhow::Result<TimedResponse> {
        tokio::select! {
            answered = self.api.invoke(payload) => answered.context("the Runtime API is gone"),
            ended = self.process.ended() => bail!("the process ended: {}", ended?),
            () = sleep(TIMEOUT) => bail!("no answer after {} s", TIMEOUT.as_secs()),
        }
    }

    /// Returns the start of its process.
    pub(crate) fn started(&self) -> Instant {
        self.process.started
    }

    /// Returns the processor time of all its threads.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        self.process.processor_time()
    }

    /// Returns its peak memory, in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        self.process.peak_memory()
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Ends the process and waits for its exit.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

/// Returns the variables that Lambda sets and runtimes read.
fn lambda_variables(api: &RuntimeApi) -> Vec<(String, String)> {
    let address = api.address().to_string();
    let own = [
        ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "replay"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/replay"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("TZ", ":UTC"),
        ("LANG", "en_US.UTF-8"),
    ];
    let all = own.into_iter().chain(NOBODY);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
