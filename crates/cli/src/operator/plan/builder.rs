//! Makes a plan, a frozen list, from the stored dead letters.

mod redirected;
mod siblings;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, LATEST, Redirects, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{EventKey, FormerKey, Status};
use genesys_replay::message::{Message, resent};
use genesys_replay::replay::decision::{NextStep, Rules};
use genesys_replay::target::endpoint;

pub(crate) use siblings::object_name;

use super::closing;
use super::{
    Excluded, Exclusions, LedgerSnapshot, Location, PlanItem, PlanKind, Predicted, Selection,
    shown_target,
};
use crate::ledger::{LedgerReader, MAX_LEDGER_KEYS, Record, event_at_target, scan_all};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::resend::keep_former_id;

/// The facts about the function that a plan needs.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    pub target: &'a ReplayTarget,
    /// The redirects of this plan, besides those of the function.
    pub redirects: &'a Redirects,
    /// The ARN of the queue that the function drains: an event that is delivered to this queue would loop.
    pub queue_arn: &'a str,
    /// The retention of finished ledger items.
    pub remember: Duration,
    /// The rules of the function's decisions.
    pub rules: Rules,
}

/// A plan that is being made. Dead letters are considered one by one, from any source.
pub struct PlanBuilder<'a, L> {
    ledger: &'a L,
    context: PlanContext<'a>,
    selection: &'a Selection,
    now: Timestamp,
    /// The number of considered dead letters.
    considered: u64,
    kind: PlanKind,
    /// The selected keys with their status; `None` if all keys are permitted.
    wanted: Option<BTreeMap<String, Status>>,
    /// The keys and event ids of considered dead letters that are selected.
    seen: HashSet<String>,
    /// Considered dead letters that were not looked up yet.
    pending: Vec<Pending>,
    chosen: Vec<(PlanItem, Option<Timestamp>)>,
    by_key: HashMap<String, usize>,
    /// The keys of chosen events that the ledger does not have at a target that may have changed since their rejection.
    changed_target: HashSet<String>,
    /// The keys of the only events that are chosen now; `None` without this limit.
    only: Option<HashSet<String>>,
    pub(super) exclusions: Exclusions,
}

/// A copy of such a message would no longer identify the failed delivery.
const ONLY_BY_MOVING: &str = "only this message reports the later failure of its target: move the message to the function's queue with the redrive of SQS";

/// Such a message names its target in its body, or is from the target itself.
const NOT_REDIRECTED: &str =
    "its target cannot be changed in a message: set TARGET_REDIRECTS in the function";

/// A dead letter that is to be looked up in the ledger.
struct Pending {
    item: PlanItem,
    /// The time of the rejection.
    at: Option<Timestamp>,
    /// The message as an operator replay would send it.
    message: Message,
    /// The keys that an older version may have given the event.
    former: Vec<FormerKey>,
    first_seen: Option<Timestamp>,
    /// True if the target may be another one than that of the rejection.
    may_have_changed: bool,
    /// The old target of a redirected event, with its keys there.
    old: Option<(Destination, Vec<FormerKey>)>,
}

impl Pending {
    /// Returns true if a record under a former key is about this event.
    fn is_about(&self, former: &FormerKey, record: &Record) -> bool {
        // The ledger keeps the time of the first claim in all rounds and replays.
        let is_same_time = self.first_seen.is_some() && record.first_seen == self.first_seen;
        !former.is_shared || is_same_time || record.message_id == self.message.id.as_str()
    }
}

/// The known facts about the rejection of a dead letter.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejection {
    /// The failure code.
    pub(super) code: Option<String>,
    /// The target of the rejected event, as shown to people.
    pub(super) target: Option<String>,
    /// The time of the rejection.
    pub(super) at: Option<Timestamp>,
    /// The time at which the event was first seen, as in the archived object.
    pub(super) first_seen: Option<Timestamp>,
}

impl<'a, L: LedgerReader> PlanBuilder<'a, L> {
    /// Begins a plan of the selected dead letters, as this function would read them at `now`.
    pub fn new(
        ledger: &'a L,
        context: PlanContext<'a>,
        selection: &'a Selection,
        now: Timestamp,
    ) -> Self {
        Self {
            ledger,
            context,
            selection,
            now,
            considered: 0,
            kind: PlanKind::Replay,
            wanted: None,
            seen: HashSet::new(),
            pending: Vec::new(),
            chosen: Vec::new(),
            by_key: HashMap::new(),
            changed_target: HashSet::new(),
            only: None,
            exclusions: Exclusions::default(),
        }
    }

