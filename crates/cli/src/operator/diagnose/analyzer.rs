//! Examines received messages, some at a time.

use std::collections::{BTreeMap, HashMap};

use genesys_replay::message::Message;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::sync::mpsc::Receiver;

use super::correlate::{Correlation, Correlator};
use super::finding::{MessageFinding, happened};
use super::groups::Groups;
use super::{Diagnose, DiagnoseError, DiagnoseOptions, Sink};
use crate::genesys::analytics::{Conversations, MAX_CONVERSATIONS_PER_QUERY};
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::plan::Selection;
use crate::operator::remedy::remedy;

pub(super) struct Analyzer<'a, L, C> {
    options: DiagnoseOptions<'a>,
    /// `None` after the first failure, because the next batch would fail in the same way.
    ledger: Option<&'a L>,
    progress: &'a dyn Progress,
    pub(super) correlator: Option<Correlator<'a, C>>,
    pub(super) groups: Groups,
    pub(super) total: u64,
    pub(super) not_selected: u64,
    pub(super) without_ledger: u64,
}

/// Returns true if a message is selected. Its time is the time at which it was sent to the queue.
fn is_selected(
    selection: &Selection,
    classified: &ClassifiedMessage<'_>,
    finding: &MessageFinding<'_>,
) -> bool {
    let target = classified.destination.to_string();
    selection.matches_event(
        finding.event_id,
        finding.failure_category,
        &target,
        finding.interaction_id,
    ) && selection.matches_topic(finding.event_type)
        && selection.matches_original_target(classified.original_target().unwrap_or(&target))
        && selection.matches_rejection(finding.failure_code, finding.sent_at)
        && selection.matches_body(classified)
}

impl<'a, L: LedgerReader, C: Conversations> Analyzer<'a, L, C> {
    pub(super) fn new<O>(
        diagnose: &'a Diagnose<'a, O, L, C>,
        options: DiagnoseOptions<'a>,
    ) -> Self {
        Self {
            options,
            ledger: Some(diagnose.ledger),
            progress: diagnose.progress,
            correlator: diagnose.conversations.map(|conversations| Correlator {
                conversations,
                clock: diagnose.clock,
                progress: diagnose.progress,
                counts: Correlation::default(),
                is_disabled: false,
            }),
            groups: Groups::default(),
            total: 0,
            not_selected: 0,
            without_ledger: 0,
        }
    }

    /// Examines all received messages, in batches as large as the channel and one query allow.
    pub(super) async fn analyze(
        &mut self,
        mut receiver: Receiver<Vec<Message>>,
        sink: &mut impl Sink,
    ) -> Result<(), DiagnoseError> {
        while let Some(mut batch) = receiver.recv().await {
            while batch.len() + MAX_BATCH_ENTRIES <= MAX_CONVERSATIONS_PER_QUERY
                && let Ok(more) = receiver.try_recv()
            {
                batch.extend(more);
            }
            self.batch(&batch, sink).await?;
        }
        Ok(())
    }

    async fn batch(
        &mut self,
        messages: &[Message],
        sink: &mut impl Sink,
    ) -> Result<(), DiagnoseError> {
        let classify = |message| ClassifiedMessage::of(message, self.options.target);
        let batch: Vec<ClassifiedMessage<'_>> = messages.iter().map(classify).collect();
        let records = self.records(&batch).await;
        let mut conversations = BTreeMap::new();
        if let Some(correlator) = &mut self.correlator {
            let interactions = batch.iter().filter_map(ClassifiedMessage::interaction);
            let oldest = batch.iter().filter_map(happened).min();
            conversations = correlator.find(interactions.collect(), oldest).await;
        }
        for classified in &batch {
            let interaction = classified.interaction();
            let finding = MessageFinding::of(
                classified,
                records.get(classified.key.as_str()),
                interaction.and_then(|id| conversations.get(id)),
                &self.options.rules,
                self.options.now,
            );
            if !is_selected(self.options.selection, classified, &finding) {
                self.not_selected += 1;
                continue;
            }
            sink.put(&finding).map_err(DiagnoseError::Io)?;
            self.groups.add(&finding);
            self.total += 1;
        }
        self.progress.advance(messages.len() as u64);
        Ok(())
    }

    /// Returns the ledger's items of the events in these messages; an empty map once the ledger has failed.
    async fn records(&mut self, batch: &[ClassifiedMessage<'_>]) -> HashMap<String, Record> {
        // Only events have a ledger item.
        let events = batch.iter().filter(|it| it.event().is_some());
        let keys: Vec<&str> = events.map(|it| it.key.as_str()).collect();
        if let (Some(ledger), false) = (self.ledger, keys.is_empty()) {
            match ledger.find_by_key(&keys).await {
                Ok(records) => return records,
                Err(error) => {
                    let remedy = remedy(error.kind);
                    self.progress
                        .warn(&format!("continuing without the ledger: {error}; {remedy}"));
                    self.ledger = None;
                }
            }
        }
        self.without_ledger += keys.len() as u64;
        HashMap::new()
    }
}
