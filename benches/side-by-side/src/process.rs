//! A measured process and its use of processor and memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// A region and invalid credentials.
pub(crate) const NOBODY: [(&str, &str); 5] = [
    ("AWS_REGION", "eu-central-1"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "an-invalid-key"),
    ("AWS_SESSION_TOKEN", "an-invalid-session"),
];

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// Returns the time of its start.
    pub(crate) started: Instant,
}

impl Process {
    /// Starts `command` in `directory` with these variables and `PATH` only. Its output goes to `log`.
    ///
    /// # Errors
    /// The program does not exist, or `log` cannot be written.
    pub(crate) fn start(
        command: &[String],
        directory: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| log.display().to_string())?;
        let (program, arguments) = command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(directory)
            // No variable of the caller, because a proxy or an AWS profile would be measured, too.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("it does not start: {program}"))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid: Pid::from_raw(i32::try_from(pid)?), started })
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Returns the processor time of all its threads.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(clock_getcpuclockid(self.pid)?)?.into())
    }

    /// Returns the peak memory since its start or since [`Self::forget_peak`], in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        self.memory("VmHWM:")
    }

    /// Returns its memory, in bytes.
    pub(crate) fn memory_now(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// Resets the peak to its current memory.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.pid);
        fs::write(&path, "5").with_context(|| path)
    }

    fn memory(&self, what: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.with_context(|| format!("no {what} in /proc"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends the process and waits for its exit.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
