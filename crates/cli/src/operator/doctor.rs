//! Whether everything around the function is as it should be, and what to do where it is not.
//!
//! What is asked goes through ports; what an answer means is decided in the folder, on facts alone.

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

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not as well as it should, or it is not known.
    Warning,
    /// It does not work, or loses something.
    Error,
    /// It was not looked at, or cannot be.
    Skipped,
}

impl Verdict {
    /// The word for it.
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

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it was found.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; there is always something where it is not as it should be.
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

    /// What could not be asked. That these credentials lack a permission says nothing of the function's.
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

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The variables, by name.
    pub variables: Vec<(String, String)>,
    /// Why they could not be read, if so.
    pub unread: Option<AwsError>,
    /// The variables that something reads.
    pub known_variables: Vec<&'static str>,
    /// What the function would refuse to start with.
    pub problems: Vec<String>,
    /// What the settings say, where they can be used.
    pub settings: Option<Known>,
    /// The function, by name or ARN.
    pub function: Option<String>,
    /// The queue, by URL, ARN or name, where it is not left to the function.
    pub queue: Option<String>,
}

/// What usable settings say.
#[derive(Clone, Debug)]
pub struct Known {
    /// The table of the ledger.
    pub table: String,
    /// How long a finished event is remembered, where that is known.
    pub remember: Option<Duration>,
    /// The limits of the retries.
    pub limits: Limits,
    /// The bucket of the archive and the prefix in it.
    pub archive: Option<(String, String)>,
    /// Where events are delivered.
    pub target: ReplayTarget,
    /// The hosts of Genesys Cloud's API and of its tokens, if it is called.
    pub hosts: Option<(Url, Url)>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// Why nothing at all could be asked, if so.
    pub nothing_asked: Option<AwsError>,
}

impl Examination {
    /// Whether anything does not work.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.checks.iter().any(|it| it.verdict == Verdict::Error)
    }

    /// How many were found so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|it| it.verdict == verdict)
            .count()
    }
}

/// Looks at everything side by side. Nothing is changed, and what cannot be asked is a finding like others.
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
    // One answer is enough to know that credentials and network are not to blame for everything.
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

/// What was found in one place, and whether each of the questions asked there was answered.
type Look = (Vec<Check>, Vec<Result<(), AwsError>>);

fn answer<T>(answer: &Result<T, AwsError>) -> Result<(), AwsError> {
    answer.as_ref().map(drop).map_err(Clone::clone)
}

/// The function, what hands it messages, the queue that they come from, and where that one parks them.
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

/// For sentences: `6 min`, `10 d`.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}
