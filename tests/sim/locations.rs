//! The location of every message of a run, and the checks of the locations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesys_fakes::{Draft, MemoryArchive, MemoryLedger, MemoryQueues, MemoryTarget, Status};
use genesys_replay::destination::Destination;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::replay::Outcome;

use crate::events::{Kind, SimEvent};
use crate::history::History;
use crate::late_failures::LateFailures;

/// The reason in an object that was archived at the end of retention.
const EXPIRING_REASON: &str = "the queue deletes the message";

/// Queues, ledger, archive and target of a run.
pub(crate) struct EventLocations {
    pub(crate) queues: MemoryQueues,
    /// The queue under test. Its redrive policy moves messages to `parking`.
    pub(crate) queue: &'static str,
    pub(crate) parking: &'static str,
    pub(crate) ledger: MemoryLedger,
    pub(crate) archive: MemoryArchive,
    pub(crate) history: Arc<History>,
    pub(crate) destination: Destination,
    pub(crate) target: MemoryTarget,
    pub(crate) late: LateFailures,
    sent_message: Mutex<Vec<SentMessage>>,
}

/// A message that was sent to the queue.
#[derive(Clone, Debug)]
pub(crate) struct SentMessage {
    pub(crate) message: MessageId,
    pub(crate) event: SimEvent,
    pub(crate) key: EventKey,
    pub(crate) group: Option<String>,
    /// True for an operator replay.
    pub(crate) plan: bool,
    pub(crate) is_record: bool,
}

impl EventLocations {
    pub(crate) fn new(
        queues: MemoryQueues,
        (queue, parking): (&'static str, &'static str),
        ledger: MemoryLedger,
        history: Arc<History>,
        destination: Destination,
    ) -> Self {
        Self {
            queues,
            queue,
            parking,
            ledger,
            archive: MemoryArchive::default(),
            history,
            destination,
            target: MemoryTarget::default(),
            late: LateFailures::default(),
            sent_message: Mutex::default(),
        }
    }

    fn sent_messages(&self) -> MutexGuard<'_, Vec<SentMessage>> {
        self.sent_message.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sent_message(&self) -> Vec<SentMessage> {
        self.sent_messages().clone()
    }

    /// Sends a message to the queue.
    pub(crate) fn post(&self, event: SimEvent, draft: Draft) -> Option<SentMessage> {
        let group = draft.group.clone();
        let plan = draft.attributes.contains_key("ReplayPlan");
        let message = self.queues.send(self.queue, draft)?;
        let sent_message = SentMessage {
            key: event.key(&message, &self.destination),
            message,
            event,
            group,
            plan,
            is_record: false,
        };
        let from = if plan { "an operator" } else { "EventBridge" };
        let SentMessage { message, .. } = &sent_message;
        let line = format!("{from} sends {:?} in {message}", event.kind);
        self.history.log_event(sent_message.key.as_str(), line);
        self.sent_messages().push(sent_message.clone());
        Some(sent_message)
    }

    /// Sends the failure records that are due. Each allows one more delivery of its event.
    pub(crate) fn send_due_failure_records(&self) {
        for record in self.late.take_due() {
            let group = record.draft.group.clone();
            let message = match record.message_id.and_then(MessageId::new) {
                Some(id) => self.queues.send_as(self.queue, id, record.draft),
                None => self.queues.send(self.queue, record.draft),
            };
            let Some(message) = message else { continue };
            let what = format!("its target has failed later, as reported in {message}");
            self.history.allow_duplicate(&record.key, &what);
            self.sent_messages().push(SentMessage {
                key: EventKey::stored(&record.key),
                message,
                event: record.event,
                group,
                plan: false,
                is_record: true,
            });
        }
    }

