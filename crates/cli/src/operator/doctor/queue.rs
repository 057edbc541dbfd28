//! Checks the queue, its redrive policy and the parking queue.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;
use genesys_replay::queue::MAX_MESSAGE_BYTES;

use super::{Check, QueueFacts, shown};
use crate::config::OperatorSettings;

pub(super) const QUEUE: &str = "queue";
const VISIBILITY: &str = "visibility timeout";
const MESSAGE_SIZE: &str = "message size";
const REDRIVE: &str = "redrive policy";
const PARKING: &str = "parking queue";

/// The minimum `maxReceiveCount` that AWS advises, so that a throttled function does not park messages.
const MIN_RECEIVES: u32 = 5;

/// The difference between `maxReceiveCount` and `MAX_RECEIVES`, so that lost receives do not park messages too early.
const SPARE_RECEIVES: u32 = 3;

/// Compares the queue with the queue that the function drains, by ARN, if that is known.
pub(super) fn check(queue: &QueueFacts, drained: Option<&str>) -> Check {
    let (name, depth) = (queue.name(), queue.depth());
    match drained {
        Some(arn) if arn != queue.arn => {
            let other = Arn::resource_of(arn);
            let found = format!("the function drains {other}, not {name}");
            let remedy =
                "name the queue that the function drains, or omit --queue and REPLAY_QUEUE_URL";
            Check::error(QUEUE, found, remedy)
        }
        Some(_) | None => Check::ok(QUEUE, format!("{name} holds about {depth} messages")),
    }
}

/// Compares the visibility timeout with the function's timeout and batching window.
pub(super) fn check_visibility(
    visibility: Duration,
    timeout: Option<Duration>,
    window: Duration,
) -> Check {
    let Some(timeout) = timeout else {
        let found =
            format!("the timeout is {}; the function's timeout is not known", shown(visibility));
        return Check::skipped(VISIBILITY, found, "name the function: --function");
    };
    let least = timeout * 6 + window;
    let found = format!("{} for a function timeout of {}", shown(visibility), shown(timeout));
    let remedy = format!("set the queue's visibility timeout to {} s", least.as_secs());
    if visibility < timeout {
        let found =
            format!("{found}: messages are received again while an invocation handles them");
        Check::error(VISIBILITY, found, remedy)
    } else if visibility < least {
        let found =
            format!("{found}: less than six times as long, so throttled batches cost receives");
        Check::warning(VISIBILITY, found, remedy)
    } else {
        Check::ok(VISIBILITY, found)
    }
}

/// Compares the queue's own limit for messages with the limit of SQS. Events of `EventBridge` may have 1 MB.
pub(super) fn check_message_size(queue: &QueueFacts) -> Check {
    let limit = queue.max_message_bytes;
    if limit >= MAX_MESSAGE_BYTES {
        return Check::ok(MESSAGE_SIZE, format!("{limit} bytes, the maximum of SQS"));
    }
    let found = format!(
        "{limit} bytes: EventBridge loses longer dead letters, and longer archived events cannot be sent again"
    );
    let remedy = format!("set the queue's MaximumMessageSize to {MAX_MESSAGE_BYTES}");
    Check::warning(MESSAGE_SIZE, found, remedy)
}

