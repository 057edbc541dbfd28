//! Queues in memory, with the visibility timeouts, receipts, redrive and message groups of SQS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::message::MessageId;
use genesys_replay::queue::{
    MAX_VISIBILITY_TIMEOUT, Queue, QueueDepth, QueueLimits, VisibilityChange, VisibilityError,
};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// The default retention of a queue: four days, as in SQS.
const DEFAULT_RETENTION: Duration = Duration::from_secs(4 * 24 * 3_600);

/// Queues whose clones share their messages.
#[derive(Clone)]
pub struct MemoryQueues {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    faults: Arc<dyn Faults<String>>,
}

/// The redrive policy of a queue.
#[derive(Clone, Debug)]
pub struct Redrive {
    /// The ARN of the parking queue.
    pub to: String,
    /// The maximum number of receives of a message.
    pub max_receives: u32,
}

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The body.
    pub body: String,
    /// The message group of a FIFO queue: while one of its messages is in flight, later ones are blocked.
    pub group: Option<String>,
    /// The message attributes.
    pub attributes: BTreeMap<String, String>,
}

impl From<&str> for Draft {
    /// Returns a message with a body only.
    fn from(body: &str) -> Self {
        Self { body: body.to_owned(), ..Self::default() }
    }
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message id, the same at every receive.
    pub message_id: MessageId,
    /// The receipt handle of this receive.
    pub receipt_handle: String,
    /// The receive count, with this receive.
    pub receive_count: u32,
    /// The time of the send.
    pub sent_at: Timestamp,
    /// The message as it was sent.
    pub draft: Draft,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Contents>,
    /// The counter behind ids and receipt handles.
    issued: u64,
}

#[derive(Default)]
struct Contents {
    redrive: Option<Redrive>,
    /// The retention. `None`: unlimited.
    retention: Option<Duration>,
    messages: Vec<Kept>,
}

struct Kept {
    message_id: MessageId,
    sent_at: Timestamp,
    draft: Draft,
    visible_at: Timestamp,
    receive_count: u32,
    receipt_handle: Option<String>,
}

impl State {
    fn issue(&mut self, what: &str) -> String {
        self.issued += 1;
        format!("{what}-{}", self.issued)
    }

    /// Deletes the messages after their retention, also those in flight.
    fn expire(&mut self, arn: &str, now: Timestamp) {
        if let Some(contents) = self.queues.get_mut(arn)
            && let Some(retention) = contents.retention
        {
            let messages = &mut contents.messages;
            messages.retain(|message| message.sent_at.plus(retention) > now);
        }
    }

    /// Moves messages with the maximum of receives to the parking queue and invalidates their receipts.
    /// As in SQS, this happens at the next receive.
    fn park(&mut self, arn: &str, now: Timestamp) {
        let Some(contents) = self.queues.get_mut(arn) else {
            return;
        };
        let Some(Redrive { to, max_receives }) = contents.redrive.clone() else {
            return;
        };
        let all = std::mem::take(&mut contents.messages);
        let (parked, stay) = all
            .into_iter()
            .partition(|it| it.receive_count >= max_receives && it.visible_at <= now);
        contents.messages = stay;
        let parked: Vec<Kept> = parked;
        let parking = &mut self.queues.entry(to).or_default().messages;
        parking.extend(parked.into_iter().map(|message| Kept { receipt_handle: None, ..message }));
    }
}

