//! Examines received messages, some at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use genesys_replay::message::Message;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::sync::mpsc::Receiver;

use super::correlate::Correlating;
use super::finding::{Finding, happened};
use super::groups::Groups;
use super::{Diagnose, DiagnoseError, Look, Sink};
use crate::genesys::analytics::{Conversations, MAX_CONVERSATIONS_PER_QUERY};
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::letter::Letter;
use crate::operator::remedy::remedy;

pub(super) struct Looking<'a, L, C> {
    look: Look<'a>,
    /// `None` after the first failure, because the next batch would fail in the same way.
    ledger: Option<&'a L>,
    progress: &'a dyn Progress,
    pub(super) correlating: Option<Correlating<'a, C>>,
    pub(super) groups: Groups,
    pub(super) total: u64,
    pub(super) without_ledger: u64,
}

impl<'a, L: LedgerReader, C: Conversations> Looking<'a, L, C> {
    pub(super) fn new<O>(diagnose: &'a Diagnose<'a, O, L, C>, look: Look<'a>) -> Self {
        let conversations = diagnose.conversations;
        let correlating = |it| Correlating::new(it, diagnose.clock, diagnose.progress);
        Self {
            look,
            ledger: Some(diagnose.ledger),
            progress: diagnose.progress,
            correlating: conversations.map(correlating),
            groups: Groups::default(),
            total: 0,
            without_ledger: 0,
        }
    }

    /// Examines all received messages, in batches as large as the channel and one query allow.
    pub(super) async fn look(
        &mut self,
        receiver: &mut Receiver<Vec<Message>>,
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
        let read = |message| (message, Letter::of(message, self.look.target));
        let letters: Vec<(&Message, Letter<'_>)> = messages.iter().map(read).collect();
        let records = self.records(&letters).await;
        let mut conversations = BTreeMap::new();
        if let Some(correlating) = &mut self.correlating {
            let interactions: BTreeSet<&str> = letters
                .iter()
                .filter_map(|(_, letter)| letter.interaction())
                .collect();
            let oldest = letters
                .iter()
                .filter_map(|(message, letter)| happened(message, letter))
                .min();
            conversations = correlating.find(interactions, oldest).await;
        }
        for (message, letter) in &letters {
            let finding = Finding::of(
                message,
                letter,
                records.get(letter.key.as_str()),
                letter.interaction().and_then(|id| conversations.get(id)),
                self.look.function,
            );
            sink.put(&finding).map_err(DiagnoseError::Io)?;
            self.groups.add(&finding);
        }
        self.total += messages.len() as u64;
        self.progress.advance(messages.len() as u64);
        Ok(())
    }

    /// Returns the ledger's items of the events in these messages; an empty map once the ledger has failed.
    async fn records(&mut self, letters: &[(&Message, Letter<'_>)]) -> HashMap<String, Record> {
        // Only events have a ledger item.
        let events = letters
            .iter()
            .filter(|(_, letter)| letter.event().is_some());
        let keys: Vec<&str> = events.map(|(_, letter)| letter.key.as_str()).collect();
        if let (Some(ledger), false) = (self.ledger, keys.is_empty()) {
            match ledger.find_by_key(&keys).await {
                Ok(records) => return records,
                Err(error) => {
                    let remedy = remedy(error.kind);
                    self.progress
                        .warn(&format!("going on without the ledger: {error}; {remedy}"));
                    self.ledger = None;
                }
            }
        }
        self.without_ledger += keys.len() as u64;
        HashMap::new()
    }
}
