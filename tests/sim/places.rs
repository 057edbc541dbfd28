//! Where every message of a story is, and whether it may be there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesys_fakes::{Draft, MemoryArchive, MemoryLedger, MemoryQueues, MemoryTarget, Status};
use genesys_replay::destination::Destination;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::replay::Outcome;

use crate::history::History;
use crate::late::LateFailures;
use crate::letters::{Kind, Letter};

/// The words of an archived message that SQS was about to delete.
const EXPIRES: &str = "the queue deletes the message";

/// All places together.
pub(crate) struct Places {
    pub(crate) queues: MemoryQueues,
    /// The queue that is drained, and where it moves what is received too often.
    pub(crate) queue: &'static str,
    pub(crate) parking: &'static str,
    pub(crate) ledger: MemoryLedger,
    pub(crate) archive: MemoryArchive,
    pub(crate) history: Arc<History>,
    pub(crate) destination: Destination,
    pub(crate) target: MemoryTarget,
    pub(crate) late: LateFailures,
    posted: Mutex<Vec<Posted>>,
}

/// A message that was put on the queue.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) message: MessageId,
    pub(crate) letter: Letter,
    pub(crate) key: EventKey,
    pub(crate) group: Option<String>,
    /// Whether an operator has sent it.
    pub(crate) plan: bool,
    /// Whether it is a failure record.
    pub(crate) is_record: bool,
}

