//! Receiving messages, several calls at once, until there is a reason to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_replay::message::Message;
use genesys_replay::queue::{MAX_BATCH_ENTRIES, Redrive};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::held::{Held, Receipts};
use super::{DiagnoseError, Look};
use crate::queue::QueueReader;

/// After so many answers in a row without a new message the queue is taken for read: one alone may mean that all
/// are with somebody.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// Receives for one look.
pub(super) struct Receiving<'a, O, R> {
    reader: &'a O,
    held: &'a Held<R>,
    redrive: Option<&'a Redrive>,
    look: Look<'a>,
    state: Mutex<Received>,
}

/// What was received so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// New messages, those beyond the limit included.
    pub(super) messages: u64,
    /// Messages that the next receive moves away.
    pub(super) at_last_receive: u64,
    /// What ended it, if it was no good reason.
    pub(super) error: Option<DiagnoseError>,
    /// Whether somebody stopped it.
    pub(super) interrupted: bool,
    /// Whether there is any reason to end.
    ended: bool,
    /// Calls under way.
    calls: u64,
    /// Answers in a row without a new message.
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

    /// Nothing more is asked for.
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

    /// Receives and hands over what is new, until there is a reason to end or nobody takes it. Each answer has a
    /// place in the channel before it is asked for: so many are in memory, not more.
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
                    // Without their receipts they could not be shown again later.
                    self.reader.release(&messages).await;
                    let doing = "the receipts of messages cannot be kept";
                    return self.fail(DiagnoseError::Io { doing, source });
                }
            }
        }
    }

    /// Whether another call may begin: it may bring as many messages as any.
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

    /// Counts an answer, and answers what of it is to be looked at.
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
            // The rest is only shown to others again.
            let rest = limit.saturating_sub(before);
            new.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        new
    }
}
