//! A queue for a million messages, with SQS's limits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::queue::{
    MAX_VISIBILITY_TIMEOUT, Queue, QueueDepth, QueueLimits, VisibilityChange, VisibilityError,
};
use tokio::time::sleep;

use crate::time::{AWS_LATENCY, lock};

/// The ARN of the queue.
pub(crate) const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";

/// The retention period of the template's queue.
pub(crate) const RETENTION: Duration = Duration::from_secs(10 * 24 * 3_600);

/// The `maxReceiveCount` of the template's queue.
const MAX_RECEIVES: u32 = 203;

/// The visibility timeout of the template's queue.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(360);

/// SQS's limit of messages in flight in a standard queue. At this limit it returns no message.
const MAX_IN_FLIGHT: usize = 120_000;

/// A queue whose clones share its messages. A message's receipt handle is its number.
#[derive(Clone)]
pub(crate) struct BacklogQueue {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    sent_at: Timestamp,
}

struct State {
    messages: Vec<MessageState>,
    /// The visible messages. SQS keeps no order, but a queue is the simplest fair choice.
    visible: VecDeque<usize>,
    /// The messages in flight by the end of their visibility timeout. An entry whose time has changed is stale.
    hidden: BinaryHeap<Reverse<(Timestamp, usize)>>,
    in_flight: usize,
    max_in_flight: usize,
    deleted: usize,
    parked: usize,
}

#[derive(Clone, Copy)]
struct MessageState {
    receive_count: u32,
    /// The end of the visibility timeout; `None` for a message that is visible, deleted or parked.
    hidden_until: Option<Timestamp>,
}

/// A received message.
#[derive(Clone, Copy)]
pub(crate) struct ReceivedMessage {
    pub(crate) number: usize,
    pub(crate) receive_count: u32,
    pub(crate) sent_at: Timestamp,
}

/// The counts at the end of a run.
pub(crate) struct QueueCounts {
    pub(crate) receive_counts: Vec<u32>,
    pub(crate) parked: usize,
    pub(crate) max_in_flight: usize,
}

impl BacklogQueue {
    /// Returns a queue with this number of messages, which were sent now.
    pub(crate) fn new(messages: usize, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            messages: vec![MessageState { receive_count: 0, hidden_until: None }; messages],
            visible: (0..messages).collect(),
            hidden: BinaryHeap::new(),
            in_flight: 0,
            max_in_flight: 0,
            deleted: 0,
            parked: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), sent_at: clock.now(), clock }
    }

    /// Receives up to ten messages.
    pub(crate) fn receive(&self) -> Vec<ReceivedMessage> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.show_due(now);
        let mut received = Vec::new();
        while received.len() < 10 && state.in_flight < MAX_IN_FLIGHT {
            let Some(number) = state.visible.pop_front() else {
                break;
            };
            let Some(message) = state.messages.get_mut(number) else {
                continue;
            };
            if message.receive_count >= MAX_RECEIVES {
                state.parked += 1;
                continue;
            }
            message.receive_count += 1;
            let receive_count = message.receive_count;
            received.push(ReceivedMessage { number, receive_count, sent_at: self.sent_at });
            state.hide(number, now.plus(VISIBILITY_TIMEOUT));
            state.in_flight += 1;
        }
        state.max_in_flight = state.max_in_flight.max(state.in_flight);
        received
    }

    /// Deletes a received message.
    pub(crate) fn delete(&self, number: usize) {
        let mut state = lock(&self.state);
        if let Some(message) = state.messages.get_mut(number)
            && message.hidden_until.take().is_some()
        {
            state.in_flight -= 1;
            state.deleted += 1;
        }
    }

    /// Returns true if no message is left.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.deleted + state.parked == state.messages.len()
    }

    /// Returns the time until a message may be received.
    pub(crate) fn next_visible(&self) -> Duration {
        let now = self.clock.now();
        let state = lock(&self.state);
        let next = state.hidden.peek().map(|Reverse((until, _))| until.since(now));
        next.unwrap_or_default().max(Duration::from_millis(20))
    }

    /// Returns the counts at the end of a run.
    pub(crate) fn counts(&self) -> QueueCounts {
        let state = lock(&self.state);
        let receive_counts = state.messages.iter().map(|it| it.receive_count);
        QueueCounts {
            receive_counts: receive_counts.collect(),
            parked: state.parked,
            max_in_flight: state.max_in_flight,
        }
    }
}

impl State {
    fn hide(&mut self, number: usize, until: Timestamp) {
        if let Some(message) = self.messages.get_mut(number) {
            message.hidden_until = Some(until);
            self.hidden.push(Reverse((until, number)));
        }
    }

    /// Shows the messages whose visibility timeout is over.
    fn show_due(&mut self, now: Timestamp) {
        while let Some(&Reverse((until, number))) = self.hidden.peek()
            && until <= now
        {
            self.hidden.pop();
            if let Some(message) = self.messages.get_mut(number)
                && message.hidden_until == Some(until)
            {
                message.hidden_until = None;
                self.visible.push_back(number);
                self.in_flight -= 1;
            }
        }
    }
}

impl Queue for BacklogQueue {
    async fn change_visibility(&self, changes: &[VisibilityChange<'_>]) -> Vec<VisibilityError> {
        sleep(AWS_LATENCY).await;
        let now = self.clock.now();
        let mut state = lock(&self.state);
        for change in changes {
            if let Ok(number) = change.receipt_handle.parse() {
                // SQS counts whole seconds.
                let seconds = change.after.min(MAX_VISIBILITY_TIMEOUT).as_secs_f64().ceil();
                state.hide(number, now.plus(Duration::from_secs_f64(seconds)));
            }
        }
        Vec::new()
    }

    async fn limits(&self, _: &str) -> Result<QueueLimits, String> {
        sleep(AWS_LATENCY).await;
        Ok(QueueLimits {
            retention: RETENTION,
            max_receives: Some(MAX_RECEIVES),
            parking_arn: None,
        })
    }

    async fn depth(&self, _: &str) -> Result<QueueDepth, String> {
        sleep(AWS_LATENCY).await;
        let state = lock(&self.state);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(QueueDepth { visible: count(state.visible.len()), in_flight: count(state.in_flight) })
    }
}
