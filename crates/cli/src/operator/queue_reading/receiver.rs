//! Receives messages, several calls at once, until there is a reason to end.

use genesys_replay::message::Message;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::sync::mpsc::Sender;

use super::{QueueReadError, QueueReading, ReadScope};
use crate::queue::QueueReader;
use crate::queue::drain::Received;
use crate::queue::receive_cost::ReceiveCost;

/// The state that the receivers of a reading share.
#[derive(Debug, Default)]
pub(super) struct Receives {
    /// The receives so far, including those beyond the limit.
    pub(super) cost: ReceiveCost,
    /// The error that ended the receivers.
    error: Option<QueueReadError>,
    stopped: bool,
    open_calls: u64,
}

impl Receives {
    pub(super) fn new(cost: ReceiveCost) -> Self {
        Self { cost, ..Self::default() }
    }

    pub(super) fn begin_pass(&mut self) {
        (self.stopped, self.open_calls) = (false, 0);
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(super) fn take_error(&mut self) -> Option<QueueReadError> {
        self.error.take()
    }

    fn fail(&mut self, error: impl Into<QueueReadError>) {
        self.stopped = true;
        self.error.get_or_insert(error.into());
    }
}

impl<Q: QueueReader> QueueReading<'_, Q> {
    /// Receives messages and sends the new ones to the channel, until there is a reason to end or the channel is
    /// closed. Each call first reserves a place in the channel, which limits the messages in memory.
    pub(super) async fn receive(&self, scope: ReadScope<'_>, sender: Sender<Vec<Message>>) {
        while let Ok(place) = sender.reserve().await {
            if !self.begin_call(scope) {
                return;
            }
            match self.drain.receive(self.visibility_timeout()).await {
                Ok(received) => place.send(self.accept(scope, received)),
                Err(error) => {
                    self.receives().fail(error);
                    return;
                }
            }
        }
    }

    /// Returns true if another call may begin. Assumes that each open call returns a full batch.
    fn begin_call(&self, scope: ReadScope<'_>) -> bool {
        let mut state = self.receives();
        let coming = state.cost.received + state.open_calls * MAX_BATCH_ENTRIES as u64;
        let may = !state.stopped
            && self.drain.end().is_none()
            && scope.limit.is_none_or(|limit| coming < limit);
        state.open_calls += u64::from(may);
        may
    }

    /// Counts received messages, and returns the new ones that are to be consumed.
    fn accept(&self, scope: ReadScope<'_>, received: Received) -> Vec<Message> {
        let Received { mut new, repeated } = received;
        let mut state = self.receives();
        state.open_calls = state.open_calls.saturating_sub(1);
        let before = state.cost.received;
        if let Err(refusal) = state.cost.add(&new, &repeated, scope.leaves) {
            state.fail(refusal);
        }
        if let Some(limit) = scope.limit {
            // Messages beyond the limit are only made visible again.
            let rest = limit.saturating_sub(before);
            new.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        new
    }
}