    /// Sets the effect of the plan, which decides the selectable events.
    #[must_use]
    pub fn to(self, kind: PlanKind) -> Self {
        Self { kind, ..self }
    }

    /// Restricts the plan to events that the ledger has as rejected, selected by the ledger's code and time.
    pub async fn only_from_ledger(&mut self, progress: &dyn Progress) -> Result<(), AwsError> {
        let mut wanted = BTreeMap::new();
        progress.begin("reading the ledger", None);
        let mut records = scan_all(self.ledger, 1);
        while let Some(record) = records.try_next().await? {
            progress.advance(1);
            if let Some(status @ (Status::Archived | Status::Failed)) = record.status
                && self.selection.matches_record(&record)
            {
                wanted.insert(record.key, status);
            }
        }
        progress.end();
        self.wanted = Some(wanted);
        Ok(())
    }

    /// Considers one dead letter: the message as it was in the queue, and the known facts about its rejection.
    pub(super) async fn consider(
        &mut self,
        mut message: Message,
        place: Location,
        rejection: Rejection,
    ) -> Result<(), AwsError> {
        let Rejection { code, target, at, first_seen } = rejection;
        self.considered += 1;
        message.queue_arn = Some(self.context.queue_arn.to_owned());
        let plan = (resent::PLAN.to_owned(), "this plan".to_owned());
        message.attributes.extend([plan]);
        let redirected_from = self.redirect(&mut message);
        let classified = ClassifiedMessage::of(&message, self.context.target);
        let event = classified.event();
        let target_arn = event.and_then(|event| event.failure.target_arn.as_deref());
        let old = match &redirected_from {
            Some(from) => Some(Destination::of_arn(from)),
            None => self.context.target.redirected_from(target_arn),
        };
        let code =
            code.or_else(|| Some(classified.unreplayable_reason()?.failure_code().to_string()));
        let item = PlanItem {
            key: classified.key.to_string(),
            event_type: classified.event_type().to_owned(),
            interaction_id: classified.interaction().map(str::to_owned),
            target: classified.destination.to_string(),
            original_target: classified.original_target().map(str::to_owned),
            category: classified.category.as_str().to_owned(),
            failure_code: code,
            place,
            body_sha256: digest::hexadecimal(&message.body),
            ledger: None,
            predicted: Predicted {
                attempt: 1,
                marks_interaction: event.is_some_and(|it| it.marked_interaction().is_some()),
            },
            edit: None,
            redirected_from,
        };
        let former_id = event.and_then(|event| event.former_id.as_ref());
        let mut former = classified.key.former(former_id, &classified.destination);
        if let (PlanKind::Discard | PlanKind::Restore, Some(target)) = (self.kind, &target)
            && *target != item.target
        {
            // After a change of the function's target, the item is still under the old one.
            let key = EventKey::stored(&event_at_target(item.event_id(), target));
            former.push(FormerKey { key, is_shared: false });
        }
        let old = old.map(|from| {
            let keys = classified.key.at(&from).with_former(former_id, &from);
            (from, keys)
        });
        // The event as an older version may have stored it.
        let known_as = |key: &FormerKey| PlanItem { key: key.key.to_string(), ..item.clone() };
        let is_selected = match &self.wanted {
            // The ledger has already decided on everything except the members that it may not have.
            Some(wanted) => {
                let old = old.iter().flat_map(|(_, keys)| keys);
                let former = former.iter().chain(old).map(|it| it.key.as_str());
                let known: Vec<&str> =
                    former.chain([&*item.key]).filter(|key| wanted.contains_key(*key)).collect();
                self.seen.extend(known.iter().map(|key| (*key).to_owned()));
                !known.is_empty()
                    && self.selection.matches_topic(&item.event_type)
                    && self.selection.matches_original_target(item.original_target())
            }
            // A code that is not known yet is checked after the look-up.
            None => {
                (self.selection.matches_item(&item)
                    || former.iter().any(|key| self.selection.matches_item(&known_as(key))))
                    && item
                        .failure_code
                        .as_deref()
                        .is_none_or(|code| self.selection.matches_rejection(Some(code), at))
            }
        };
        if !is_selected || !self.selection.matches_body(&classified) {
            return Ok(());
        }
        if item.redirected_from.is_some() && target_arn != Some(item.target_key()) {
            self.mark_seen(&item);
            self.exclusions.add(NOT_REDIRECTED, item.event_id());
            return Ok(());
        }
        let prediction = classified.predict(&self.context.rules, None, self.now);
        if self.kind == PlanKind::Replay && prediction.step == NextStep::Archive {
            let reason = exclusion_reason(&classified);
            self.mark_seen(&item);
            self.exclusions.add(reason, item.event_id());
            return Ok(());
        }
        // Neither a message nor an archived object shows the whole URL of that time. The old target of a redirect is
        // compared exactly.
        let is_fixed = matches!(self.context.target, ReplayTarget::Fixed(_));
        let may_have_changed = is_fixed
            || target.is_some_and(|target| {
                let is_old = old.as_ref().is_some_and(|(from, _)| from.to_string() == target);
                target != item.target && !is_old
            });
        let pending = Pending { item, at, message, former, first_seen, may_have_changed, old };
        self.pending.push(pending);
        if self.pending.len() >= MAX_LEDGER_KEYS {
            self.look_up().await?;
        }
        Ok(())
    }

