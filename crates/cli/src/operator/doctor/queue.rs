//! Checks the queue, its redrive policy and the parking queue.

use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};

use super::{Check, Known, QueueFacts, shown};

const QUEUE: &str = "queue";
const VISIBILITY: &str = "visibility timeout";
const REDRIVE: &str = "redrive policy";
const PARKING: &str = "parking queue";

/// The minimum `maxReceiveCount` that AWS advises, so that a throttled function does not park messages.
const MIN_RECEIVES: u32 = 5;

/// The difference between `maxReceiveCount` and `MAX_RECEIVES`, so that lost receives do not park messages too early.
const SPARE_RECEIVES: u32 = 3;

pub(super) fn check(
    queue: &QueueFacts,
    timeout: Option<Duration>,
    window: Duration,
    drained: Option<&str>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    match drained {
        Some(arn) if arn != queue.arn => checks.push(Check::error(
            QUEUE,
            format!(
                "the function drains {}, not {}",
                arn.rsplit(':').next().unwrap_or(arn),
                queue.name()
            ),
            "name the queue that the function drains, or leave --queue and REPLAY_QUEUE_URL out",
        )),
        Some(_) | None => checks.push(Check::ok(
            QUEUE,
            format!("{} holds about {} messages", queue.name(), queue.depth()),
        )),
    }
    checks.push(match timeout {
        None => Check::skipped(
            VISIBILITY,
            format!(
                "it is {}; the function's timeout is not known",
                shown(queue.visibility)
            ),
            "name the function: --function",
        ),
        Some(timeout) => check_visibility(queue.visibility, timeout, window),
    });
    checks
}

fn check_visibility(visibility: Duration, timeout: Duration, window: Duration) -> Check {
    let least = timeout * 6 + window;
    let remedy = format!(
        "set the queue's visibility timeout to {} s",
        least.as_secs()
    );
    let found = format!("{} for a function of {}", shown(visibility), shown(timeout));
    if visibility < timeout {
        let found = format!("{found}: messages are received again while they are worked on");
        Check::error(VISIBILITY, found, remedy)
    } else if visibility < least {
        let found =
            format!("{found}: less than six times as long, so throttled batches cost receives");
        Check::warning(VISIBILITY, found, remedy)
    } else {
        Check::ok(VISIBILITY, found)
    }
}

