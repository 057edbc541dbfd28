//! A function's process: started, invoked, and its use of processor and memory.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::body::Bytes;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::contender::Contender;
use crate::runtime_api::{Answered, RuntimeApi, TIMEOUT};

/// A running function; dropping it kills its process.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    api: RuntimeApi,
    /// When the process was started.
    pub(crate) started: Instant,
}

impl Process {
    /// Starts a function with these variables beside Lambda's own; its output goes to `log`.
    pub(crate) async fn start(
        contender: &Contender,
        variables: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let api = RuntimeApi::start().await?;
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| log.display().to_string())?;
        let (program, arguments) = contender.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&contender.directory)
            // Nothing of the caller's: a proxy or an AWS profile would be measured too.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(lambda_variables(&api))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start: {program}", contender.name))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self {
            child,
            pid: Pid::from_raw(i32::try_from(pid)?),
            api,
            started,
        })
    }

    /// Hands the function an event and waits for the answer.
    ///
    /// # Errors
    /// The process ended before, or did not answer in the time it has.
    pub(crate) async fn invoke(&mut self, payload: Bytes) -> anyhow::Result<Answered> {
        tokio::select! {
            answered = self.api.invoke(payload) => answered.context("the Runtime API is gone"),
            ended = self.child.wait() => bail!("the process ended: {}", ended?),
            () = sleep(TIMEOUT) => bail!("no answer after {} s", TIMEOUT.as_secs()),
        }
    }

    /// Processor time of all its threads so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(clock_getcpuclockid(self.pid)?)?.into())
    }

    /// The most memory it ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.context("no VmHWM in /proc")?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends the process and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// What Lambda sets itself, as far as runtimes read it.
fn lambda_variables(api: &RuntimeApi) -> Vec<(&'static str, String)> {
    [
        ("AWS_LAMBDA_RUNTIME_API", api.address().to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "replay".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/replay".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_DEFAULT_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "a-key-of-nobody".to_owned()),
        ("AWS_SESSION_TOKEN", "a-session-of-nobody".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
    ]
    .into()
}
