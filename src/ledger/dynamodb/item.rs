//! The attributes of an item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::clock::Timestamp;
use crate::failure::{Accepted, FailureCode, Receipt};
use crate::ledger::{AnswerCounts, Claim, ClaimRequest, Lease, LedgerError, Status};

pub(in crate::ledger) type Item = HashMap<String, AttributeValue>;

pub(in crate::ledger) const IN_PROGRESS: &str = Status::InProgress.as_str();
pub(in crate::ledger) const DEFERRED: &str = Status::Deferred.as_str();
pub(in crate::ledger) const COMPLETED: &str = Status::Completed.as_str();
pub(in crate::ledger) const ARCHIVED: &str = Status::Archived.as_str();
pub(in crate::ledger) const FAILED: &str = Status::Failed.as_str();
pub(in crate::ledger) const DISCARDED: &str = Status::Discarded.as_str();
pub(in crate::ledger) const CLAIMED: &str = "CLAIMED";
pub(in crate::ledger) const REPLAYED: &str = "REPLAYED";

/// The attribute of an item that leads from a delivery to its event.
pub(in crate::ledger) const EVENT_KEY: &str = "EventKey";

/// The attribute of a deferred item whose new round has to wait: the earliest time in epoch ms.
pub(in crate::ledger) const NOT_BEFORE: &str = "NotBefore";

/// The attribute that is there (`true`) when an attempt may have been accepted and nobody knows.
pub(in crate::ledger) const MAYBE_DELIVERED: &str = "MaybeDelivered";

/// The attributes of [`AnswerCounts`]; absent for zero.
pub(in crate::ledger) const CONFIGURATION_ANSWERS: &str = "ConfigurationAnswers";
pub(in crate::ledger) const UNANSWERED_ATTEMPTS: &str = "UnansweredAttempts";

/// Returns a count, or zero if the item has none that can be read.
fn count(item: &Item, name: &str) -> u32 {
    integer(item, name)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or_default()
}

pub(in crate::ledger) fn lease_of(
    request: &ClaimRequest<'_>,
    item: &Item,
) -> Result<Lease, LedgerError> {
    let attempt = integer(item, "Attempts").and_then(|count| u32::try_from(count).ok());
    let attempt = attempt.ok_or(LedgerError::Unreadable("Attempts"))?;
    let delivered = delivered(item);
    Ok(Lease {
        key: request.key.clone(),
        owner: request.owner.clone(),
        attempt,
        delivered,
        receipt: delivered.and_then(|_| receipt(item)),
        round: round(item),
        first_seen: first_seen(item, request.now),
        retry_since: integer(item, "RetrySince").map_or(request.now, Timestamp::from_millis),
        maybe_delivered: item.contains_key(MAYBE_DELIVERED),
        answers: AnswerCounts {
            configuration: count(item, CONFIGURATION_ANSWERS),
            unanswered: count(item, UNANSWERED_ATTEMPTS),
        },
        processed: string(item, "ProcessedAt").and_then(Timestamp::parse),
    })
}

/// The attempt that the target accepted.
pub(in crate::ledger) fn delivered(item: &Item) -> Option<u32> {
    let count = |name| integer(item, name).and_then(|count| u32::try_from(count).ok());
    (string(item, "Step") == Some(REPLAYED))
        .then(|| count("DeliveredAttempt").or(count("Attempts")).unwrap_or(1))
}

pub(in crate::ledger) fn accepted(item: &Item, now: Timestamp) -> Accepted {
    Accepted {
        receipt: receipt(item),
        first_seen: first_seen(item, now),
        round: round(item),
        message_id: string(item, "MessageId").map(str::to_owned),
    }
}

pub(in crate::ledger) fn first_seen(item: &Item, now: Timestamp) -> Timestamp {
    string(item, "FirstSeenAt")
        .and_then(Timestamp::parse)
        .unwrap_or(now)
}

/// The number of the round; items of older versions are in their first.
pub(in crate::ledger) fn round(item: &Item) -> u32 {
    integer(item, "Rounds")
        .and_then(|round| u32::try_from(round).ok())
        .unwrap_or(1)
}

pub(in crate::ledger) fn receipt(item: &Item) -> Option<Receipt> {
    Some(Receipt {
        delivery_id: string(item, "DeliveryId").map(str::to_owned),
        at: Timestamp::from_millis(integer(item, "DeliveredAt")?),
    })
}

/// What the state of an item that cannot be claimed says.
pub(in crate::ledger) fn refusal(
    item: &Item,
    request: &ClaimRequest<'_>,
) -> Result<Claim, LedgerError> {
    let now = request.now;
    let lease_until = integer(item, "LeaseUntil").map(Timestamp::from_millis);
    let is_delivered = match string(item, "Status") {
        Some(COMPLETED) => true,
        Some(DEFERRED) => string(item, "Step") == Some(REPLAYED),
        Some(IN_PROGRESS) => {
            string(item, "Step") == Some(REPLAYED) && lease_until.is_some_and(|until| until < now)
        }
        Some(_) | None => false,
    };
    if request.is_failure_record && is_delivered {
        return Ok(Claim::Delivered(accepted(item, now)));
    }
    match string(item, "Status") {
        Some(COMPLETED | ARCHIVED | DISCARDED) => Ok(Claim::AlreadyDone),
        Some(FAILED) => Ok(Claim::GivenUp(
            string(item, "FailureCode")
                .and_then(FailureCode::parse)
                .unwrap_or(FailureCode::Internal),
        )),
        Some(IN_PROGRESS) => match lease_until {
            Some(until) => Ok(Claim::HeldUntil(until)),
            None => Err(LedgerError::Unreadable("LeaseUntil")),
        },
        Some(DEFERRED) => match integer(item, NOT_BEFORE).map(Timestamp::from_millis) {
            Some(until) if until > now && !request.ignores_delay => Ok(Claim::Delayed {
                round: round(item),
                until,
            }),
            // Deferred between our write and the look at it: the next delivery takes it.
            Some(_) | None => Ok(Claim::HeldUntil(now)),
        },
        Some(_) | None => Err(LedgerError::Unreadable("Status")),
    }
}

pub(in crate::ledger) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(in crate::ledger) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(in crate::ledger) fn string<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(in crate::ledger) fn integer(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