/// Formats a time in the largest unit that fits at least twice, rounded down.
fn roughly(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(3_600, "h"), (60, "min")].into_iter();
    let mut fit = units.filter(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = fit.next().unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

pub(super) fn check_redrive(queue: &QueueFacts, known: Option<&Known>) -> Check {
    let Some(redrive) = &queue.redrive else {
        return Check::error(
            REDRIVE,
            "there is none: what fails for ever is received for ever, until it is too old and lost",
            "give the queue a redrive policy to a parking queue",
        );
    };
    let receives = redrive.max_receives;
    let Some(Known { limits, .. }) = known else {
        return Check::skipped(
            REDRIVE,
            format!("maxReceiveCount is {receives}; MAX_RECEIVES is not known"),
            "repair the settings first",
        );
    };
    let max_receives = limits.max_receives;
    let wanted = (max_receives + SPARE_RECEIVES).max(MIN_RECEIVES);
    let remedy = format!(
        "set maxReceiveCount to {wanted}: MAX_RECEIVES ({max_receives}) + {SPARE_RECEIVES}, and at least {MIN_RECEIVES}"
    );
    let attempts = receives.saturating_sub(SPARE_RECEIVES).min(max_receives);
    let last = limits.backoff.shortest(attempts);
    if receives < MIN_RECEIVES {
        let found = format!("maxReceiveCount is {receives}: a throttled function parks messages");
        Check::error(REDRIVE, found, remedy)
    } else if last < limits.retry_for {
        let found = format!(
            "maxReceiveCount is {receives}: with the backoff, {attempts} receives may last only {}, and RETRY_FOR_HOURS asks for {}",
            roughly(last),
            roughly(limits.retry_for)
        );
        let remedy = if receives < wanted {
            remedy
        } else {
            format!(
                "raise MAX_RECEIVES or BACKOFF_MAX_SECONDS, and maxReceiveCount to MAX_RECEIVES + {SPARE_RECEIVES}"
            )
        };
        Check::warning(REDRIVE, found, remedy)
    } else if receives == wanted {
        Check::ok(
            REDRIVE,
            format!(
                "{attempts} receives last {} at least, the function retries for {}",
                roughly(last),
                roughly(limits.retry_for)
            ),
        )
    } else {
        let found = format!("maxReceiveCount is {receives}, MAX_RECEIVES is {max_receives}");
        Check::warning(REDRIVE, found, remedy)
    }
}

pub(super) fn check_parking(
    queue: &QueueFacts,
    parking: &Result<QueueFacts, AwsError>,
    remember: Option<Duration>,
) -> Check {
    let parking = match parking {
        Ok(parking) => parking,
        Err(error) if error.kind == AwsErrorKind::NotFound => {
            return Check::error(
                PARKING,
                "the redrive policy names a queue that is not there: nothing can be parked",
                "create the queue, or name another in the redrive policy",
            );
        }
        Err(error) => return Check::unasked(PARKING, error),
    };
    let (kept, parked) = (shown(queue.retention), shown(parking.retention));
    let longer =
        "give the parking queue 14 days, the longest that SQS keeps a message, and the queue less";
    // A parked message keeps the time at which it was first sent.
    if parking.retention < queue.retention {
        return Check::error(
            PARKING,
            format!(
                "{} keeps messages {parked}, the queue {kept}: what is parked late is deleted at once",
                parking.name()
            ),
            longer,
        );
    }
    if parking.retention == queue.retention {
        return Check::warning(
            PARKING,
            format!(
                "{} keeps messages {parked}, as the queue does: what is parked late is soon gone",
                parking.name()
            ),
            longer,
        );
    }
    if let Some(remember) = remember.filter(|it| *it <= parking.retention) {
        return Check::error(
            PARKING,
            format!(
                "messages live {parked}, finished events are remembered {}: one could be delivered twice",
                shown(remember)
            ),
            "set IDEMPOTENCY_TTL_DAYS higher than the retention of both queues",
        );
    }
    Check::ok(
        PARKING,
        format!(
            "{} keeps messages {parked}, the queue {kept}",
            parking.name()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Verdict;
    use genesys_replay::destination::{Destination, ReplayTarget};
    use genesys_replay::queue::Redrive;
    use genesys_replay::replay::Limits;

    const DAY: Duration = Duration::from_secs(86_400);

    fn queue(name: &str, retention: Duration, receives: Option<u32>) -> QueueFacts {
        QueueFacts {
            url: format!("https://sqs.eu-central-1.amazonaws.com/271828182845/{name}"),
            arn: format!("arn:aws:sqs:eu-central-1:271828182845:{name}"),
            fifo: false,
            visibility: Duration::from_secs(360),
            retention,
            redrive: receives.map(|max_receives| Redrive {
                parking_arn: "arn:aws:sqs:eu-central-1:271828182845:parked".to_owned(),
                max_receives,
            }),
            visible: 1,
            in_flight: 2,
            delayed: 0,
        }
    }

    fn known(max_receives: u32) -> Known {
        Known {
            table: "t".to_owned(),
            remember: Some(DAY * 15),
            limits: Limits {
                max_receives,
                ..Limits::default()
            },
            archive: None,
            target: ReplayTarget::Fixed(Destination::None),
            hosts: None,
        }
    }

    #[test]
    fn a_visibility_timeout_follows_the_functions_timeout_and_the_batching_window() {
        for (visibility, window, expected) in [
            (360, 0, Verdict::Ok),
            (359, 0, Verdict::Warning),
            (360, 1, Verdict::Warning),
            (60, 0, Verdict::Warning),
            (59, 0, Verdict::Error),
        ] {
            let [visibility, window] = [visibility, window].map(Duration::from_secs);
            let found = check_visibility(visibility, Duration::from_secs(60), window);
            assert_eq!(found.verdict, expected, "{visibility:?} {window:?}");
        }
    }

    #[test]
    fn receives_last_as_long_as_the_time_of_the_retries() {
        for (receives, max_receives, expected) in [
            (Some(203), 200, Verdict::Ok),
            (Some(202), 200, Verdict::Warning),
            (Some(300), 200, Verdict::Warning),
            // The queue's own limit decides.
            (Some(13), 200, Verdict::Warning),
            (Some(13), 10, Verdict::Warning),
            (Some(4), 1, Verdict::Error),
            (None, 200, Verdict::Error),
        ] {
            let found = check_redrive(&queue("q", DAY, receives), Some(&known(max_receives)));
            assert_eq!(found.verdict, expected, "{receives:?} {max_receives}");
        }
        let found = check_redrive(&queue("q", DAY, Some(13)), Some(&known(200)));
        assert!(
            found
                .found
                .contains("10 receives may last only 8 min, and RETRY_FOR_HOURS asks for 72 h"),
            "{found:?}"
        );
    }

    #[test]
    fn a_parking_queue_keeps_messages_longer_and_the_ledger_remembers_longer_still() {
        for (queue_days, parking_days, remember_days, expected) in [
            (10, 14, 15, Verdict::Ok),
            (14, 14, 15, Verdict::Warning),
            (14, 4, 15, Verdict::Error),
            (10, 14, 14, Verdict::Error),
        ] {
            let parking = queue("parked", DAY * parking_days, None);
            let found = check_parking(
                &queue("q", DAY * queue_days, Some(13)),
                &Ok(parking),
                Some(DAY * remember_days),
            );
            assert_eq!(found.verdict, expected, "{queue_days} {parking_days}");
        }
    }

    #[test]
    fn another_queue_than_the_one_that_is_drained_is_found() {
        let facts = queue("q", DAY, None);
        let arn = facts.arn.clone();
        for (drained, expected) in [
            (None, Verdict::Ok),
            (Some(arn.as_str()), Verdict::Ok),
            (
                Some("arn:aws:sqs:eu-central-1:271828182845:other"),
                Verdict::Error,
            ),
        ] {
            let found = check(&facts, None, Duration::ZERO, drained);
            assert_eq!(found.first().map(|it| it.verdict), Some(expected));
        }
    }
}