    /// Returns whether the target has accepted an event without a late failure.
    pub(crate) fn is_delivered(&self, key: &EventKey) -> bool {
        let Some(event) = self.event_of(key) else {
            return self.history.accepted_times(key.as_str()) > 0;
        };
        let payload = event.body();
        let failed = self.late.failed(&payload);
        if failed == 0 {
            return self.history.accepted_times(key.as_str()) > 0;
        }
        // An event without an id may have another key.
        let accepted = self.target.accepted();
        let times = accepted.iter().filter(|it| it.payload == payload).count();
        times > usize::try_from(failed).unwrap_or(usize::MAX)
    }

    fn event_of(&self, key: &EventKey) -> Option<SimEvent> {
        let sent_messages = self.sent_messages();
        sent_messages.iter().find(|it| it.key == *key).map(|it| it.event)
    }

    /// Returns whether a failure record of the event is still queued or parked.
    fn is_reported(&self, sent_message: &SentMessage) -> bool {
        let inside = self.queues.inside(self.queue);
        let parked = self.queues.inside(self.parking);
        let sent_messages = self.sent_messages();
        sent_messages.iter().any(|it| {
            let same =
                it.event.number == sent_message.event.number && it.message != sent_message.message;
            same && it.is_record && (inside.contains(&it.message) || parked.contains(&it.message))
        })
    }

    pub(crate) fn is_archived(&self, key: &EventKey) -> bool {
        // An event without an id may have another key.
        let event = self.event_of(key);
        if let Some(event) = event.filter(|it| !it.has_own_id())
            && self.late.failed(&event.body()) > 0
        {
            // A message whose event was not found names the interaction in its body only.
            let conversation = event.conversation();
            let member = format!("\"interaction_id\":\"{conversation}\"");
            let in_body = format!("\\\"{conversation}\\\"");
            let names = |it: &String| it.contains(&member) || it.contains(&in_body);
            return self.archive.documents().values().any(names);
        }
        self.is_archived_under(key)
    }

    /// Returns whether the archive has an object of this event key.
    pub(crate) fn is_archived_under(&self, key: &EventKey) -> bool {
        // Keys are `<id>|<target>`.
        let id = key.as_str().split('|').next().unwrap_or_default();
        let named = format!("\"event_id\":\"{id}\"");
        let documents = self.archive.documents();
        documents.values().any(|document| document.contains(&named))
    }

    /// Returns whether the event was rejected and archived, not only a message at its end of retention, because
    /// another worker may have held the event then.
    pub(crate) fn is_rejected(&self, key: &EventKey) -> bool {
        let id = key.as_str().split('|').next().unwrap_or_default();
        let named = format!("\"event_id\":\"{id}\"");
        let documents = self.archive.documents();
        let mut documents = documents.values();
        documents.any(|document| document.contains(&named) && !document.contains(EXPIRING_REASON))
    }

    /// Returns the number of objects that were archived at the end of retention.
    pub(crate) fn expired(&self) -> u64 {
        let documents = self.archive.documents();
        let all = documents.values();
        all.filter(|document| document.contains(EXPIRING_REASON)).count() as u64
    }

    /// Returns whether the message is an own echo in the ledger. It needs no archived object.
    fn is_remembered_echo(&self, sent_message: &SentMessage) -> bool {
        let item = self.ledger.item(&sent_message.key);
        sent_message.event.kind == Kind::Echo
            && item.is_some_and(|it| it.status == Status::Archived)
    }

    /// Returns whether the event is at its final location.
    fn has_ended(&self, sent_message: &SentMessage) -> bool {
        let key = &sent_message.key;
        self.is_delivered(key) || self.is_archived(key) || self.is_remembered_echo(sent_message)
    }

    /// Returns whether an operator replay had more than `attempts` attempts and a final result.
    pub(crate) fn has_ended_after_operator_replay(
        &self,
        sent_message: &SentMessage,
        attempts: u32,
    ) -> bool {
        let Some(item) = self.ledger.item(&sent_message.key) else {
            return false;
        };
        let has_ended = match item.status {
            Status::Completed | Status::Archived | Status::Failed | Status::Discarded => true,
            Status::InProgress | Status::Deferred => {
                let parked = self.queues.inside(self.parking);
                self.is_delivered(&sent_message.key) || parked.contains(&sent_message.message)
            }
        };
        has_ended && item.attempts > attempts
    }