impl MemoryQueues {
    /// Returns an empty set of queues.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock, faults: Arc::new(NoFaults) }
    }

    /// Returns the same queues with these faults of visibility changes.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<String>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Creates an empty queue.
    pub fn create(&self, arn: &str, redrive: Option<Redrive>) {
        let contents = Contents { redrive, retention: None, messages: Vec::new() };
        lock(&self.state).queues.insert(arn.to_owned(), contents);
    }

    /// Sets the retention of a queue.
    pub fn keep_for(&self, arn: &str, retention: Duration) {
        if let Some(contents) = lock(&self.state).queues.get_mut(arn) {
            contents.retention = Some(retention);
        }
    }

    /// Sends a message and returns its id. `None`: the queue does not exist.
    #[must_use]
    pub fn send(&self, arn: &str, draft: Draft) -> Option<MessageId> {
        let id = MessageId::new(lock(&self.state).issue("message"))?;
        self.send_as(arn, id, draft)
    }

    /// Sends a message with its former id, as SQS does in a redrive.
    #[must_use]
    pub fn send_as(&self, arn: &str, message_id: MessageId, draft: Draft) -> Option<MessageId> {
        let mut state = lock(&self.state);
        let contents = state.queues.get_mut(arn)?;
        contents.messages.push(Kept {
            message_id: message_id.clone(),
            draft,
            sent_at: self.clock.now(),
            visible_at: self.clock.now(),
            receive_count: 0,
            receipt_handle: None,
        });
        Some(message_id)
    }

    /// Receives up to `most` visible messages and hides them for `visibility`.
    #[must_use]
    pub fn receive(&self, arn: &str, most: usize, visibility: Duration) -> Vec<Received> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.expire(arn, now);
        state.park(arn, now);
        let mut handles = Vec::new();
        handles.resize_with(most, || state.issue("receipt"));
        let Some(contents) = state.queues.get_mut(arn) else {
            return Vec::new();
        };
        let in_flight = contents.messages.iter().filter(|it| it.visible_at > now);
        let busy: BTreeSet<String> = in_flight.filter_map(|it| it.draft.group.clone()).collect();
        let is_free = |it: &&mut Kept| match &it.draft.group {
            Some(group) => !busy.contains(group),
            None => it.visible_at <= now,
        };
        contents
            .messages
            .iter_mut()
            .filter(is_free)
            .zip(handles)
            .map(|(message, receipt_handle)| {
                message.receive_count += 1;
                message.visible_at = now.plus(visibility);
                message.receipt_handle = Some(receipt_handle.clone());
                Received {
                    message_id: message.message_id.clone(),
                    receipt_handle,
                    receive_count: message.receive_count,
                    sent_at: message.sent_at,
                    draft: message.draft.clone(),
                }
            })
            .collect()
    }

    /// Reorders the messages of a standard queue, as SQS may at any time. `pick` returns a number below
    /// its argument.
    pub fn shuffle(&self, arn: &str, mut pick: impl FnMut(usize) -> usize) {
        let mut state = lock(&self.state);
        let contents = state.queues.get_mut(arn);
        if let Some(messages) = contents.map(|it| &mut it.messages) {
            for last in (1..messages.len()).rev() {
                messages.swap(pick(last + 1), last);
            }
        }
    }

    /// Deletes a message. Returns false if the receipt was not the latest one.
    #[must_use]
    pub fn delete(&self, arn: &str, receipt_handle: &str) -> bool {
        let mut state = lock(&self.state);
        let Some(contents) = state.queues.get_mut(arn) else {
            return false;
        };
        let before = contents.messages.len();
        contents.messages.retain(|it| it.receipt_handle.as_deref() != Some(receipt_handle));
        contents.messages.len() < before
    }

    /// Returns the messages of a queue in the order of their sends, with those in flight.
    #[must_use]
    pub fn inside(&self, arn: &str) -> Vec<MessageId> {
        let mut state = lock(&self.state);
        state.expire(arn, self.clock.now());
        let messages = state.queues.get(arn).map(|contents| &contents.messages);
        let messages = messages.into_iter().flatten();
        messages.map(|it| it.message_id.clone()).collect()
    }

    /// Returns the remaining visibility timeout of each message. Zero: the message is visible.
    #[must_use]
    pub fn visibility_timeouts(&self, arn: &str) -> Vec<Duration> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let messages = state.queues.get(arn).map(|contents| &contents.messages);
        let messages = messages.into_iter().flatten();
        messages.map(|it| it.visible_at.since(now)).collect()
    }

    fn set_visibility(&self, change: &VisibilityChange<'_>) -> Result<(), &'static str> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let contents = state.queues.get_mut(change.queue_arn);
        let messages = &mut contents.ok_or("there is no such queue")?.messages;
        let mut received = messages
            .iter_mut()
            .filter(|it| it.receipt_handle.as_deref() == Some(change.receipt_handle));
        let message = received.next().ok_or("the receipt handle is invalid")?;
        // As in SQS. The local AWS does not do this, so the suite cannot check it.
        if message.visible_at <= now {
            return Err("the message is not in flight");
        }
        message.visible_at = now.plus(change.after.min(MAX_VISIBILITY_TIMEOUT));
        Ok(())
    }
}

