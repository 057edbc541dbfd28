//! Events of a moved target in a plan.

use std::collections::HashMap;

use genesys_replay::aws::AwsError;
use genesys_replay::dead_letter::{ParsedMessage, parse};
use genesys_replay::message::{Message, TARGET_ARN};
use genesys_replay::replay::decision::{MessageFacts, OldTarget};

use super::{Pending, PlanBuilder};
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::plan::PlanItem;
use crate::operator::plan::elsewhere::{ClosedItem, Deliveries};

impl<L: LedgerReader> PlanBuilder<'_, L> {
    /// Applies the redirects of this plan to a message. Returns the old target.
    pub(super) fn redirect(&self, message: &mut Message) -> Option<String> {
        if self.context.redirects.is_empty() {
            return None;
        }
        let target_arn = match &ClassifiedMessage::of(message, self.context.target).parsed {
            ParsedMessage::DeadLetter(dead_letter) => dead_letter.failure.target_arn.clone()?,
            ParsedMessage::Unreplayable(_) => return None,
        };
        let to = self.context.redirects.get(&target_arn)?;
        // Only such an attribute is the target itself; a schedule's names the call.
        if message.attribute(TARGET_ARN) == Some(&target_arn) {
            message.attributes.insert(TARGET_ARN.to_owned(), to.to_owned());
        }
        Some(target_arn)
    }

    /// Returns the reason, according to the ledger item at its old target, why a redirected event is not sent.
    pub(super) fn at_old_target(
        &self,
        pending: &Pending,
        records: &HashMap<String, Record>,
    ) -> Option<&'static str> {
        let (from, keys) = pending.old.as_ref()?;
        let mut known = keys.iter().filter_map(|key| Some((key, records.get(key.key.as_str())?)));
        let (_, record) = known.find(|(key, record)| pending.is_about(key, record))?;
        let ParsedMessage::DeadLetter(dead_letter) = parse(&pending.message) else {
            return None;
        };
        let facts = MessageFacts {
            message: &pending.message,
            dead_letter: &dead_letter,
            destination: from,
            now: self.now,
        };
        match self.context.rules.at_old_target(&facts, &record.state()) {
            Ok(None) => None,
            Ok(Some(OldTarget::Has | OldTarget::Unfinished)) => {
                Some("the old target has the event, or an operator discarded it")
            }
            Ok(Some(OldTarget::Held { .. })) => Some("the function is working on the event"),
            Err(_) => Some("the ledger item has a status that this version does not support"),
        }
    }

    /// Leaves out chosen events that another target has, because a changed target does not make an event a new one. Reads
    /// the whole ledger if the target of a chosen event may have changed.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn leave_out_delivered_elsewhere(
        &mut self,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        self.look_up().await?;
        let is_changed = |item: &PlanItem| self.changed_target.contains(&item.key);
        if !self.chosen.iter().any(|(item, _)| is_changed(item)) {
            return Ok(());
        }
        let deliveries = Deliveries::read(self.ledger, progress).await?;
        for (item, at) in std::mem::take(&mut self.chosen) {
            let other = deliveries.under_another_key(item.event_id(), &item.key);
            match other.filter(|_| self.changed_target.contains(&item.key)) {
                Some(ClosedItem { target, is_discarded: false, .. }) => self.exclusions.add(
                    format!("the event was delivered to {target} (--deliver-again-to-new-target sends it anyway)"),
                    item.event_id(),
                ),
                Some(ClosedItem { target, is_discarded: true, .. }) => self.exclusions.add(
                    format!("an operator discarded the event for {target} (--deliver-again-to-new-target sends it anyway)"),
                    item.event_id(),
                ),
                None => self.chosen.push((item, at)),
            }
        }
        Ok(())
    }
}
