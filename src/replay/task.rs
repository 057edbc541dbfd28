//! A record that holds a dead letter.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::dead_letter::{CallParameters, DeadLetter, EventId};
use crate::destination::Destination;
use crate::failure::FailureReport;
use crate::ledger::{EventKey, Lease};
use crate::message::{Message, TypedAttribute};
use crate::target::RuleTarget;

/// A dead letter with its destination and its key; it does not change while the record is handled.
pub(super) struct RecordTask<'b> {
    pub(super) message: &'b Message,
    pub(super) dead_letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    /// The old target, if the event is redirected to its destination.
    pub(super) redirected_from: Option<Destination>,
    /// The destination as text for people.
    pub(super) target: String,
    pub(super) key: EventKey,
}

impl<'b> RecordTask<'b> {
    pub(super) fn new(
        message: &'b Message,
        dead_letter: &'b DeadLetter<'b>,
        destination: Destination,
        redirected_from: Option<Destination>,
        key: EventKey,
    ) -> Self {
        let target = destination.to_string();
        Self { message, dead_letter, destination, redirected_from, target, key }
    }

    /// Returns the dead letter for the destination. A report of the old target does not apply to the new one.
    pub(super) fn dead_letter_for_destination(&self) -> Cow<'b, DeadLetter<'b>> {
        match self.redirected_from {
            Some(_) => Cow::Owned(self.dead_letter.without_report()),
            None => Cow::Borrowed(self.dead_letter),
        }
    }

    /// Returns the same record with the dead letter for its destination, and under another key if its old target accepted
    /// the event; `None` if the event is not redirected.
    pub(super) fn redirected<'r>(
        &self,
        key: Option<EventKey>,
        dead_letter: &'r DeadLetter<'b>,
    ) -> Option<RecordTask<'r>>
    where
        'b: 'r,
    {
        self.redirected_from.as_ref()?;
        let key = key.unwrap_or_else(|| self.key.clone());
        Some(RecordTask { dead_letter, ..self.with_key(key) })
    }

    /// Returns the same record with another key of its event.
    pub(super) fn with_key(&self, key: EventKey) -> Self {
        Self {
            message: self.message,
            dead_letter: self.dead_letter,
            destination: self.destination.clone(),
            redirected_from: self.redirected_from.clone(),
            target: self.target.clone(),
            key,
        }
    }

    /// Returns the report on an accepted delivery that failed later; `None` if the message is not a failure record.
    pub(super) fn report(&self) -> Option<&FailureReport> {
        self.dead_letter.report.as_ref()
    }

    /// Returns true if the event goes to the target that the dead letter names, or to the one that replaces it.
    fn goes_to_its_target(&self) -> bool {
        let target = self.dead_letter.failure.target_arn.as_deref();
        self.redirected_from.is_some() || target == Some(self.destination.key_part())
    }

    /// Returns true if the whole message returns to the queue from which SQS moved it.
    pub(super) fn is_whole(&self) -> bool {
        self.dead_letter.whole && self.goes_to_its_target()
    }

    /// Returns the payload to deliver, unchanged byte for byte.
    pub(super) fn payload(&self) -> &str {
        if self.is_whole() { &self.message.body } else { &self.dead_letter.payload }
    }

    /// Returns the name of the deliveries of a claim, by which the target recognises repetitions.
    pub(super) fn delivery_name(&self, lease: &Lease) -> String {
        // A new failure record after an earlier attempt means that the target accepted that attempt and the answer
        // was lost. The target would drop another delivery under the same name.
        let is_about_ours =
            |report: &&FailureReport| lease.attempt > 1 && report.is_later_than(lease.first_seen);
        let report = self.report().filter(is_about_ours);
        let id = report.and_then(|report| report.delivery_id.as_deref());
        self.key.delivery_name(lease.round, self.message.replay_plan(), id)
    }

    /// Returns the message attributes that are delivered with the payload: those of the whole message, or of a
    /// schedule's call.
    pub(super) fn attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        if self.is_whole() {
            return self.message.own_attributes();
        }
        let call = self.call().into_iter().flat_map(|call| &call.attributes);
        call.map(|(name, attribute)| (name.as_str(), attribute.clone())).collect()
    }

    /// Returns the parameters of a schedule's call, if the event goes to the target of the call.
    pub(super) fn call(&self) -> Option<&CallParameters> {
        self.dead_letter.call.as_deref().filter(|_| self.goes_to_its_target())
    }

    /// Returns the rule's target, if the event goes to it.
    pub(super) fn rule_target(&self) -> Option<RuleTarget<'_>> {
        let failure = &self.dead_letter.failure;
        let named = failure.target_arn.as_deref()?;
        let target_arn = self.redirected_from.as_ref().map_or(named, Destination::key_part);
        let rule_arn = failure.rule_arn.as_deref()?;
        self.goes_to_its_target().then_some(RuleTarget { rule_arn, target_arn })
    }

    /// Returns the message group: that of a schedule's call, or of the message.
    pub(super) fn group(&self) -> Option<&str> {
        let call = self.call().and_then(|call| call.group.as_deref());
        call.or(self.message.group.as_deref())
    }

    /// Returns the event's own id, if it has one.
    pub(super) fn event_id(&self) -> Option<&str> {
        self.dead_letter.event_id.as_ref().map(EventId::as_str)
    }
}
