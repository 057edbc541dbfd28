//! Examines a queue of dead letters without removing messages.
//!
//! Every message is received once, held until the end, and then made visible again, also after an error or an
//! interruption. Memory holds the receipts, at most [`MAX_MESSAGES_IN_MEMORY`] whole messages, a bounded number of
//! groups, and the data of the [`Sink`].
//!
//! A diagnosis costs one receive of each message, and a redrive policy moves a message away after too many receives.
//! The diagnosis detects this while it runs, and stops unless it is forced.

mod analyzer;
mod correlate;
mod finding;
mod groups;
pub mod report;

use std::future::Future;
use std::io;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::ReplayTarget;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use genesys_replay::replay::decision::Rules;

use super::Progress;
use super::plan::Selection;
use super::queue_reading::{MAX_BATCHES_IN_MEMORY, QueueReadError, QueueReading, ReadScope};
use crate::genesys::analytics::{Conversations, MAX_CONVERSATIONS_PER_QUERY};
use crate::ledger::LedgerReader;
use crate::queue::held::Released;
use crate::queue::receive_cost::{ReceiveCost, ReceiveRefusal};
use crate::queue::{QueueFacts, QueueReader};
use analyzer::Analyzer;
pub use correlate::Correlation;
pub use finding::MessageFinding;
pub(crate) use finding::happened;
pub(super) use groups::advice_on_category;
pub(crate) use groups::rfc_3339;
pub use groups::{Example, Group, GroupKey, Groups, MAX_GROUPS};

/// The maximum number of messages in memory: those of every call, and one batch that is examined.
pub const MAX_MESSAGES_IN_MEMORY: usize =
    MAX_BATCHES_IN_MEMORY * MAX_BATCH_ENTRIES + MAX_CONVERSATIONS_PER_QUERY;

#[derive(Clone, Copy, Debug)]
pub struct DiagnoseOptions<'a> {
    pub target: &'a ReplayTarget,
    pub rules: Rules,
    /// The selection of messages that are shown. The others are received, and only counted.
    pub selection: &'a Selection,
    /// The time of the decisions.
    pub now: Timestamp,
    pub limit: Option<u64>,
    /// True if messages may reach their last receive.
    pub force: bool,
}

/// The consumer of findings, which receives one after another.
pub trait Sink: Send {
    /// Accepts the finding about one message.
    ///
    /// # Errors
    /// [`io::Error`] if the finding cannot be kept; the diagnosis ends then.
    fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()>;
}

pub struct Diagnose<'a, O, L, C> {
    pub reader: &'a O,
    pub ledger: &'a L,
    pub conversations: Option<&'a C>,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosisEnd {
    Drained,
    Limit,
    Interrupted,
}

#[derive(Debug)]
pub struct Diagnosis {
    pub queue: QueueFacts,
    pub generated_at: Timestamp,
    pub end: DiagnosisEnd,
    /// The number of selected messages.
    pub total: u64,
    /// The number of received messages that are not selected.
    pub not_selected: u64,
    pub groups: Groups,
    /// The receives that the diagnosis has cost.
    pub cost: ReceiveCost,
    /// The number of messages that were examined without the ledger.
    pub without_ledger: u64,
    pub correlation: Option<Correlation>,
    pub released: Released,
}

/// The reason why a diagnosis failed. All received messages are made visible again.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    #[error(transparent)]
    Receives(#[from] ReceiveRefusal),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the findings cannot be written")]
    Io(#[source] io::Error),
}

impl From<QueueReadError> for DiagnoseError {
    fn from(error: QueueReadError) -> Self {
        match error {
            QueueReadError::Receives(refusal) => Self::Receives(refusal),
            QueueReadError::Aws(error) => Self::Aws(error),
        }
    }
}

impl<O: QueueReader, L: LedgerReader, C: Conversations> Diagnose<'_, O, L, C> {
    /// Examines every message once, until the queue returns no more, the limit is reached, or `stop` is ready.
    ///
    /// # Errors
    /// [`DiagnoseError`]. As many messages as possible were made visible again, and warnings report the others.
    pub async fn run<S: Sink>(
        &self,
        options: DiagnoseOptions<'_>,
        sink: &mut S,
        stop: impl Future<Output = ()>,
    ) -> Result<Diagnosis, DiagnoseError> {
        let queue = self.reader.facts().await?;
        let reading = QueueReading::new(self.reader, &queue, options.force, self.progress)?;
        self.warn_of_limits(&queue);
        let generated_at = self.clock.now();
        reading.begin("examining");
        let mut analyzer = Analyzer::new(self, options);
        let read = {
            let scope = ReadScope::staying(options.limit);
            let analysis = async |messages| analyzer.analyze(messages, sink).await;
            reading.keep(reading.read(scope, stop, analysis)).await
        };
        self.progress.end();
        let released = reading.release().await;
        // The receivers' error comes first, because the other errors follow from it.
        let end = match read? {
            None => DiagnosisEnd::Interrupted,
            Some(finished) => {
                finished?;
                let total = analyzer.total + analyzer.not_selected;
                if options.limit.is_some_and(|limit| total >= limit) {
                    DiagnosisEnd::Limit
                } else {
                    DiagnosisEnd::Drained
                }
            }
        };
        Ok(Diagnosis {
            generated_at,
            end,
            total: analyzer.total,
            not_selected: analyzer.not_selected,
            groups: analyzer.groups,
            cost: reading.cost(),
            without_ledger: analyzer.without_ledger,
            correlation: analyzer.correlator.map(|it| it.counts),
            released,
            queue,
        })
    }

    /// Warns of the limits of a diagnosis before it begins.
    fn warn_of_limits(&self, queue: &QueueFacts) {
        if let Some(redrive) = &queue.redrive {
            self.progress.warn(&format!(
                "this diagnosis costs one receive of each message, of {} before it moves to {}",
                redrive.max_receives,
                redrive.parking_name()
            ));
        }
        if queue.fifo {
            self.progress.warn(
                "the queue is FIFO: while a message is held, SQS hides the rest of its group, so only the first messages of each group are examined",
            );
        }
        let elsewhere = queue.in_flight + queue.delayed;
        if elsewhere > 0 {
            self.progress.warn(&format!(
                "messages that are in flight or delayed, and cannot be received now: about {elsewhere}"
            ));
        }
    }
}