    /// Checks that the event of an acknowledged message is delivered, archived or reported.
    pub(crate) fn check_acknowledged(&self, message: &MessageId, outcome: Outcome) {
        let sent_messages = self.sent_message();
        let Some(sent_message) =
            sent_messages.iter().find(|sent_message| sent_message.message == *message)
        else {
            return;
        };
        let kept = match outcome {
            Outcome::Replayed => {
                self.is_delivered(&sent_message.key) || self.is_reported(sent_message)
            }
            Outcome::Archived { .. } => {
                self.is_archived(&sent_message.key) || self.is_remembered_echo(sent_message)
            }
            Outcome::Duplicate => self.has_ended(sent_message) || self.is_reported(sent_message),
            Outcome::Deferred { .. } | Outcome::Returned { .. } | Outcome::NotAttempted { .. } => {
                false
            }
        };
        if !kept {
            let what =
                format!("{message} is acknowledged as {} and has no location", outcome.as_str());
            self.history.violation_found(Some(sent_message.key.as_str()), &what);
        }
    }

    /// Checks that no event is delivered before the earlier ones of its FIFO group have ended.
    pub(crate) fn check_order(&self, key: &EventKey) {
        let sent_messages = self.sent_message();
        let inside = self.queues.inside(self.queue);
        let Some(at) = sent_messages.iter().position(|sent_message| sent_message.key == *key)
        else {
            return;
        };
        let group = sent_messages.get(at).and_then(|sent_message| sent_message.group.as_ref());
        let earlier = sent_messages.iter().take(at);
        let guard = earlier
            .filter(|it| it.group.is_some() && it.group.as_ref() == group && it.key != *key)
            // A delivery that failed later was in order.
            .filter(|it| self.history.accepted_times(it.key.as_str()) == 0)
            .find(|it| inside.contains(&it.message) && !self.has_ended(it));
        if let Some(guard) = guard {
            let what =
                format!("delivered before {}, which is before it in its FIFO group", guard.key);
            self.history.violation_found(Some(key.as_str()), &what);
        }
    }

    /// Checks that every message is at a correct location at the end of a run.
    pub(crate) fn check_end(&self) {
        let parked = self.queues.inside(self.parking);
        for sent_message in self.sent_message() {
            let key = &sent_message.key;
            let violation_found =
                |what: &str| self.history.violation_found(Some(key.as_str()), &what);
            let is_kept = parked.contains(&sent_message.message) || self.is_reported(&sent_message);
            if !self.has_ended(&sent_message) && !is_kept {
                violation_found("lost");
            }
            let may_be_delivered = match sent_message.event.kind {
                Kind::Event | Kind::Audit | Kind::WithoutId => true,
                Kind::Malformed => self.has_operator_replay(key),
                Kind::Echo | Kind::Text => false,
            };
            if self.history.accepted_times(key.as_str()) > 0 && !may_be_delivered {
                violation_found("delivered although it must not be");
            }
            let completed = self.ledger.item(key).is_some_and(|it| it.status == Status::Completed);
            if completed && self.history.accepted_times(key.as_str()) == 0 {
                violation_found("completed and was never delivered");
            }
        }
    }

    /// Returns whether an operator has replayed this event.
    pub(crate) fn has_operator_replay(&self, key: &EventKey) -> bool {
        let sent_messages = self.sent_messages();
        sent_messages.iter().any(|it| it.plan && it.key == *key)
    }

    /// Returns the attempts of each event in the ledger.
    pub(crate) fn attempts(&self) -> BTreeMap<EventKey, u32> {
        let sent_messages = self.sent_message();
        let keys = sent_messages.into_iter().map(|sent_message| sent_message.key);
        keys.map(|key| {
            let attempts = self.ledger.item(&key).map_or(0, |item| item.attempts);
            (key, attempts)
        })
        .collect()
    }
}