    /// Looks up the dead letters that were considered since the last look-up.
    pub(super) async fn look_up(&mut self) -> Result<(), AwsError> {
        let pending = std::mem::take(&mut self.pending);
        let keys = pending.iter().map(|it| it.item.key.as_str());
        let former = pending.iter().flat_map(|it| &it.former);
        let old = pending.iter().flat_map(|it| &it.old).flat_map(|(_, keys)| keys);
        let former = former.chain(old).map(|it| it.key.as_str());
        let keys: Vec<&str> = keys.chain(former).collect();
        let mut records = HashMap::new();
        for keys in keys.chunks(MAX_LEDGER_KEYS) {
            records.extend(self.ledger.find_by_key(keys).await?);
        }
        for mut pending in pending {
            let former = pending.former.iter().find(|former| {
                let record = records.get(former.key.as_str());
                record.is_some_and(|record| pending.is_about(former, record))
            });
            if let Some(FormerKey { key, .. }) = former
                && !records.contains_key(&pending.item.key)
            {
                pending.item.key = key.to_string();
                // Only the key of a function may name its target in another form.
                if pending.item.key.ends_with(LATEST) {
                    let target = pending.item.target_key().to_owned();
                    pending.item.target = target;
                }
                keep_former_id(&mut pending.message, pending.item.event_id());
            }
            let at_old_target = self.at_old_target(&pending, &records);
            let Pending { mut item, at, message, may_have_changed, .. } = pending;
            match self.kind {
                PlanKind::Replay => {}
                // The key names the target also if the function does not deliver to this target.
                PlanKind::Discard | PlanKind::Restore => {
                    item.target = shown_target(item.target_key());
                }
            }
            let record = records.get(&item.key);
            if item.failure_code.is_none() {
                item.failure_code = record.and_then(|record| record.failure_code.clone());
                let at = record.and_then(|record| record.processed).or(at);
                let code = item.failure_code.as_deref();
                if !self.selection.matches_rejection(code, at) {
                    continue;
                }
            }
            self.mark_seen(&item);
            let excluded = match (self.kind, record) {
                (PlanKind::Replay, Some(record)) => {
                    at_old_target.or_else(|| self.excluded(record, &message, &item.place))
                }
                (PlanKind::Replay, None) => {
                    at_old_target.or_else(|| self.excluded_without_item(&item.place, at))
                }
                (PlanKind::Discard, Some(record)) => {
                    closing::not_discarded(record, &item.place, self.selection.open, self.now)
                }
                (PlanKind::Restore, Some(record)) => closing::not_restored(record),
                (PlanKind::Discard | PlanKind::Restore, None) => None,
            };
            if let Some(reason) = excluded {
                self.exclusions.add(reason, item.event_id());
                continue;
            }
            if record.is_none() && may_have_changed {
                self.changed_target.insert(item.key.clone());
            }
            item.ledger = record.map(LedgerSnapshot::of);
            item.predicted.attempt = record.map_or(0, |record| record.attempts) + 1;
            self.choose(item, at);
        }
        Ok(())
    }

    /// Returns the number of dead letters that were compared with the selection.
    pub const fn considered(&self) -> u64 {
        self.considered
    }

    fn mark_seen(&mut self, item: &PlanItem) {
        self.seen.extend([item.key.clone(), item.event_id().to_owned()]);
    }