/// Formats a time in the largest unit that fits at least twice, rounded down.
fn roughly(time: Duration) -> String {
    let seconds = time.as_secs();
    let mut units = [(3_600, "h"), (60, "min")].into_iter();
    let (unit, name) = units.find(|(unit, _)| seconds >= 2 * unit).unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

pub(super) fn check_redrive(queue: &QueueFacts, settings: Option<&OperatorSettings>) -> Check {
    let Some(redrive) = &queue.redrive else {
        let found = "not set: a message that always fails is received until SQS deletes it";
        let remedy = "give the queue a redrive policy to a parking queue";
        return Check::error(REDRIVE, found, remedy);
    };
    let receives = redrive.max_receives;
    let Some(OperatorSettings { limits, .. }) = settings else {
        let found = format!("maxReceiveCount is {receives}; MAX_RECEIVES is not known");
        return Check::skipped(REDRIVE, found, "repair the settings first");
    };
    let max_receives = limits.max_receives;
    let wanted = (max_receives + SPARE_RECEIVES).max(MIN_RECEIVES);
    let remedy = format!(
        "set maxReceiveCount to {wanted}: MAX_RECEIVES ({max_receives}) + {SPARE_RECEIVES}, and at least {MIN_RECEIVES}"
    );
    let attempts = receives.saturating_sub(SPARE_RECEIVES).min(max_receives);
    let last = limits.backoff.shortest(attempts);
    let (lasts, asked) = (roughly(last), roughly(limits.retry_for));
    if receives < MIN_RECEIVES {
        let found = format!("maxReceiveCount is {receives}: a throttled function parks messages");
        Check::error(REDRIVE, found, remedy)
    } else if last < limits.retry_for {
        let found = format!(
            "maxReceiveCount is {receives}: with the backoff, {attempts} receives may last only {lasts}, and RETRY_FOR_HOURS requires {asked}"
        );
        let other = format!(
            "raise MAX_RECEIVES or BACKOFF_MAX_SECONDS, and maxReceiveCount to MAX_RECEIVES + {SPARE_RECEIVES}"
        );
        Check::warning(REDRIVE, found, if receives < wanted { remedy } else { other })
    } else if receives == wanted {
        let found =
            format!("{attempts} receives last {lasts} at least, the function retries for {asked}");
        Check::ok(REDRIVE, found)
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
        Err(error) => {
            let found =
                "the parking queue of the redrive policy does not exist: no message can be parked";
            let remedy = "create the queue, or name another in the redrive policy";
            return Check::missing_or_failed(PARKING, error, found, remedy);
        }
    };
    let (name, parked, kept) = (parking.name(), shown(parking.retention), shown(queue.retention));
    let longer = "set the retention of the parking queue to 14 days, the maximum of SQS, and that of the queue lower";
    // A parked message keeps the time at which it was first sent.
    if parking.retention < queue.retention {
        let found = format!(
            "{name} keeps messages {parked}, the queue {kept}: messages that are parked late are deleted at once"
        );
        return Check::error(PARKING, found, longer);
    }
    if parking.retention == queue.retention {
        let found = format!(
            "{name} keeps messages {parked}, as the queue does: messages that are parked late are soon deleted"
        );
        return Check::warning(PARKING, found, longer);
    }
    if let Some(remember) = remember.filter(|it| *it <= parking.retention) {
        let found = format!(
            "messages are kept {parked}, finished ledger items {}: an event could be delivered twice",
            shown(remember)
        );
        let remedy = "set IDEMPOTENCY_TTL_DAYS higher than the retention of both queues";
        return Check::error(PARKING, found, remedy);
    }
    let found = format!("{name} keeps messages {parked}, the queue {kept}");
    Check::ok(PARKING, found)
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
            max_message_bytes: MAX_MESSAGE_BYTES,
            redrive: receives.map(|max_receives| Redrive {
                parking_arn: "arn:aws:sqs:eu-central-1:271828182845:parked".to_owned(),
                max_receives,
            }),
            visible: 1,
            in_flight: 2,
            delayed: 0,
        }
    }

    fn settings(max_receives: u32) -> OperatorSettings {
        OperatorSettings {
            table: "t".to_owned(),
            remember: DAY * 15,
            limits: Limits { max_receives, ..Limits::default() },
            archive: None,
            target: ReplayTarget::Fixed(Destination::None),
        }
    }

    #[test]
    fn visibility_timeout_check_uses_timeout_and_window() {
        for (visibility, window, expected) in [
            (360, 0, Verdict::Ok),
            (359, 0, Verdict::Warning),
            (360, 1, Verdict::Warning),
            (60, 0, Verdict::Warning),
            (59, 0, Verdict::Error),
        ] {
            let [visibility, window] = [visibility, window].map(Duration::from_secs);
            let found = check_visibility(visibility, Some(Duration::from_secs(60)), window);
            assert_eq!(found.verdict, expected, "{visibility:?} {window:?}");
        }
    }

    #[test]
    fn message_size_check_compares_the_limit_of_the_queue() {
        for (limit, expected) in [(MAX_MESSAGE_BYTES, Verdict::Ok), (262_144, Verdict::Warning)] {
            let facts = QueueFacts { max_message_bytes: limit, ..queue("q", DAY, None) };
            let found = check_message_size(&facts);
            assert_eq!(found.verdict, expected, "{limit}");
            assert!(found.found.starts_with(&limit.to_string()), "{found:?}");
        }
    }

    #[test]
    fn redrive_check_compares_receives_with_the_retry_time() {
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
            let found = check_redrive(&queue("q", DAY, receives), Some(&settings(max_receives)));
            assert_eq!(found.verdict, expected, "{receives:?} {max_receives}");
        }
        let found = check_redrive(&queue("q", DAY, Some(13)), Some(&settings(200)));
        let lasts = "10 receives may last only 8 min, and RETRY_FOR_HOURS requires 72 h";
        assert!(found.found.contains(lasts), "{found:?}");
    }

    #[test]
    fn parking_queue_check_compares_the_retentions() {
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
    fn queue_check_finds_a_queue_that_is_not_drained() {
        let facts = queue("q", DAY, None);
        let arn = facts.arn.clone();
        let other = "arn:aws:sqs:eu-central-1:271828182845:other";
        for (drained, expected) in
            [(None, Verdict::Ok), (Some(arn.as_str()), Verdict::Ok), (Some(other), Verdict::Error)]
        {
            assert_eq!(check(&facts, drained).verdict, expected);
        }
    }
}
