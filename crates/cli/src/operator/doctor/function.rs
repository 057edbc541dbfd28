//! Checks the function and its event sources.

use genesys_replay::aws::{AwsError, AwsErrorKind};

use super::{Check, shown};
use crate::deployment::{FunctionFacts, SourceFacts};

const FUNCTION: &str = "function";
const SOURCE: &str = "event source";

pub(super) fn check(facts: &Result<FunctionFacts, AwsError>) -> Check {
    match facts {
        Ok(FunctionFacts {
            name,
            state,
            timeout,
        }) => match state.as_deref() {
            None | Some("Active") => Check::ok(
                FUNCTION,
                format!("{name}, {} an invocation", shown(*timeout)),
            ),
            // AWS deactivates a function without calls; the next call activates the function again.
            Some("Inactive") => Check::ok(FUNCTION, format!("{name} sleeps until it is called")),
            Some("Pending") => Check::warning(
                FUNCTION,
                format!("{name} is being made ready"),
                "wait a minute, then run doctor again",
            ),
            Some(other) => Check::error(
                FUNCTION,
                format!("{name} is {other}"),
                "see StateReason of: aws lambda get-function-configuration; then deploy it again",
            ),
        },
        Err(error) if error.kind == AwsErrorKind::NotFound => Check::error(
            FUNCTION,
            "there is no function of this name in this account and region",
            "check --function, --region and --profile",
        ),
        Err(error) => Check::unasked(FUNCTION, error),
    }
}

/// Returns the ARN of the queue that the function drains.
pub(super) fn drained_queue(sources: &[SourceFacts]) -> Option<&str> {
    queues(sources).next().map(|it| it.arn.as_str())
}

fn queues(sources: &[SourceFacts]) -> impl Iterator<Item = &SourceFacts> {
    sources
        .iter()
        .filter(|it| it.arn.split(':').nth(2) == Some("sqs"))
}

pub(super) fn check_sources(sources: &Result<Vec<SourceFacts>, AwsError>) -> Vec<Check> {
    match sources {
        Ok(sources) if queues(sources).next().is_none() => vec![Check::error(
            SOURCE,
            "the function drains no queue",
            "add an SQS event source mapping with ReportBatchItemFailures: the template has one",
        )],
        Ok(sources) => queues(sources).flat_map(check_source).collect(),
        Err(error) => vec![Check::unasked(SOURCE, error)],
    }
}

fn check_source(source: &SourceFacts) -> Vec<Check> {
    let name = source.arn.rsplit(':').next().unwrap_or_default();
    let error =
        |found: &str, remedy: &str| Check::error(SOURCE, format!("{name}: {found}"), remedy);
    let warning =
        |found: &str, remedy: &str| Check::warning(SOURCE, format!("{name}: {found}"), remedy);
    let mut checks = Vec::new();
    if !source.reports_failures {
        checks.push(error(
            "ReportBatchItemFailures is not set: every message of a batch is deleted, also those that were not replayed",
            "set FunctionResponseTypes to ReportBatchItemFailures",
        ));
    }
    if source.filters > 0 {
        let filters = source.filters;
        checks.push(error(
            &format!("it has {filters} filters, and Lambda deletes what none of them matches"),
            "remove FilterCriteria from the event source mapping",
        ));
    }
    match source.state.as_str() {
        "Enabled" => {}
        "Disabled" | "Disabling" => checks.push(warning(
            "it is turned off, and dead letters wait in the queue",
            "turn it on when you want them to be replayed: ReplayEnabled=true in the template",
        )),
        other => checks.push(warning(
            &format!("it is {other}"),
            "wait until it is Enabled",
        )),
    }
    if source.batch_size > 10 {
        let size = source.batch_size;
        checks.push(warning(
            &format!("a batch has up to {size} messages, which take longer than one of 10"),
            "set BatchSize to 10 or less, as the template does",
        ));
    }
    if source.maximum_concurrency.is_none() {
        checks.push(warning(
            "the number of invocations at once is not limited, and all share the rate limit of Genesys Cloud",
            "set ScalingConfig.MaximumConcurrency; the template has 2",
        ));
    }
    if checks.is_empty() {
        let most = source.maximum_concurrency.unwrap_or_default();
        let found = format!(
            "{name}: up to {} messages a batch, {most} batches at once",
            source.batch_size
        );
        checks.push(Check::ok(SOURCE, found));
    }
    checks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operator::doctor::Verdict;

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
    fn each_fault_of_an_event_source_is_found() {
        for (source, expected) in [
            (good(), Verdict::Ok),
            (
                SourceFacts {
                    reports_failures: false,
                    ..good()
                },
                Verdict::Error,
            ),
            (
                SourceFacts {
                    filters: 1,
                    ..good()
                },
                Verdict::Error,
            ),
            (
                SourceFacts {
                    state: "Disabled".to_owned(),
                    ..good()
                },
                Verdict::Warning,
            ),
            (
                SourceFacts {
                    state: "Creating".to_owned(),
                    ..good()
                },
                Verdict::Warning,
            ),
            (
                SourceFacts {
                    batch_size: 11,
                    ..good()
                },
                Verdict::Warning,
            ),
            (
                SourceFacts {
                    maximum_concurrency: None,
                    ..good()
                },
                Verdict::Warning,
            ),
        ] {
            let found: Vec<_> = check_sources(&Ok(vec![source.clone()]))
                .iter()
                .map(|it| it.verdict)
                .collect();
            assert_eq!(found, [expected], "{source:?}");
        }
    }

    #[test]
    fn a_function_that_drains_no_queue_is_found() {
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
    fn a_function_that_cannot_be_called_is_found() {
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
            };
            assert_eq!(check(&Ok(facts)).verdict, expected, "{state:?}");
        }
    }
}