    /// Returns the reason, according to the ledger item, why an event is not sent again; `None` if it is sent.
    fn excluded(
        &self,
        record: &Record,
        message: &Message,
        place: &Location,
    ) -> Option<&'static str> {
        let classified = ClassifiedMessage::of(message, self.context.target);
        let state = record.state();
        let prediction = classified.predict(&self.context.rules, Some(&state), self.now);
        let report = classified.event().and_then(|event| event.report.as_ref());
        if let Some(report) = report
            && prediction.code == Some(FailureCode::FailedAfterAcceptance)
        {
            // The function begins a new round, or archives the event after the last one. A copy of another record would
            // not identify the failed delivery any more.
            return (!report.is_of_known_delivery()).then_some(ONLY_BY_MOVING);
        }
        match prediction.step {
            NextStep::Replay | NextStep::Archive | NextStep::Return => match record.status {
                Some(Status::Deferred | Status::InProgress) => match place {
                    // SQS parked the message while something other than the event failed, so no other message carries
                    // the event.
                    Location::Message { .. } => None,
                    Location::Object { .. } => (!self.selection.open).then_some(
                        "the event is open, so another message should carry it (--open selects it anyway)",
                    ),
                },
                Some(
                    Status::Completed | Status::Archived | Status::Failed | Status::Discarded,
                )
                | None => None,
            },
            NextStep::Acknowledge => Some(match record.status {
                Some(Status::Completed) => "the event was delivered already",
                Some(Status::Discarded) => "an operator discarded the event",
                Some(
                    Status::InProgress | Status::Deferred | Status::Archived | Status::Failed,
                )
                | None => "the event was delivered already, only its bookkeeping is open",
            }),
            NextStep::Wait if record.status.is_none() => {
                Some("the ledger item has a status that this version does not support")
            }
            NextStep::Wait => Some("the function is working on the event"),
        }
    }

    /// Returns the reason why an event without a ledger item is not sent again.
    fn excluded_without_item(
        &self,
        place: &Location,
        at: Option<Timestamp>,
    ) -> Option<&'static str> {
        // An object stays after its event is delivered, and the ledger item expires.
        let forgotten = match place {
            Location::Object { .. } => {
                at.is_none_or(|at| at.plus(self.context.remember) < self.now)
            }
            Location::Message { .. } => false,
        };
        (forgotten && !self.selection.forgotten).then_some(
            "the event was archived longer ago than the ledger's retention, and may have been delivered since (--forgotten selects it anyway)",
        )
    }

    /// Adds an item. A replay sends only the copy of an event that was rejected last. All copies are closed.
    fn choose(&mut self, item: PlanItem, at: Option<Timestamp>) {
        if self.only.as_ref().is_some_and(|only| !only.contains(&item.key)) {
            return;
        }
        match self.kind {
            PlanKind::Replay => {}
            PlanKind::Discard | PlanKind::Restore => return self.chosen.push((item, at)),
        }
        let index = *self.by_key.entry(item.key.clone()).or_insert(self.chosen.len());
        match self.chosen.get_mut(index) {
            None => self.chosen.push((item, at)),
            Some(known) => {
                self.exclusions.add("another copy of the same event is sent", item.event_id());
                if at > known.1 {
                    *known = (item, at);
                }
            }
        }
    }

    /// Returns the items in the order in which they were considered, and the dead letters that are left out.
    pub async fn finish(mut self) -> Result<(Vec<PlanItem>, Vec<Excluded>), AwsError> {
        self.look_up().await?;
        for (key, status) in self.wanted.take().unwrap_or_default() {
            if !self.seen.contains(&key) {
                let reason = if status == Status::Failed {
                    "the event is FAILED in the ledger, so it was never archived (--from parking)"
                } else {
                    "the event is ARCHIVED in the ledger, but its object was not found (another prefix, or deleted?)"
                };
                self.exclusions.add(reason, &key);
            }
        }
        for id in self.selection.ids.iter().filter(|id| !self.seen.contains(*id)) {
            self.exclusions.add("no dead letter with this id was found", id);
        }
        let items = self.chosen.into_iter().map(|(item, _)| item).collect();
        Ok((items, self.exclusions.0.into_values().collect()))
    }
}

/// Returns the reason why sending a dead letter again cannot succeed, whatever the ledger contains.
fn exclusion_reason(classified: &ClassifiedMessage<'_>) -> String {
    if let Some(why) = classified.unreplayable_reason() {
        return format!("not an event that can be delivered: {why}");
    }
    match endpoint(&classified.destination) {
        Err(error) => format!("the event cannot be delivered: {error}"),
        Ok(_) => "the event only reports a mark of this function".to_owned(),
    }
}
