//! Receives messages, several calls at once, until there is a reason to end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_replay::message::Message;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::sync::mpsc::Sender;

use super::{DiagnoseError, DiagnoseOptions, RunTime};
use crate::queue::QueueReader;
use crate::queue::drain::QueueDrain;
use crate::queue::receive_cost::ReceiveCost;

pub(super) struct MessageReceiver<'a, O> {
    pub(super) drain: QueueDrain<'a, O>,
    pub(super) options: DiagnoseOptions<'a>,
    pub(super) run_time: RunTime,
    pub(super) state: Mutex<Received>,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    /// The receives of new messages, including those beyond the limit.
    pub(super) cost: ReceiveCost,
    /// The error that ended the receivers.
    pub(super) error: Option<DiagnoseError>,
    stopped: bool,
    open_calls: u64,
}

impl Received {
    pub(super) fn new(cost: ReceiveCost) -> Self {
        Self { cost, ..Self::default() }
    }
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
        let coming = state.cost.received + state.open_calls * MAX_BATCH_ENTRIES as u64;
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
        let before = state.cost.received;
        if let Err(refusal) = state.cost.add(&new) {
            state.stopped = true;
            state.error = Some(refusal.into());
        }
        if let Some(limit) = self.options.limit {
            // Messages beyond the limit are only made visible again.
            let rest = limit.saturating_sub(before);
            new.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        new
    }
}
