//! The schedule of a batch: concurrent lanes, each with records that run one after another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::task::RecordTask;
use crate::dead_letter::{DeadLetter, ParsedMessage, UnreplayableReason};
use crate::destination::{Destination, ReplayTarget};
use crate::ledger::EventKey;
use crate::message::Message;

/// Records that run one after another: those of one message group or one event, or a single record.
pub(super) struct SequentialGroups<'b> {
    pub(super) groups: Vec<DuplicateGroup<'b>>,
}

/// The messages of a batch that carry the same event; the first one is the primary.
pub(super) struct DuplicateGroup<'b> {
    pub(super) job: Job<'b>,
    pub(super) primary: usize,
    pub(super) duplicates: Vec<usize>,
}

impl DuplicateGroup<'_> {
    /// Returns true if another message of the same event would end like this group's primary. Returns false if an
    /// operator sent only one of the two, only one was malformed, they report different deliveries, or they were redirected
    /// from different targets.
    fn ends_like(&self, other: &RecordTask<'_>) -> bool {
        let Some(primary) = self.job.task() else {
            return false;
        };
        let like = |task: &RecordTask<'_>| {
            let malformed = task.dead_letter.failure.category().is_malformed();
            (task.message.replay_plan().is_some(), malformed)
        };
        // Failure records of two deliveries are not copies of each other. Of two messages with different old targets, the
        // old target of one may have the event.
        like(primary) == like(other)
            && primary.report() == other.report()
            && primary.redirected_from == other.redirected_from
    }
}

/// The work that a group needs.
pub(super) enum Job<'b> {
    Replay(Box<RecordTask<'b>>),
    ArchiveUnparseable(UnreplayableReason),
    ParsePanicked,
    /// The ledger did not return the event of a failure record, for this reason.
    Unknown(String),
}

impl<'b> Job<'b> {
    /// Returns the event to replay, if the message holds one.
    pub(super) fn task(&self) -> Option<&RecordTask<'b>> {
        match self {
            Self::Replay(task) => Some(task),
            Self::ArchiveUnparseable(_) | Self::ParsePanicked | Self::Unknown(_) => None,
        }
    }
}

/// The events of failed deliveries by delivery id; `Err` holds the reason if the ledger did not answer.
pub(super) type IndexedEvents = HashMap<String, Result<Option<EventKey>, String>>;

/// Returns the key of an event at its destination. `from` is the old target, if the event is redirected. `Err` holds the reason if the ledger did not answer.
fn key_of(
    message: &Message,
    dead_letter: &DeadLetter<'_>,
    destination: &Destination,
    from: Option<&Destination>,
    indexed: &IndexedEvents,
) -> Result<EventKey, String> {
    let own = EventKey::new(dead_letter.event_id.as_ref(), &message.id, destination);
    let report = dead_letter.report.as_ref();
    let id = report.and_then(|report| report.delivery_id.as_ref());
    match id.and_then(|id| indexed.get(id)) {
        Some(Ok(Some(found))) if dead_letter.event_id.is_none() && found.is_at(destination) => {
            Ok(found.clone())
        }
        Some(Ok(Some(found)))
            if dead_letter.event_id.is_none() && from.is_some_and(|from| found.is_at(from)) =>
        {
            Ok(found.at(destination))
        }
        Some(Err(reason)) if dead_letter.event_id.is_none() => Err(reason.clone()),
        Some(_) | None => Ok(own),
    }
}

/// Sorts a batch into lanes; lanes whose messages were received less often come first.
pub(super) fn schedule<'b>(
    messages: &'b [Message],
    parsed: &'b [Option<ParsedMessage<'b>>],
    indexed: &IndexedEvents,
    target: &ReplayTarget,
    own: &[String],
) -> Vec<SequentialGroups<'b>> {
    let mut lanes: Vec<SequentialGroups<'b>> = Vec::new();
    let mut by_event: HashMap<EventKey, usize> = HashMap::new();
    let mut by_message_group: HashMap<Option<&str>, usize> = HashMap::new();
    for (index, (message, parsed)) in messages.iter().zip(parsed).enumerate() {
        let job = match parsed {
            None => Job::ParsePanicked,
            Some(ParsedMessage::Unreplayable(why)) => Job::ArchiveUnparseable(why.clone()),
            Some(ParsedMessage::DeadLetter(dead_letter)) => {
                let target_arn = dead_letter.failure.target_arn.as_deref();
                let queue = message.queue_arn.as_deref().into_iter();
                let own: Vec<_> = queue.chain(own.iter().map(String::as_str)).collect();
                let destination = target.destination(target_arn, &own);
                let from = target.redirected_from(target_arn);
                // A plan sets both attributes. With another setting of the function, its redirect does not apply.
                let by_plan = message.redirected_from();
                let by_plan = by_plan.filter(|_| target_arn == Some(destination.key_part()));
                let from = from.or_else(|| by_plan.map(Destination::of_arn));
                match key_of(message, dead_letter, &destination, from.as_ref(), indexed) {
                    Ok(key) => Job::Replay(Box::new(RecordTask::new(
                        message,
                        dead_letter,
                        destination,
                        from,
                        key,
                    ))),
                    Err(reason) => Job::Unknown(reason),
                }
            }
        };
        let lane = if message.is_fifo() {
            // In a message group, a second message of the same event follows the first message anyway.
            match by_message_group.entry(message.group.as_deref()) {
                Entry::Occupied(at) => lanes.get_mut(*at.get()),
                Entry::Vacant(free) => {
                    free.insert(lanes.len());
                    None
                }
            }
        } else if let Job::Replay(task) = &job {
            match by_event.entry(task.key.clone()) {
                Entry::Occupied(at) => {
                    let mut lane = lanes.get_mut(*at.get());
                    let groups = lane.iter_mut().flat_map(|lane| lane.groups.iter_mut());
                    if let Some(group) = groups.into_iter().find(|group| group.ends_like(task)) {
                        group.duplicates.push(index);
                        continue;
                    }
                    lane
                }
                Entry::Vacant(free) => {
                    free.insert(lanes.len());
                    None
                }
            }
        } else {
            None
        };
        let group = DuplicateGroup { job, primary: index, duplicates: Vec::new() };
        match lane {
            Some(lane) => lane.groups.push(group),
            None => lanes.push(SequentialGroups { groups: vec![group] }),
        }
    }
    // Events that were never attempted come first, because they are the better probes of an upstream.
    let receives = |lane: &SequentialGroups<'_>| {
        let primary = lane.groups.first().and_then(|group| messages.get(group.primary));
        primary.map(|message| message.receive_count)
    };
    lanes.sort_by_key(receives);
    lanes
}
