//! A queue in memory that creates its messages when they are received, so that 100,000 need no memory.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::queue::{MAX_BATCH_ENTRIES, Redrive, VisibilityError};
use genesys_replay_cli::queue::{DeleteError, QueueFacts, QueueReader};
use tokio::time::Instant;

/// The ARN of the queue.
pub(crate) const ARN: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";

/// The fault of the receive with this number, from 1.
#[derive(Clone, Copy)]
pub(crate) enum Mishap {
    Denied(u64),
    Hang(u64),
}

pub(crate) struct LazyQueue {
    pub(crate) facts: QueueFacts,
    pub(crate) mishap: Option<Mishap>,
    /// True if messages are delivered twice, as SQS may do.
    pub(crate) repeats: bool,
    /// True if only receives are answered, and late.
    pub(crate) only_receives: bool,
    /// The duration of each receive.
    pub(crate) latency: Duration,
    make: Box<dyn Fn(usize) -> Message + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shown: VecDeque<usize>,
    hidden: BTreeSet<(Instant, usize)>,
    /// The end of the visibility timeout and the receive count of each message.
    messages: Vec<(Option<Instant>, u32)>,
    calls: u64,
    handed_out: u64,
    deleted: u64,
    lapsed: u64,
}

impl State {
    /// Makes messages visible whose visibility timeout has ended.
    fn pass(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.hidden.first().copied().filter(|(back, _)| *back <= now) {
            self.hidden.remove(&first);
            self.messages[first.1].0 = None;
            self.shown.push_back(first.1);
            self.lapsed += 1;
        }
    }

    fn hide(&mut self, number: usize, hold: Duration) {
        let back = Instant::now() + hold;
        if let Some(before) = self.messages[number].0.replace(back) {
            self.hidden.remove(&(before, number));
        }
        self.hidden.insert((back, number));
    }

    fn show(&mut self, number: usize) {
        if let Some(back) = self.messages[number].0.take() {
            self.hidden.remove(&(back, number));
            self.shown.push_back(number);
        }
    }
}

impl LazyQueue {
    pub(crate) fn new(
        count: usize,
        make: impl Fn(usize) -> Message + Send + Sync + 'static,
    ) -> Self {
        Self {
            facts: QueueFacts {
                url: "http://localhost/dead-letters".to_owned(),
                arn: ARN.to_owned(),
                fifo: false,
                visibility: Duration::from_secs(180),
                retention: Duration::from_secs(1_209_600),
                max_message_bytes: 1_048_576,
                redrive: None,
                visible: count as u64,
                in_flight: 0,
                delayed: 0,
            },
            mishap: None,
            repeats: false,
            only_receives: false,
            latency: Duration::from_millis(20),
            make: Box::new(make),
            state: Mutex::new(State {
                shown: (0..count).collect(),
                messages: vec![(None, 0); count],
                ..State::default()
            }),
        }
    }

    /// Returns a queue without messages.
    pub(crate) fn empty() -> Self {
        Self::new(0, |number| unreachable!("message {number}"))
    }

    /// Returns a queue with a redrive policy, whose messages have this receive count.
    pub(crate) fn redriven(mut self, max_receives: u32, receives: u32) -> Self {
        self.facts.redrive = Some(Redrive {
            parking_arn: "arn:aws:sqs:eu-central-1:271828182845:parked".to_owned(),
            max_receives,
        });
        for message in &mut self.state().messages {
            message.1 = receives;
        }
        self
    }

    /// Sets the receive count of one message.
    pub(crate) fn received(&self, number: usize, receives: u32) {
        self.state().messages[number].1 = receives;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of visible messages.
    pub(crate) fn shown(&self) -> usize {
        self.state().shown.len()
    }

    /// Returns the number of messages with this receive count.
    pub(crate) fn received_times(&self, receives: u32) -> usize {
        let state = self.state();
        state.messages.iter().filter(|it| it.1 == receives).count()
    }

    /// Returns the number of delivered messages.
    pub(crate) fn handed_out(&self) -> u64 {
        self.state().handed_out
    }

    /// Returns the number of receives.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(crate) fn deleted(&self) -> u64 {
        self.state().deleted
    }

