//! Checks the deployment around the function, and names a remedy for each problem.
//!
//! Ports read the facts. The modules of this folder evaluate facts only.

mod archive;
mod function;
mod genesys;
mod ledger;
mod queue;
mod settings;
mod target;

use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::ReplayTarget;
use genesys_replay::replay::Limits;
use url::Url;

use super::Progress;
use super::remedy::remedy;
use crate::deployment::Deployment;
use crate::genesys::Permissions;
use crate::queue::QueueFacts;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it should be.
    Ok,
    /// The checked part works, but not as well as it should, or its state is not known.
    Warning,
    /// The checked part does not work, or loses something.
    Error,
    /// The check was not made, or cannot be made.
    Skipped,
}

impl Verdict {
    /// Returns the verdict's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The check's name.
    pub name: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// The finding.
    pub found: String,
    /// The remedy; always present unless the verdict is [`Verdict::Ok`].
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn not(
        verdict: Verdict,
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn warning(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(Verdict::Warning, name, found, remedy)
    }

    fn error(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(Verdict::Error, name, found, remedy)
    }

    fn skipped(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(Verdict::Skipped, name, found, remedy)
    }

    /// Returns the check for a failed call. A missing permission is only a warning, because the function may have other
    /// permissions than these credentials.
    fn unasked(name: &'static str, error: &AwsError) -> Self {
        let verdict = match error.kind {
            AwsErrorKind::Denied | AwsErrorKind::Throttled => Verdict::Warning,
            AwsErrorKind::RegionNotConfigured
            | AwsErrorKind::Credentials
            | AwsErrorKind::NotFound
            | AwsErrorKind::Unreachable
            | AwsErrorKind::Refused => Verdict::Error,
        };
        Self::not(verdict, name, error.to_string(), remedy(error.kind))
    }
}

/// The subject of an examination.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The function's variables: name and value.
    pub variables: Vec<(String, String)>,
    /// The error, if the variables could not be read.
    pub unread: Option<AwsError>,
    /// The names of the variables that are read by the programs.
    pub known_variables: Vec<&'static str>,
    /// The problems that would stop the function's start-up.
    pub problems: Vec<String>,
    /// The values of the settings, if the settings are usable.
    pub settings: Option<Known>,
    /// The function, by name or ARN.
    pub function: Option<String>,
    /// The queue, by URL, ARN or name; `None` for the queue that the function drains.
    pub queue: Option<String>,
}

/// The values of usable settings.
#[derive(Clone, Debug)]
pub struct Known {
    /// The ledger's table.
    pub table: String,
    /// The retention of finished ledger items, if it is known.
    pub remember: Option<Duration>,
    /// The limits of the retries.
    pub limits: Limits,
    /// The archive's bucket, and the prefix of its keys.
    pub archive: Option<(String, String)>,
    /// The target of deliveries.
    pub target: ReplayTarget,
    /// The hosts of Genesys Cloud's API and of its tokens, if the function calls Genesys Cloud.
    pub hosts: Option<(Url, Url)>,
}

/// The result of an examination.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// All checks.
    pub checks: Vec<Check>,
    /// An error of the calls, if all calls failed because of credentials or the network.
    pub nothing_asked: Option<AwsError>,
}

impl Examination {
    /// Returns true if any check has the verdict [`Verdict::Error`].
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.checks.iter().any(|it| it.verdict == Verdict::Error)
    }

    /// Returns the number of checks with this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|it| it.verdict == verdict)
            .count()
    }
}

/// Makes all checks concurrently. Changes nothing; a failed call is a finding like others.
pub async fn examine(
    subject: &Subject,
    deployment: &impl Deployment,
    permissions: Option<&impl Permissions>,
    progress: &dyn Progress,
) -> Examination {
    progress.begin("examining", None);
    let known = subject.settings.as_ref();
    let (on_function, on_ledger, on_archive, on_target, on_genesys) = tokio::join!(
        around_the_function(subject, deployment),
        ledger::look(known, deployment),
        archive::look(known, deployment),
        target::look(known, deployment),
        genesys::look(subject, permissions),
    );
    progress.end();
    let mut checks = settings::look(subject);
    let mut answers = Vec::new();
    for (more, answered) in [on_genesys, on_function, on_ledger, on_archive, on_target] {
        checks.extend(more);
        answers.extend(answered);
    }
    // One answer proves that credentials and network are not the cause of every failure.
    let nothing = |answer: &Result<(), AwsError>| match answer {
        Ok(()) => false,
        Err(error) => matches!(
            error.kind,
            AwsErrorKind::Credentials | AwsErrorKind::Unreachable
        ),
    };
    let nothing_asked = answers.iter().all(nothing);
    Examination {
        checks,
        nothing_asked: answers
            .into_iter()
            .find_map(Result::err)
            .filter(|_| nothing_asked),
    }
}

/// The checks of one area, and the result of each call for them.
type Look = (Vec<Check>, Vec<Result<(), AwsError>>);

fn answer<T>(answer: &Result<T, AwsError>) -> Result<(), AwsError> {
    answer.as_ref().map(drop).map_err(Clone::clone)
}

/// Checks the function, its event sources, its queue, and the parking queue.
async fn around_the_function(subject: &Subject, deployment: &impl Deployment) -> Look {
    let mut answers = Vec::new();
    let mut checks = Vec::new();
    let mut facts = None;
    let mut sources = Vec::new();
    if let Some(name) = &subject.function {
        let (function, found) = tokio::join!(deployment.function(name), deployment.sources(name));
        answers.extend([answer(&function), answer(&found)]);
        checks.push(function::check(&function));
        checks.extend(function::check_sources(&found));
        facts = function.ok();
        sources = found.unwrap_or_default();
    } else {
        checks.push(Check::skipped(
            "function",
            "no function was named",
            "name it: --function, or GENESYS_REPLAY_FUNCTION",
        ));
    }
    let drained = function::drained_queue(&sources);
    let Some(queue) = subject.queue.as_deref().or(drained) else {
        checks.push(Check::skipped(
            "queue",
            "it is not known which queue is meant",
            "name it: --queue, or the function that drains it: --function",
        ));
        return (checks, answers);
    };
    let found = deployment.queue(queue).await;
    answers.push(answer(&found));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::unasked("queue", &error));
            return (checks, answers);
        }
    };
    let window = sources.iter().map(|it| it.window).max().unwrap_or_default();
    let timeout = facts.as_ref().map(|it| it.timeout);
    checks.extend(queue::check(&found, timeout, window, drained));
    checks.push(queue::check_redrive(&found, subject.settings.as_ref()));
    if let Some(redrive) = &found.redrive {
        let parking = deployment.queue(&redrive.parking_arn).await;
        answers.push(answer(&parking));
        let remember = subject.settings.as_ref().and_then(|it| it.remember);
        checks.push(queue::check_parking(&found, &parking, remember));
    }
    (checks, answers)
}

/// Formats a time for sentences: `6 min`, `10 d`.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}
