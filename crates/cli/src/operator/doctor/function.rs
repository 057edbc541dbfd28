//! Checks the function, its event sources, its queue, and the parking queue.

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::Arn;
use genesys_replay_version::RELEASE;

use super::{AreaChecks, Check, DoctorInput, Verdict, answer, queue, shown};
use crate::deployment::aws::AwsDeployment;
use crate::deployment::{FunctionFacts, SourceFacts};

const FUNCTION: &str = "function";
const VERSION: &str = "version";
const SOURCE: &str = "event source";

/// The maximum batch size that the visibility timeout is made for.
const MAX_BATCH_SIZE: u32 = 10;

pub(super) async fn checks(input: &DoctorInput, deployment: &AwsDeployment) -> AreaChecks {
    let mut checks = Vec::new();
    let mut answers = Vec::new();
    let mut timeout = None;
    let mut sources = Vec::new();
    if let Some(name) = &input.function {
        let (function, found) = tokio::join!(deployment.function(name), deployment.sources(name));
        answers.extend([answer(&function), answer(&found)]);
        checks.push(check(&function));
        checks.extend(function.iter().map(check_release));
        // A function that does not exist has no mapping either, and its remedy would mislead.
        let is_missing = function.as_ref().is_err_and(|error| error.kind == AwsErrorKind::NotFound);
        if !is_missing {
            checks.extend(check_sources(&found));
        }
        timeout = function.ok().map(|it| it.timeout);
        sources = found.unwrap_or_default();
    } else {
        let remedy = "name the function: --function, or GENESYS_REPLAY_FUNCTION";
        checks.push(Check::skipped(FUNCTION, "no function was named", remedy));
    }
    let drained = drained_queue(&sources);
    let Some(name) = input.queue.as_deref().or(drained) else {
        let remedy = "name the queue (--queue), or the function that drains it (--function)";
        let found = "the queue is not named";
        checks.push(Check::skipped(queue::QUEUE, found, remedy));
        return (checks, answers);
    };
    let found = deployment.queue(name).await;
    answers.push(answer(&found));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::could_not_check(queue::QUEUE, &error));
            return (checks, answers);
        }
    };
    let window = sources.iter().map(|it| it.window).max().unwrap_or_default();
    checks.push(queue::check(&found, drained));
    checks.push(queue::check_visibility(found.visibility, timeout, window));
    checks.push(queue::check_message_size(&found));
    let settings = input.settings.as_ref();
    checks.push(queue::check_redrive(&found, settings));
    if let Some(redrive) = &found.redrive {
        let parking = deployment.queue(&redrive.parking_arn).await;
        answers.push(answer(&parking));
        let remember = settings.map(|it| it.remember);
        checks.push(queue::check_parking(&found, &parking, remember));
    }
    (checks, answers)
}

pub(super) fn check(facts: &Result<FunctionFacts, AwsError>) -> Check {
    let FunctionFacts { name, state, timeout, .. } = match facts {
        Ok(facts) => facts,
        Err(error) => {
            let found = "the function does not exist in this account and region";
            let remedy = "check --function, --region and --profile";
            return Check::missing_or_failed(FUNCTION, error, found, remedy);
        }
    };
    match state.as_deref() {
        None | Some("Active") => {
            Check::ok(FUNCTION, format!("{name}, {} an invocation", shown(*timeout)))
        }
        // AWS deactivates a function without calls; the next call activates the function again.
        Some("Inactive") => Check::ok(FUNCTION, format!("{name} is inactive until the next call")),
        Some("Pending") => Check::warning(
            FUNCTION,
            format!("{name} is not ready yet"),
            "wait a minute, then run doctor again",
        ),
        Some(other) => Check::error(
            FUNCTION,
            format!("{name} is {other}"),
            "check StateReason in: aws lambda get-function-configuration; then deploy the function again",
        ),
    }
}

/// Compares the versions of the function and of this command. The command reads files and items of its own version and
/// of earlier ones.
pub(super) fn check_release(facts: &FunctionFacts) -> Check {
    let Some(release) = facts.release.as_deref() else {
        return Check::skipped(
            VERSION,
            "the description of the function does not name a version",
            "read the version in the log line 'started', or deploy the function with template.yaml",
        );
    };
    if release == RELEASE {
        return Check::ok(VERSION, format!("the function and this command are {RELEASE}"));
    }
    let found = format!("the function runs {release}, this command is {RELEASE}");
    if release.split(' ').next() == Some(genesys_replay_version::VERSION) {
        return Check::ok(VERSION, found);
    }
    let remedy = "install the same version of both: docs/UPGRADE.md has the order";
    Check::warning(VERSION, found, remedy)
}

/// Returns the ARN of the queue that the function drains.
fn drained_queue(sources: &[SourceFacts]) -> Option<&str> {
    queues(sources).next().map(|it| it.arn.as_str())
}

fn queues(sources: &[SourceFacts]) -> impl Iterator<Item = &SourceFacts> {
    let is_queue =
        |source: &&SourceFacts| Arn::parse(&source.arn).is_some_and(|arn| arn.service() == "sqs");
    sources.iter().filter(is_queue)
}

fn check_sources(sources: &Result<Vec<SourceFacts>, AwsError>) -> Vec<Check> {
    match sources {
        Ok(sources) if queues(sources).next().is_none() => vec![Check::error(
            SOURCE,
            "the function does not drain a queue",
            "add an SQS event source mapping with ReportBatchItemFailures: the template has one",
        )],
        Ok(sources) => queues(sources).flat_map(check_source).collect(),
        Err(error) => vec![Check::could_not_check(SOURCE, error)],
    }
}