impl Places {
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
            posted: Mutex::default(),
        }
    }

    fn posts(&self) -> MutexGuard<'_, Vec<Posted>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posts().clone()
    }

    /// Puts a message on the queue.
    pub(crate) fn post(&self, letter: Letter, draft: Draft) -> Option<Posted> {
        let group = draft.group.clone();
        let plan = draft.attributes.contains_key("ReplayPlan");
        let message = self.queues.send(self.queue, draft)?;
        let posted = Posted {
            key: letter.key(&message, &self.destination),
            message,
            letter,
            group,
            plan,
            is_record: false,
        };
        let from = if plan { "an operator" } else { "EventBridge" };
        let Posted { message, .. } = &posted;
        let line = format!("{from} sends {:?} in {message}", letter.kind);
        self.history.write_of(posted.key.as_str(), line);
        self.posts().push(posted.clone());
        Some(posted)
    }

    /// Puts the failure records on the queue that arrive now: an event may be delivered once more for each.
    pub(crate) fn records_arrive(&self) {
        for record in self.late.arrive() {
            let group = record.draft.group.clone();
            let message = match record.message_id.and_then(MessageId::new) {
                Some(id) => self.queues.send_as(self.queue, id, record.draft),
                None => self.queues.send(self.queue, record.draft),
            };
            let Some(message) = message else { continue };
            let what = format!("its target has failed later, as {message} says");
            self.history.excuse(&record.key, &what);
            self.posts().push(Posted {
                key: EventKey::stored(&record.key),
                message,
                letter: record.letter,
                group,
                plan: false,
                is_record: true,
            });
        }
    }

    /// Whether the target has an event that did not fail there later.
    pub(crate) fn is_delivered(&self, key: &EventKey) -> bool {
        let Some(letter) = self.letter_of(key) else {
            return self.history.accepted_times(key.as_str()) > 0;
        };
        let payload = letter.body();
        let failed = self.late.failed(&payload);
        if failed == 0 {
            return self.history.accepted_times(key.as_str()) > 0;
        }
        // An event without an id may have come under another key.
        let accepted = self.target.accepted();
        let times = accepted.iter().filter(|it| it.payload == payload).count();
        times > usize::try_from(failed).unwrap_or(usize::MAX)
    }

    fn letter_of(&self, key: &EventKey) -> Option<Letter> {
        let posts = self.posts();
        posts.iter().find(|it| it.key == *key).map(|it| it.letter)
    }

    /// Whether another message will see to it that an event ends: a failure record that is still queued.
    fn is_reported(&self, posted: &Posted) -> bool {
        let inside = self.queues.inside(self.queue);
        let parked = self.queues.inside(self.parking);
        let posts = self.posts();
        posts.iter().any(|it| {
            let same = it.letter.number == posted.letter.number && it.message != posted.message;
            same && it.is_record && (inside.contains(&it.message) || parked.contains(&it.message))
        })
    }

    pub(crate) fn is_archived(&self, key: &EventKey) -> bool {
        // An event without an id may have come under another key.
        let letter = self.letter_of(key);
        if let Some(letter) = letter.filter(|it| !it.has_own_id())
            && self.late.failed(&letter.body()) > 0
        {
            // Or as a message whose event was not found: then its body alone names the interaction.
            let conversation = letter.conversation();
            let member = format!("\"interaction_id\":\"{conversation}\"");
            let in_body = format!("\\\"{conversation}\\\"");
            let names = |it: &String| it.contains(&member) || it.contains(&in_body);
            return self.archive.documents().values().any(names);
        }
        self.is_archived_under(key)
    }

    /// Whether there is an object of an event under this key.
    pub(crate) fn is_archived_under(&self, key: &EventKey) -> bool {
        // Keys are `<id>|<target>`.
        let id = key.as_str().split('|').next().unwrap_or_default();
        let named = format!("\"event_id\":\"{id}\"");
        let documents = self.archive.documents();
        documents.values().any(|document| document.contains(&named))
    }

    /// Whether an event was archived under this key, and not only a message of it that SQS was about to delete:
    /// another worker may have held the event.
    pub(crate) fn is_rejected(&self, key: &EventKey) -> bool {
        let id = key.as_str().split('|').next().unwrap_or_default();
        let named = format!("\"event_id\":\"{id}\"");
        let documents = self.archive.documents();
        let mut documents = documents.values();
        documents.any(|document| document.contains(&named) && !document.contains(EXPIRES))
    }

    /// How many objects there are of messages that SQS was about to delete.
    pub(crate) fn expired(&self) -> u64 {
        let documents = self.archive.documents();
        let all = documents.values();
        all.filter(|document| document.contains(EXPIRES)).count() as u64
    }

    /// Nobody misses an echo of our own marks: the ledger remembers it, with or without an archive.
    fn is_remembered_echo(&self, posted: &Posted) -> bool {
        let item = self.ledger.item(&posted.key);
        posted.letter.kind == Kind::Echo && item.is_some_and(|it| it.status == Status::Archived)
    }

    /// Whether the event of a message is where it shall stay.
    fn has_ended(&self, posted: &Posted) -> bool {
        let key = &posted.key;
        self.is_delivered(key) || self.is_archived(key) || self.is_remembered_echo(posted)
    }

    /// Whether a message that was sent again has been taken up after so many attempts, and what came
    /// of that is known.
    pub(crate) fn has_ended_anew(&self, posted: &Posted, attempts: u32) -> bool {
        let Some(item) = self.ledger.item(&posted.key) else {
            return false;
        };
        let has_ended = match item.status {
            Status::Completed | Status::Archived | Status::Failed | Status::Discarded => true,
            Status::InProgress | Status::Deferred => {
                let parked = self.queues.inside(self.parking);
                self.is_delivered(&posted.key) || parked.contains(&posted.message)
            }
        };
        has_ended && item.attempts > attempts
    }

    /// What is acknowledged must be somewhere.
    pub(crate) fn check_acknowledged(&self, message: &MessageId, outcome: Outcome) {
        let posts = self.posted();
        let Some(posted) = posts.iter().find(|posted| posted.message == *message) else {
            return;
        };
        let kept = match outcome {
            Outcome::Replayed => self.is_delivered(&posted.key) || self.is_reported(posted),
            Outcome::Archived { .. } => {
                self.is_archived(&posted.key) || self.is_remembered_echo(posted)
            }
            Outcome::Duplicate => self.has_ended(posted) || self.is_reported(posted),
            Outcome::Deferred { .. } | Outcome::Returned { .. } | Outcome::NotAttempted { .. } => {
                false
            }
        };
        if !kept {
            let what = format!(
                "{message} is acknowledged as {} and is nowhere",
                outcome.as_str()
            );
            self.history.violated(Some(posted.key.as_str()), &what);
        }
    }

    /// In a group, nothing is delivered before what was sent earlier has ended.
    pub(crate) fn check_order(&self, key: &EventKey) {
        let posts = self.posted();
        let inside = self.queues.inside(self.queue);
        let Some(at) = posts.iter().position(|posted| posted.key == *key) else {
            return;
        };
        let group = posts.get(at).and_then(|posted| posted.group.as_ref());
        let earlier = posts.iter().take(at);
        let waiting = earlier
            .filter(|it| it.group.is_some() && it.group.as_ref() == group && it.key != *key)
            // A delivery that failed later came in its turn.
            .filter(|it| self.history.accepted_times(it.key.as_str()) == 0)
            .find(|it| inside.contains(&it.message) && !self.has_ended(it));
        if let Some(waiting) = waiting {
            let what = format!(
                "delivered before {}, which its group still waits for",
                waiting.key
            );
            self.history.violated(Some(key.as_str()), &what);
        }
    }

    /// When nothing is left to do, every message is in a known place, and at the right one.
    pub(crate) fn check_end(&self) {
        let parked = self.queues.inside(self.parking);
        for posted in self.posted() {
            let key = &posted.key;
            let violated = |what: &str| self.history.violated(Some(key.as_str()), &what);
            let is_kept = parked.contains(&posted.message) || self.is_reported(&posted);
            if !self.has_ended(&posted) && !is_kept {
                violated("lost");
            }
            let may_be_delivered = match posted.letter.kind {
                Kind::Event | Kind::Audit | Kind::Nameless => true,
                Kind::Malformed => self.was_meant(key),
                Kind::Echo | Kind::Text => false,
            };
            if self.history.accepted_times(key.as_str()) > 0 && !may_be_delivered {
                violated("delivered although it must not be");
            }
            let completed = self
                .ledger
                .item(key)
                .is_some_and(|it| it.status == Status::Completed);
            if completed && self.history.accepted_times(key.as_str()) == 0 {
                violated("completed and was never delivered");
            }
        }
    }

    /// Whether an operator has sent a message of this event.
    pub(crate) fn was_meant(&self, key: &EventKey) -> bool {
        let posts = self.posts();
        posts.iter().any(|it| it.plan && it.key == *key)
    }

    /// How often each event has been taken up, by the ledger's account.
    pub(crate) fn attempts(&self) -> BTreeMap<EventKey, u32> {
        let posts = self.posted();
        let keys = posts.into_iter().map(|posted| posted.key);
        keys.map(|key| {
            let attempts = self.ledger.item(&key).map_or(0, |item| item.attempts);
            (key, attempts)
        })
        .collect()
    }
}
