//! The real program, run to its end.

use std::error::Error;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The output and the exit code of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Returns the result of a program that has ended.
    pub(crate) fn of(output: Output) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Returns stdout if the program ended with this exit code.
    pub(crate) fn with(self, code: i32) -> Result<String, Box<dyn Error>> {
        if self.code == Some(code) {
            Ok(self.stdout)
        } else {
            Err(format!("{self:?} instead of exit code {code}").into())
        }
    }

    /// Returns stdout parsed as one JSON document.
    pub(crate) fn json(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.stdout).map_err(|error| format!("{error}: {self:?}"))?)
    }

    /// Returns true if stdout or stderr contains this text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }
}

/// Returns the program with only the path of this process's environment, credentials for a local AWS, and a folder for
/// states in the build folder.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genesys-replay"));
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-central-1")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the program with these variables to its end.
pub(crate) async fn run(
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Ran, Box<dyn Error>> {
    let mut program = program(arguments);
    let output = program.envs(variables.iter().copied()).output().await?;
    Ran::of(output)
}

/// Runs the program with these variables and this stdin to its end.
pub(crate) async fn run_with(
    stdin: &[u8],
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Ran, Box<dyn Error>> {
    let mut child =
        program(arguments).envs(variables.iter().copied()).stdin(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().ok_or("no stdin")?;
    pipe.write_all(stdin).await?;
    drop(pipe);
    Ran::of(child.wait_with_output().await?)
}
