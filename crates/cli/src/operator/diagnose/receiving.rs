//! Receiving messages, several calls at once, until there is a reason to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_replay::message::Message;
use genesys_replay::queue::{MAX_BATCH_ENTRIES, Redrive};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::held::{Held, Receipts};
use super::{DiagnoseError, Look};
use crate::queue::QueueReader;

/// The number of consecutive answers without a new message after which the queue counts as read. One such answer may
/// only mean that all messages are in flight.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// The receivers of one diagnosis.
pub(super) struct Receiving<'a, O, R> {
    reader: &'a O,
    held: &'a Held<R>,
    redrive: Option<&'a Redrive>,
    look: Look<'a>,
    state: Mutex<Received>,
}

/// The state of the receivers.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The number of new messages, including those beyond the limit.
    pub(super) messages: u64,
    /// The number of messages that the next receive moves away.
    pub(super) at_last_receive: u64,
    /// The error that ended the receivers, if any.
    pub(super) error: Option<DiagnoseError>,
    /// True if an operator stopped the diagnosis.
    pub(super) interrupted: bool,
    /// True if there is any reason to end.
    ended: bool,
    /// The number of open calls.
    calls: u64,
    /// The number of consecutive answers without a new message.
    idle: u32,
}

impl<'a, O: QueueReader, R: Receipts> Receiving<'a, O, R> {
    pub(super) fn new(
        reader: &'a O,
        held: &'a Held<R>,
        redrive: Option<&'a Redrive>,
        look: Look<'a>,
    ) -> Self {
        Self {
            reader,
            held,
            redrive,
            look,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Received> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops further calls, because the operator stopped the diagnosis.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.ended = true;
        state.interrupted = true;
    }

    pub(super) fn end(self) -> Received {
        self.state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives messages and sends the new ones to the channel, until there is a reason to end or the channel is
    /// closed. Each call first reserves a place in the channel, which limits the messages in memory.
    pub(super) async fn receive(&self, sender: Sender<Vec<Message>>) {
        while let Ok(place) = sender.reserve().await {
            if !self.begin() {
                return;
            }
            let (hold, asked) = (self.held.hold(), Instant::now());
            let messages = match self.reader.receive(hold).await {
                Ok(messages) => messages,
                Err(error) => return self.fail(error.into()),
            };
            match self.held.keep(&messages, asked, hold) {
                Ok(fresh) => place.send(self.take(messages, &fresh)),
                Err(source) => {
                    // Release these messages now: without their receipts, that is not possible later.
                    self.reader.release(&messages).await;
                    let doing = "the receipts of messages cannot be kept";
                    return self.fail(DiagnoseError::Io { doing, source });
                }
            }
        }
    }

    /// Returns true if another call may begin. Assumes that each open call returns a full batch.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let coming = state.messages + state.calls * MAX_BATCH_ENTRIES as u64;
        let may = !state.ended && self.look.limit.is_none_or(|limit| coming < limit);
        state.calls += u64::from(may);
        may
    }

    fn fail(&self, error: DiagnoseError) {
        let mut state = self.state();
        state.ended = true;
        state.error.get_or_insert(error);
    }

    /// Counts an answer, and returns its messages that are to be examined.
    fn take(&self, messages: Vec<Message>, fresh: &[bool]) -> Vec<Message> {
        let mut state = self.state();
        state.calls -= 1;
        let before = state.messages;
        let mut new: Vec<Message> = messages
            .into_iter()
            .zip(fresh)
            .filter_map(|(message, fresh)| fresh.then_some(message))
            .collect();
        state.messages += new.len() as u64;
        state.idle = if new.is_empty() { state.idle + 1 } else { 0 };
        state.ended |= state.idle >= MAX_EMPTY_RECEIVES;
        if let Some(redrive) = self.redrive {
            let last = |message: &&Message| message.receive_count >= redrive.max_receives;
            state.at_last_receive += new.iter().filter(last).count() as u64;
            if state.at_last_receive > 0 && !self.look.force {
                state.ended = true;
                state.error = Some(DiagnoseError::LastReceive {
                    messages: state.at_last_receive,
                    received: state.messages,
                    max_receives: redrive.max_receives,
                    parking: redrive.parking_name().to_owned(),
                });
            }
        }
        if let Some(limit) = self.look.limit {
            // Messages beyond the limit are only made visible again.
            let rest = limit.saturating_sub(before);
            new.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        new
    }
}
