//! The end of the command: its exit code and its last message.

use std::process::ExitCode;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::error::with_causes;
use genesys_replay::genesys::GenesysError;
use genesys_replay_cli::operator::queue_reading::ReadInterrupted;
use genesys_replay_settings::SettingsError;

use crate::terminal;

/// The end of a command without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command ended without findings.
    Success,
    /// The command ended with findings for a person, and the output lists them.
    Findings,
    /// The command stopped before the end because of a limit, and printed the command that continues.
    Aborted,
    /// Ctrl-C.
    Interrupted,
}

impl ExitStatus {
    /// Returns [`ExitStatus::Findings`] or [`ExitStatus::Success`].
    pub(crate) const fn of_findings(has_findings: bool) -> Self {
        if has_findings { Self::Findings } else { Self::Success }
    }
}

/// An error with a remedy and an exit code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct UserError {
    pub(crate) what: String,
    /// More lines for the message.
    details: Vec<String>,
    pub(crate) remedy: String,
    code: u8,
}

impl UserError {
    /// Returns a refusal: nothing was changed.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), details: Vec::new(), remedy: remedy.into(), code: 3 }
    }

    /// Adds lines to the message.
    pub(crate) fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// Returns the error for an answer of AWS or Genesys Cloud with which the command cannot continue.
    pub(crate) fn upstream(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: 4, ..Self::new(what, remedy) }
    }
}

/// The exit codes, for `--help` and the man page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done, no findings
  1    done, with findings: the output lists them
  2    the command line is wrong
  3    refused: nothing was changed, the message has the reason and the remedy
  4    AWS or Genesys Cloud was unreachable or rejected a request: credentials, permissions, limits
  5    stopped before the end, such as by --abort-at; the message has the command that continues
  130  interrupted; the message has the progress";

/// Prints the error with its remedy, and returns the exit code.
pub(crate) fn code(ended: anyhow::Result<ExitStatus>) -> ExitCode {
    let error = match ended {
        Ok(ExitStatus::Success) => return ExitCode::SUCCESS,
        Ok(ExitStatus::Findings) => return ExitCode::from(1),
        Ok(ExitStatus::Aborted) => return ExitCode::from(5),
        Ok(ExitStatus::Interrupted) => return ExitCode::from(130),
        Err(error) => error,
    };
    if let Some(interrupted) = error.downcast_ref::<ReadInterrupted>() {
        terminal::say(&interrupted.to_string());
        return ExitCode::from(130);
    }
    terminal::say(&format!("error: {}", with_causes(error.as_ref())));
    let details = error.downcast_ref::<UserError>().map(|error| error.details.as_slice());
    for detail in details.unwrap_or_default() {
        terminal::say(&format!("  {detail}"));
    }
    let (code, remedy) = remedy(&error);
    if let Some(remedy) = remedy {
        terminal::say(&format!("  hint: {remedy}"));
    }
    ExitCode::from(code)
}

fn remedy(error: &anyhow::Error) -> (u8, Option<String>) {
    if let Some(error) = error.downcast_ref::<UserError>() {
        return (error.code, Some(error.remedy.clone()));
    }
    if let Some(error) = error.downcast_ref::<AwsError>() {
        let code = match error.kind {
            AwsErrorKind::RegionNotConfigured | AwsErrorKind::NotFound => 3,
            AwsErrorKind::Credentials
            | AwsErrorKind::WrongClock
            | AwsErrorKind::Denied
            | AwsErrorKind::Throttled
            | AwsErrorKind::Unreachable
            | AwsErrorKind::Refused => 4,
        };
        let remedy = genesys_replay_cli::operator::remedy::remedy(error.kind);
        return (code, Some(remedy.to_owned()));
    }
    if let Some(error) = error.downcast_ref::<GenesysError>() {
        let page = error.failure_code();
        return (4, Some(format!("genesys-replay explain {page}")));
    }
    if error.is::<SettingsError>() {
        let remedy =
            "set the variables in the environment, or name the function that has them: --function";
        return (3, Some(remedy.to_owned()));
    }
    (3, None)
}