fn check_source(source: &SourceFacts) -> Vec<Check> {
    let SourceFacts { filters, state, batch_size, maximum_concurrency, .. } = source;
    let name = Arn::resource_of(&source.arn);
    let is_off = matches!(state.as_str(), "Disabled" | "Disabling");
    let faults = [
        (
            !source.reports_failures,
            Verdict::Error,
            "ReportBatchItemFailures is not set: every message of a batch is deleted, also those that were not replayed".to_owned(),
            "set FunctionResponseTypes to ReportBatchItemFailures",
        ),
        (
            *filters > 0,
            Verdict::Error,
            format!("the mapping has {filters} filters, and Lambda deletes messages that no filter matches"),
            "remove FilterCriteria from the event source mapping",
        ),
        (
            is_off,
            Verdict::Warning,
            "the mapping is disabled, and dead letters wait in the queue".to_owned(),
            "enable the mapping to replay them: ReplayEnabled=true in the template",
        ),
        (
            state != "Enabled" && !is_off,
            Verdict::Warning,
            format!("the mapping is {state}"),
            "wait until the mapping is Enabled",
        ),
        (
            *batch_size > MAX_BATCH_SIZE,
            Verdict::Warning,
            format!("a batch has up to {batch_size} messages, which takes longer than a batch of 10"),
            "set BatchSize to 10 or less, as the template does",
        ),
        (
            maximum_concurrency.is_none(),
            Verdict::Warning,
            "the number of concurrent invocations is not limited, and all share the rate limit of Genesys Cloud".to_owned(),
            "set ScalingConfig.MaximumConcurrency; the template has 2",
        ),
    ];
    let found = faults.into_iter().filter(|(is_there, ..)| *is_there);
    let mut checks: Vec<Check> = found
        .map(|(_, verdict, found, remedy)| {
            Check::with_remedy(verdict, SOURCE, format!("{name}: {found}"), remedy)
        })
        .collect();
    if checks.is_empty() {
        let most = maximum_concurrency.unwrap_or_default();
        checks.push(Check::ok(
            SOURCE,
            format!("{name}: up to {batch_size} messages per batch, {most} concurrent batches"),
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Change = fn(&mut SourceFacts);

    fn good() -> SourceFacts {
        SourceFacts {
            arn: "arn:aws:sqs:eu-central-1:271828182845:dead-letters".to_owned(),
            state: "Enabled".to_owned(),
            batch_size: 10,
            window: Duration::ZERO,
            reports_failures: true,
            maximum_concurrency: Some(2),
            filters: 0,
        }
    }

    #[test]
    fn event_source_check_finds_each_fault() {
        let cases: [(Change, Verdict); 7] = [
            (|_| {}, Verdict::Ok),
            (|it| it.reports_failures = false, Verdict::Error),
            (|it| it.filters = 1, Verdict::Error),
            (|it| it.state = "Disabled".to_owned(), Verdict::Warning),
            (|it| it.state = "Creating".to_owned(), Verdict::Warning),
            (|it| it.batch_size = 11, Verdict::Warning),
            (|it| it.maximum_concurrency = None, Verdict::Warning),
        ];
        for (change, expected) in cases {
            let mut source = good();
            change(&mut source);
            let checks = check_sources(&Ok(vec![source]));
            let verdicts: Vec<_> = checks.iter().map(|it| it.verdict).collect();
            assert_eq!(verdicts, [expected], "{checks:?}");
        }
    }

    #[test]
    fn event_source_check_finds_a_function_without_a_queue() {
        let stream = SourceFacts {
            arn: "arn:aws:kinesis:eu-central-1:271828182845:stream/s".to_owned(),
            ..good()
        };
        for sources in [vec![], vec![stream]] {
            assert_eq!(drained_queue(&sources), None);
            let found = check_sources(&Ok(sources));
            assert!(found.iter().all(|it| it.verdict == Verdict::Error));
        }
    }

    #[test]
    fn function_check_finds_a_function_that_is_not_active() {
        for (state, expected) in [
            (None, Verdict::Ok),
            (Some("Active"), Verdict::Ok),
            (Some("Inactive"), Verdict::Ok),
            (Some("Pending"), Verdict::Warning),
            (Some("Failed"), Verdict::Error),
        ] {
            let facts = FunctionFacts {
                name: "replay".to_owned(),
                state: state.map(str::to_owned),
                timeout: Duration::from_secs(60),
                release: None,
            };
            assert_eq!(check(&Ok(facts)).verdict, expected, "{state:?}");
        }
    }

    #[test]
    fn version_check_compares_function_and_command() {
        let same = format!("{} (0123456789ab)", genesys_replay_version::VERSION);
        for (release, verdict, found) in [
            (None, Verdict::Skipped, "does not name a version"),
            (Some(RELEASE), Verdict::Ok, "the function and this command are"),
            (Some(same.as_str()), Verdict::Ok, "the function runs"),
            (Some("99.0.0"), Verdict::Warning, "the function runs 99.0.0, this command is"),
            (Some("99.0.0 (0123456789ab)"), Verdict::Warning, "99.0.0 (0123456789ab)"),
        ] {
            let release = release.map(str::to_owned);
            let check = check_release(&FunctionFacts { release, ..FunctionFacts::default() });
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert!(check.found.contains(found), "{check:?}");
        }
    }
}
