//! The history of events: one time line from the queues, the ledger, the archive, the audits and the log.
//!
//! A place that cannot be read does not end the search. The trace names the place with the problem.

pub(crate) mod audits;
mod log_lines;
mod places;
mod standing;
mod stored;

use std::collections::{BTreeMap, HashSet};

use genesys_replay::clock::Timestamp;
use serde::Serialize;

use crate::ledger::{Record, event_at_target};
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::diagnose::rfc_3339;
pub use log_lines::{LogLine, LogReader};
pub use places::{AuditText, QueueSearch};

/// The id with which a trace begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceSubject {
    Interaction(String),
    Event(String),
    Message(String),
    /// The id of an interaction, an event or a message.
    Any(String),
}

/// The places of a time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TracePlace {
    Event,
    Queue,
    ParkingQueue,
    // Before the ledger, because the function archives before it settles the ledger item.
    Archive,
    Ledger,
    Audit,
    Log,
}

impl TracePlace {
    /// Returns the place for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Queue => "queue",
            Self::ParkingQueue => "parking queue",
            Self::Ledger => "ledger",
            Self::Archive => "archive",
            Self::Audit => "audit",
            Self::Log => "log",
        }
    }
}

/// One line of a time line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TraceEntry {
    /// `None` if the place does not have the time.
    #[serde(serialize_with = "rfc_3339")]
    pub at: Option<Timestamp>,
    pub place: TracePlace,
    pub what: String,
}

/// An event at a target, with its history.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TracedEvent {
    pub event_id: String,
    pub event_type: Option<String>,
    pub interaction_id: Option<String>,
    /// The target of our delivery; `None` if the event has none.
    pub target: Option<String>,
    /// The target that the dead letter names.
    pub original_target: Option<String>,
    /// The status in the ledger; `None` without an item.
    pub status: Option<String>,
    pub failure_code: Option<String>,
    /// The current place of the event, in one sentence.
    pub now: String,
    /// The next step of the operator, in one sentence.
    pub next: String,
    /// Ordered by time.
    pub entries: Vec<TraceEntry>,
    #[serde(skip)]
    found: FoundIn,
}

/// The places in which an event was found.
#[derive(Clone, Debug, Default)]
struct FoundIn {
    item: Option<Record>,
    /// The addresses of its archived objects.
    objects: Vec<String>,
    /// The addresses of its objects in the folder of discarded events.
    discarded: Vec<String>,
    is_queued: bool,
    is_parked: bool,
}

/// A place that was searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SearchedPlace {
    pub place: TracePlace,
    /// The name of the table, bucket, queue, file or log group.
    pub name: String,
    /// The number of items, objects, messages or lines that were read.
    pub read: u64,
    /// The reason why the place was not read, or not completely, with a remedy.
    pub problem: Option<String>,
}

/// A search, and the events that it has found so far.
#[derive(Debug)]
pub struct EventTrace {
    subject: TraceSubject,
    /// The ids of the found events, by which other places are searched too.
    ids: HashSet<String>,
    events: BTreeMap<String, TracedEvent>,
    searched: Vec<SearchedPlace>,
}

impl EventTrace {
    pub fn of(subject: TraceSubject) -> Self {
        let ids = match &subject {
            TraceSubject::Event(id) | TraceSubject::Any(id) => HashSet::from([id.clone()]),
            TraceSubject::Interaction(_) | TraceSubject::Message(_) => HashSet::new(),
        };
        Self { subject, ids, events: BTreeMap::new(), searched: Vec::new() }
    }

    /// Returns the searched places.
    pub fn searched(&self) -> &[SearchedPlace] {
        &self.searched
    }

    /// Returns the found events with their histories, in the order of their first entries.
    pub fn events(&self, now: Timestamp) -> Vec<TracedEvent> {
        let mut events: Vec<TracedEvent> = self.events.values().cloned().collect();
        for event in &mut events {
            event.entries.sort();
            event.entries.dedup();
            standing::describe(event, now);
        }
        events.sort_by(|one, other| {
            let first = |event: &TracedEvent| event.entries.iter().find_map(|it| it.at);
            first(one).cmp(&first(other)).then_with(|| one.event_id.cmp(&other.event_id))
        });
        events
    }

    fn searched_in(&mut self, place: TracePlace, name: &str, read: u64, problem: Option<String>) {
        self.searched.push(SearchedPlace { place, name: name.to_owned(), read, problem });
    }

    /// Returns true if something with these ids belongs to the trace.
    fn is_about(&self, event_id: &str, interaction: Option<&str>, message_id: &str) -> bool {
        self.ids.contains(event_id)
            || match &self.subject {
                TraceSubject::Interaction(id) => interaction == Some(id),
                TraceSubject::Event(id) => event_id == id,
                TraceSubject::Message(id) => message_id == id,
                TraceSubject::Any(id) => {
                    interaction == Some(id) || event_id == id || message_id == id
                }
            }
    }

    /// Returns the event with this id at this target, which is added if it is new.
    fn event(&mut self, event_id: &str, target: &str) -> &mut TracedEvent {
        self.ids.insert(event_id.to_owned());
        let key = event_at_target(event_id, target);
        self.events.entry(key).or_insert_with(|| TracedEvent {
            event_id: event_id.to_owned(),
            target: Some(target.to_owned()).filter(|it| !it.is_empty()),
            ..TracedEvent::default()
        })
    }

    /// Returns the event with these facts, which is added if it is new. Known facts stay where a place lacks them.
    fn event_with(&mut self, id: &str, target: &str, facts: EventFacts) -> &mut TracedEvent {
        let event = self.event(id, target);
        event.interaction_id = facts.interaction_id.or(event.interaction_id.take());
        event.event_type = facts.event_type.or(event.event_type.take());
        event.original_target = facts.original_target.or(event.original_target.take());
        event
    }
}

/// The facts about an event that a place has.
#[derive(Debug, Default)]
struct EventFacts {
    interaction_id: Option<String>,
    event_type: Option<String>,
    original_target: Option<String>,
}

impl EventFacts {
    /// Returns the facts that a message has.
    fn of(classified: &ClassifiedMessage<'_>) -> Self {
        Self {
            interaction_id: classified.interaction().map(str::to_owned),
            event_type: Some(classified.event_type().to_owned()),
            original_target: classified.original_target().map(str::to_owned),
        }
    }
}

impl TracedEvent {
    fn add(&mut self, at: Option<Timestamp>, place: TracePlace, what: String) {
        self.entries.push(TraceEntry { at, place, what });
    }
}
