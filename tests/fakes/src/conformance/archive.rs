//! The contract of [`Archive`].

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use genesys_replay::archive::{Archive, Entry};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{FailureCode, OriginalFailure};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::{Message, MessageId};
use serde_json::Value;

use super::{CallFault, Result, holds, same, suite};

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_250);

/// An archive under test and its objects.
pub trait ArchiveSuite {
    /// The implementation.
    type Archive: Archive;

    /// The archive.
    fn archive(&self) -> &Self::Archive;

    /// Injects a fault into the next call.
    fn next_call(&self, fault: CallFault);

    /// Returns every object by its key.
    fn objects(&self) -> impl Future<Output = Result<BTreeMap<String, Value>>>;
}

/// Checks that an archive keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl ArchiveSuite) -> Result<()> {
    suite!(suite;
        archived_dead_letter_is_whole_at_the_returned_address,
        archived_object_is_unchanged_by_a_second_write,
        events_of_two_targets_are_archived_under_different_keys,
        archived_bodies_of_one_event_are_each_stored_once,
        archived_event_is_stored_once_per_failure_code,
        put_fails_when_nothing_was_stored,
        put_is_idempotent_after_a_lost_response,
    )
}

/// A dead letter of one event, at one target.
struct DeadLetterCase<'w, W> {
    suite: &'w W,
    name: String,
    message: Message,
    key: EventKey,
    original: OriginalFailure,
}

impl<'w, W: ArchiveSuite> DeadLetterCase<'w, W> {
    fn new(suite: &'w W, name: &str, target: &str) -> Result<Self> {
        let id = MessageId::new("m-1").ok_or("message id")?;
        let event_id = EventId::new(name).ok_or("event id")?;
        let destination = Destination::Unsupported(target.to_owned());
        Ok(Self {
            suite,
            name: name.to_owned(),
            key: EventKey::new(Some(&event_id), &id, &destination),
            message: Message::new(id, "{ \"text\" : \"Zoë\" }\n".to_owned()),
            original: OriginalFailure::default(),
        })
    }

    fn entry(&self, code: FailureCode, now: Timestamp) -> Entry<'_> {
        Entry {
            message: &self.message,
            key: &self.key,
            event_id: &self.name,
            event_type: Some("v2.detail/{id}"),
            interaction_id: None,
            original: &self.original,
            target: "target",
            code,
            reason: "in words",
            attempts: 3,
            first_seen: NOW,
            now,
        }
    }

    async fn put(&self, code: FailureCode, now: Timestamp) -> Result<String> {
        Ok(self.suite.archive().put(&self.entry(code, now)).await?)
    }

    /// Returns the objects of this case.
    async fn objects(&self) -> Result<BTreeMap<String, Value>> {
        let objects = self.suite.objects().await?.into_iter();
        Ok(objects.filter(|(_, object)| object["event_id"] == self.name.as_str()).collect())
    }

    async fn count(&self, expected: usize) -> Result<()> {
        same("objects", &self.objects().await?.len(), &expected)
    }
}

const REFUSED: FailureCode = FailureCode::TargetRefused;

async fn archived_bodies_of_one_event_are_each_stored_once(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let first = DeadLetterCase::new(suite, name, "crm")?;
    let mut second = DeadLetterCase::new(suite, name, "crm")?;
    "another body".clone_into(&mut second.message.body);
    // Each twice: after a crash before the acknowledgement, the next worker writes the same object.
    let mut addresses = Vec::new();
    for case in [&first, &second, &first, &second] {
        addresses.push(case.put(REFUSED, NOW).await?);
    }
    first.count(2).await?;
    holds("apart", addresses.first() != addresses.get(1))?;
    same("the first again", &addresses.get(2), &addresses.first())?;
    same("the second again", &addresses.get(3), &addresses.get(1))
}

async fn archived_dead_letter_is_whole_at_the_returned_address(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let case = DeadLetterCase::new(suite, name, "crm")?;
    let address = case.put(REFUSED, NOW).await?;
    let objects = case.objects().await?;
    let found = objects.iter().find(|(key, _)| address.ends_with(*key));
    let (key, object) = found.ok_or(format!("nothing at {address}"))?;
    let entry = case.entry(REFUSED, NOW);
    holds("the key", key.ends_with(&entry.object_key()))?;
    let document: Value = serde_json::from_str(&entry.document())?;
    same("the document", object, &document)?;
    same("the body", &object["body"], &case.message.body.as_str().into())
}

async fn archived_object_is_unchanged_by_a_second_write(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let case = DeadLetterCase::new(suite, name, "crm")?;
    let address = case.put(REFUSED, NOW).await?;
    let objects = case.objects().await?;
    let later = NOW.plus(Duration::from_secs(60));
    same("the address", &case.put(REFUSED, later).await?, &address)?;
    same("the objects", &case.objects().await?, &objects)
}

async fn events_of_two_targets_are_archived_under_different_keys(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let first = DeadLetterCase::new(suite, name, "crm")?;
    let second = DeadLetterCase::new(suite, name, "billing")?;
    let at = first.put(REFUSED, NOW).await?;
    let elsewhere = second.put(REFUSED, NOW).await?;
    holds("two addresses", at != elsewhere)?;
    first.count(2).await?;
    // Repeated in the other order.
    same("the second", &second.put(REFUSED, NOW).await?, &elsewhere)?;
    same("the first", &first.put(REFUSED, NOW).await?, &at)?;
    first.count(2).await
}

async fn archived_event_is_stored_once_per_failure_code(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let case = DeadLetterCase::new(suite, name, "crm")?;
    let refused = case.put(REFUSED, NOW).await?;
    let exhausted = case.put(FailureCode::Exhausted, NOW).await?;
    holds("two addresses", refused != exhausted)?;
    case.count(2).await
}

async fn put_fails_when_nothing_was_stored(suite: &impl ArchiveSuite, name: &str) -> Result<()> {
    let case = DeadLetterCase::new(suite, name, "crm")?;
    suite.next_call(CallFault::NoEffect);
    holds("the call failed", case.put(REFUSED, NOW).await.is_err())?;
    case.count(0).await
}

async fn put_is_idempotent_after_a_lost_response(
    suite: &impl ArchiveSuite,
    name: &str,
) -> Result<()> {
    let case = DeadLetterCase::new(suite, name, "crm")?;
    suite.next_call(CallFault::ResponseLost);
    holds("the call failed", case.put(REFUSED, NOW).await.is_err())?;
    case.count(1).await?;
    case.put(REFUSED, NOW.plus(Duration::from_secs(1))).await?;
    case.count(1).await
}