    /// Returns how often a visibility timeout ended.
    pub(crate) fn lapsed(&self) -> u64 {
        let mut state = self.state();
        state.pass();
        state.lapsed
    }
}

/// Returns the number of a message if the handle is its latest.
fn number(state: &State, message: &Message) -> Option<usize> {
    let (number, receipt) = message.receipt_handle.as_deref()?.split_once('/')?;
    let number: usize = number.parse().ok()?;
    let (back, receives) = state.messages.get(number)?;
    (back.is_some() && receipt.parse() == Ok(*receives)).then_some(number)
}

fn unknown(message: &Message) -> VisibilityError {
    VisibilityError { message_id: message.id.clone(), reason: "MessageNotInflight".to_owned() }
}

impl QueueReader for LazyQueue {
    async fn facts(&self) -> Result<QueueFacts, AwsError> {
        Ok(self.facts.clone())
    }

    async fn receive(&self, hold: Duration) -> Result<Vec<Message>, AwsError> {
        let call = {
            let mut state = self.state();
            state.calls += 1;
            state.calls
        };
        match self.mishap {
            Some(Mishap::Hang(at)) if at == call => pending().await,
            Some(Mishap::Denied(at)) if at == call => {
                return Err(AwsError {
                    operation: "receiving".to_owned(),
                    kind: AwsErrorKind::Denied,
                    detail: None,
                });
            }
            Some(Mishap::Hang(_) | Mishap::Denied(_)) | None => {}
        }
        tokio::time::sleep(self.latency).await;
        let mut state = self.state();
        state.pass();
        let mut messages = Vec::new();
        while messages.len() < MAX_BATCH_ENTRIES
            && let Some(number) = state.shown.pop_front()
        {
            state.hide(number, hold);
            state.messages[number].1 += 1;
            let receives = state.messages[number].1;
            let mut message = (self.make)(number);
            message.receipt_handle = Some(format!("{number}/{receives}"));
            message.queue_arn = Some(ARN.to_owned());
            message.receive_count = receives;
            messages.push(message);
        }
        state.handed_out += messages.len() as u64;
        if self.repeats && messages.len() < MAX_BATCH_ENTRIES {
            let again: Vec<Message> = messages.iter().take(1).cloned().collect();
            messages.extend(again);
        }
        Ok(messages)
    }

    async fn change_visibility(
        &self,
        messages: &[Message],
        timeout: Duration,
    ) -> Vec<VisibilityError> {
        if self.only_receives {
            tokio::time::sleep(Duration::from_secs(45)).await;
            return messages.iter().map(unknown).collect();
        }
        let mut state = self.state();
        state.pass();
        let mut failures = Vec::new();
        for message in messages {
            match number(&state, message) {
                Some(number) if timeout.is_zero() => state.show(number),
                Some(number) => state.hide(number, timeout),
                None => failures.push(unknown(message)),
            }
        }
        failures
    }

    async fn delete(&self, messages: &[Message]) -> Vec<DeleteError> {
        let mut state = self.state();
        for message in messages {
            if let Some(number) = number(&state, message)
                && let Some(back) = state.messages[number].0.take()
            {
                state.hidden.remove(&(back, number));
            }
        }
        state.deleted += messages.len() as u64;
        Vec::new()
    }
}

/// A dead letter of a rule, with the number as its ids.
pub(crate) fn dead_letter(number: usize) -> Message {
    let body =
        genesys_test_support::conversation_event(&format!("e-{number}"), &format!("c-{number}"));
    let id = MessageId::new(format!("m-{number}"));
    // The text is never empty, because a message needs an id.
    let mut message = id.map_or_else(|| unreachable!(), |id| Message::new(id, body));
    let attributes = [
        ("ERROR_CODE", "THROTTLING"),
        ("RULE_ARN", "arn:aws:events:eu-central-1:271828182845:rule/crm"),
        ("TARGET_ARN", "arn:aws:lambda:eu-central-1:271828182845:function:crm"),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    message.attributes.extend(attributes);
    message.sent_at = Some(genesys_replay::clock::Timestamp::from_millis(1_785_000_000_000));
    message
}
