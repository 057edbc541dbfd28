//! Checks the deployment around the function, and names a remedy for each problem.
//!
//! The clients read the facts. The modules of this folder evaluate them.

mod function;
mod genesys;
mod ingest;
mod queue;
mod resources;
mod settings;
mod targets;

use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay_genesys::GenesysClient;
use serde::Serialize;
use url::Url;

pub(crate) use genesys::genesys_access;
pub use ingest::is_ingest;

use super::Progress;
use super::remedy::remedy;
use crate::config::{OperatorSettings, Variables};
use crate::deployment::aws::AwsDeployment;
use crate::queue::QueueFacts;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// The checked part works, but not as well as it should, or its state is not known.
    Warning,
    /// The checked part does not work, or loses something.
    Error,
    /// The check was not made, or cannot be made.
    Skipped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// Always present unless the verdict is [`Verdict::Ok`].
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn with_remedy(
        verdict: Verdict,
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name, verdict, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn warning(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with_remedy(Verdict::Warning, name, found, remedy)
    }

    fn error(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with_remedy(Verdict::Error, name, found, remedy)
    }

    fn skipped(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with_remedy(Verdict::Skipped, name, found, remedy)
    }

    /// Returns the check for a failed call. A missing permission is only a warning, because the function may have other
    /// permissions than these credentials.
    fn could_not_check(name: &'static str, error: &AwsError) -> Self {
        let verdict = match error.kind {
            AwsErrorKind::Denied | AwsErrorKind::Throttled => Verdict::Warning,
            AwsErrorKind::RegionNotConfigured
            | AwsErrorKind::Credentials
            | AwsErrorKind::WrongClock
            | AwsErrorKind::NotFound
            | AwsErrorKind::Unreachable
            | AwsErrorKind::Refused => Verdict::Error,
        };
        Self::with_remedy(verdict, name, error.to_string(), remedy(error.kind))
    }

    /// Returns the check for a failed call; an error with this text and remedy if the resource does not exist.
    fn missing_or_failed(
        name: &'static str,
        error: &AwsError,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        if error.kind == AwsErrorKind::NotFound {
            Self::error(name, found, remedy)
        } else {
            Self::could_not_check(name, error)
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct DoctorInput {
    pub variables: Variables,
    /// The error of reading the variables.
    pub unread: Option<AwsError>,
    /// The problems that would stop the function's start-up.
    pub problems: Vec<String>,
    pub settings: Option<OperatorSettings>,
    /// The hosts of Genesys Cloud's API and of its tokens, if the function calls Genesys Cloud.
    pub hosts: Option<(Url, Url)>,
    /// The function, by name or ARN.
    pub function: Option<String>,
    /// The queue, by URL, ARN or name; `None` for the queue that the function drains.
    pub queue: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct DoctorReport {
    pub checks: Vec<Check>,
    /// An error of the calls, if all calls failed because of credentials or the network.
    pub no_answer: Option<AwsError>,
}

impl DoctorReport {
    /// Returns the number of checks with this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let checks = self.checks.iter();
        checks.filter(|it| it.verdict == verdict).count()
    }
}

/// Makes all checks of the replay function, or of ingest, concurrently. Changes nothing; a failed call is a finding like
/// others.
pub async fn run_checks(
    input: &DoctorInput,
    deployment: &AwsDeployment,
    genesys_cloud: Option<&GenesysClient>,
    progress: &dyn Progress,
) -> DoctorReport {
    if is_ingest(&input.variables) {
        progress.begin("examining", None);
        let ended = ingest::checks(input, deployment).await;
        progress.end();
        return report(Vec::new(), [ended]);
    }
    progress.begin("examining", None);
    let (on_function, on_resources, on_genesys) = tokio::join!(
        function::checks(input, deployment),
        resources::checks(input.settings.as_ref(), deployment),
        genesys::checks(input, genesys_cloud),
    );
    progress.end();
    report(settings::checks(input), [on_genesys, on_function, on_resources])
}

fn report(mut checks: Vec<Check>, areas: impl IntoIterator<Item = AreaChecks>) -> DoctorReport {
    let mut answers = Vec::new();
    for (more, answered) in areas {
        checks.extend(more);
        answers.extend(answered);
    }
    // One answer proves that credentials and network are not the cause of every failure.
    let is_outage = |answer: &Result<(), AwsError>| match answer {
        Ok(()) => false,
        Err(error) => matches!(
            error.kind,
            AwsErrorKind::Credentials | AwsErrorKind::WrongClock | AwsErrorKind::Unreachable
        ),
    };
    let no_answer = answers.iter().all(is_outage);
    DoctorReport {
        checks,
        no_answer: answers.into_iter().find_map(Result::err).filter(|_| no_answer),
    }
}

/// The answer of a call to AWS; `None` without a call.
type CallResult = Option<Result<(), AwsError>>;

/// The checks of one area, and the result of each call for them.
type AreaChecks = (Vec<Check>, Vec<Result<(), AwsError>>);

fn answer<T>(answer: &Result<T, AwsError>) -> Result<(), AwsError> {
    answer.as_ref().map(drop).map_err(Clone::clone)
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
