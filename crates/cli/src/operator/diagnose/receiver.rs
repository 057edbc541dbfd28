//! Receives messages, several calls at once, until there is a reason to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_replay::message::Message;
use genesys_replay::queue::{MAX_BATCH_ENTRIES, Redrive};
use tokio::sync::mpsc::Sender;

use super::{DiagnoseError, DiagnoseOptions, RunTime};
use crate::queue::QueueReader;
use crate::queue::drain::QueueDrain;

pub(super) struct MessageReceiver<'a, O> {
    pub(super) drain: QueueDrain<'a, O>,
    pub(super) redrive: Option<&'a Redrive>,
    pub(super) options: DiagnoseOptions<'a>,
    pub(super) run_time: RunTime,
    pub(super) state: Mutex<Received>,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    /// The number of new messages, including those beyond the limit.
    messages: u64,
    /// The number of messages that the next receive moves away.
    pub(super) at_last_receive: u64,
    /// The error that ended the receivers.
    pub(super) error: Option<DiagnoseError>,
    stopped: bool,
    open_calls: u64,
}

impl<O: QueueReader> MessageReceiver<'_, O> {
    fn state(&self) -> MutexGuard<'_, Received> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
    }

    pub(super) fn end(self) -> Received {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives messages and sends the new ones to the channel, until there is a reason to end or the channel is
    /// closed. Each call first reserves a place in the channel, which limits the messages in memory.
    pub(super) async fn receive(&self, sender: Sender<Vec<Message>>) {
        while let Ok(place) = sender.reserve().await {
            if !self.begin() {
                return;
            }
            match self.drain.receive(self.run_time.visibility_timeout()).await {
                Ok(new) => place.send(self.accept(new)),
                Err(error) => {
                    let mut state = self.state();
                    state.stopped = true;
                    state.error.get_or_insert(error.into());
                    return;
                }
            }
        }
    }

    /// Returns true if another call may begin. Assumes that each open call returns a full batch.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let coming = state.messages + state.open_calls * MAX_BATCH_ENTRIES as u64;
        let may = !state.stopped
            && self.drain.end().is_none()
            && self.options.limit.is_none_or(|limit| coming < limit);
        state.open_calls += u64::from(may);
        may
    }

    /// Counts new messages, and returns those that are to be examined.
    fn accept(&self, mut new: Vec<Message>) -> Vec<Message> {
        let mut state = self.state();
        state.open_calls -= 1;
        let before = state.messages;
        state.messages += new.len() as u64;
        if let Some(redrive) = self.redrive {
            let last = |message: &&Message| message.receive_count >= redrive.max_receives;
            state.at_last_receive += new.iter().filter(last).count() as u64;
            if state.at_last_receive > 0 && !self.options.force {
                state.stopped = true;
                state.error = Some(DiagnoseError::LastReceive {
                    messages: state.at_last_receive,
                    received: state.messages,
                    max_receives: redrive.max_receives,
                    parking: redrive.parking_name().to_owned(),
                });
            }
        }
        if let Some(limit) = self.options.limit {
            // Messages beyond the limit are only made visible again.
            let rest = limit.saturating_sub(before);
            new.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        new
    }
}