impl Queue for MemoryQueues {
    async fn change_visibility(&self, changes: &[VisibilityChange<'_>]) -> Vec<VisibilityError> {
        if changes.is_empty() {
            return Vec::new();
        }
        let failed = |change: &VisibilityChange<'_>, reason: &str| VisibilityError {
            message_id: change.message_id.clone(),
            reason: reason.to_owned(),
        };
        let answer = pass(&*self.faults, "change_visibility", || {
            let set_visibility =
                |it| self.set_visibility(it).err().map(|reason| failed(it, reason));
            Ok(changes.iter().filter_map(set_visibility).collect())
        });
        answer.await.unwrap_or_else(|reason| {
            let all = changes.iter();
            all.map(|change| failed(change, &reason)).collect()
        })
    }

    async fn limits(&self, queue_arn: &str) -> Result<QueueLimits, String> {
        pass(&*self.faults, "limits", || {
            let state = lock(&self.state);
            let contents = state.queues.get(queue_arn).ok_or("no such queue")?;
            let redrive = contents.redrive.as_ref();
            Ok(QueueLimits {
                retention: contents.retention.unwrap_or(DEFAULT_RETENTION),
                max_receives: redrive.map(|it| it.max_receives),
                parking_arn: redrive.map(|it| it.to.clone()),
            })
        })
        .await
    }

    async fn depth(&self, queue_arn: &str) -> Result<QueueDepth, String> {
        pass(&*self.faults, "depth", || {
            let now = self.clock.now();
            let state = lock(&self.state);
            let contents = state.queues.get(queue_arn).ok_or("no such queue")?;
            let (visible, in_flight): (Vec<&Kept>, Vec<&Kept>) =
                contents.messages.iter().partition(|it| it.visible_at <= now);
            Ok(QueueDepth {
                visible: visible.len().try_into().unwrap_or(u64::MAX),
                in_flight: in_flight.len().try_into().unwrap_or(u64::MAX),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    const ARN: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";

    #[test]
    fn fifo_group_is_received_in_order_and_blocked_while_in_flight() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let queues = MemoryQueues::new(clock.clone());
        queues.create(ARN, None);
        for (text, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            let group = Some(group.to_owned());
            assert!(queues.send(ARN, Draft { group, ..text.into() }).is_some());
        }
        let visibility = Duration::from_secs(30);
        let receive = |most| {
            let received = queues.receive(ARN, most, visibility);
            let bodies = received.iter().map(|it| it.draft.body.clone());
            bodies.collect::<Vec<_>>()
        };
        assert_eq!(receive(1), ["a1"]);
        assert_eq!(receive(10), ["b1"], "a2 waits for a1");
        clock.pass(visibility);
        assert_eq!(receive(10), ["a1", "a2", "b1"]);
    }

    // A real queue has no manual clock. The suite checks the behaviour that needs none.
    #[test]
    fn message_is_received_again_after_its_visibility_timeout() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let queues = MemoryQueues::new(clock.clone());
        queues.create(ARN, None);
        assert!(queues.send(ARN, "body".into()).is_some());
        let visibility = Duration::from_secs(30);
        assert_eq!(queues.receive(ARN, 10, visibility).len(), 1);
        clock.pass(Duration::from_millis(29_999));
        assert!(queues.receive(ARN, 10, visibility).is_empty());
        clock.pass(Duration::from_millis(1));
        let again = queues.receive(ARN, 10, visibility);
        assert_eq!(again.iter().map(|it| it.receive_count).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn message_visibility_cannot_change_when_it_is_visible_again() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let queues = MemoryQueues::new(clock.clone());
        queues.create(ARN, None);
        assert!(queues.send(ARN, "body".into()).is_some());
        let received = queues.receive(ARN, 1, Duration::from_secs(30));
        assert_eq!(received.len(), 1);
        for message in &received {
            let change = VisibilityChange {
                queue_arn: ARN,
                message_id: &message.message_id,
                receipt_handle: &message.receipt_handle,
                after: Duration::from_secs(60),
            };
            clock.pass(Duration::from_secs(29));
            assert_eq!(queues.set_visibility(&change), Ok(()));
            clock.pass(Duration::from_secs(60));
            assert!(queues.set_visibility(&change).is_err());
        }
    }
}
