//! The attributes of an item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimRequest, ItemState, KnownState, Lease, LedgerError, Status,
};

/// An item by the names of its attributes.
pub type Item = HashMap<String, AttributeValue>;

pub(crate) const IN_PROGRESS: &str = Status::InProgress.as_str();
pub(crate) const DEFERRED: &str = Status::Deferred.as_str();
pub(crate) const COMPLETED: &str = Status::Completed.as_str();
pub(crate) const ARCHIVED: &str = Status::Archived.as_str();
pub(crate) const FAILED: &str = Status::Failed.as_str();
pub(crate) const CLAIMED: &str = "CLAIMED";
/// The value of `Step` after the target accepted the event.
pub const REPLAYED: &str = "REPLAYED";

/// The attribute of an item that leads from a delivery to its event.
pub const EVENT_KEY: &str = "EventKey";

/// The attribute with the earliest time of a new round, in epoch ms. Only deferred items have it.
pub const NOT_BEFORE: &str = "NotBefore";

/// The attribute that is present (`true`) if the target may have accepted an attempt whose answer was lost.
pub(crate) const MAYBE_DELIVERED: &str = "MaybeDelivered";

/// The attributes of [`AnswerCounts`]; absent for zero.
pub(crate) const CONFIGURATION_ANSWERS: &str = "ConfigurationAnswers";
pub(crate) const UNANSWERED_ATTEMPTS: &str = "UnansweredAttempts";

/// Returns a count; zero if the item has no readable count.
fn count(item: &Item, name: &str) -> u32 {
    integer(item, name).and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

pub(crate) fn lease_of(request: &ClaimRequest<'_>, item: &Item) -> Result<Lease, LedgerError> {
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

/// Returns the attempt that the target accepted.
pub(crate) fn delivered(item: &Item) -> Option<u32> {
    let count = |name| integer(item, name).and_then(|count| u32::try_from(count).ok());
    (string(item, "Step") == Some(REPLAYED))
        .then(|| count("DeliveredAttempt").or(count("Attempts")).unwrap_or(1))
}

pub(crate) fn accepted(item: &Item, now: Timestamp) -> Accepted {
    Accepted {
        receipt: receipt(item),
        first_seen: first_seen(item, now),
        round: round(item),
        message_id: string(item, "MessageId").map(str::to_owned),
    }
}

pub(crate) fn first_seen(item: &Item, now: Timestamp) -> Timestamp {
    string(item, "FirstSeenAt").and_then(Timestamp::parse).unwrap_or(now)
}

/// Returns the number of the round; 1 for items of older versions.
#[must_use]
pub fn round(item: &Item) -> u32 {
    integer(item, "Rounds").and_then(|round| u32::try_from(round).ok()).unwrap_or(1)
}

/// Returns the target's receipt for the delivery; `None` without `DeliveredAt`.
#[must_use]
pub fn receipt(item: &Item) -> Option<Receipt> {
    Some(Receipt {
        delivery_id: string(item, "DeliveryId").map(str::to_owned),
        at: Timestamp::from_millis(integer(item, "DeliveredAt")?),
    })
}

/// Returns an item's state as far as it decides the answer to a claim.
pub(crate) fn item_state(item: &Item, now: Timestamp) -> ItemState {
    let time = |name| integer(item, name).map(Timestamp::from_millis);
    ItemState {
        known: KnownState {
            status: string(item, "Status").and_then(Status::parse),
            delivered: delivered(item),
            code: string(item, "FailureCode").and_then(FailureCode::parse),
            accepted: accepted(item, now),
        },
        lease_until: time("LeaseUntil"),
        not_before: time(NOT_BEFORE),
    }
}

/// Returns the claim result for an item that was not claimed.
pub(crate) fn refusal(item: &Item, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
    let answer = item_state(item, request.now).answer(&request.terms())?;
    // An item that became free between our write and this read is claimed by the next delivery.
    Ok(answer.and_then(|_free| Claim::HeldUntil(request.now)))
}

/// Returns a string attribute.
#[must_use]
pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// Returns a string attribute's value; `None` for another type.
#[must_use]
pub fn string<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Returns a number attribute's value; `None` for another type, and for a negative or fractional number.
#[must_use]
pub fn integer(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
