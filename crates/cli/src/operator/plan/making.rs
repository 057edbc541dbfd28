//! Makes a plan, a frozen list, from the stored dead letters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::FailureReport;
use genesys_replay::ledger::Status;
use genesys_replay::message::Message;

use super::{Facts, Item, LeftOut, Place, Predicted, Rest, Selection, Standing};
use crate::ledger::{LedgerReader, Record, scan_all};
use crate::operator::Progress;
use crate::operator::letter::Letter;

/// The maximum number of events in one call of the ledger.
const MAX_LEDGER_KEYS: usize = 100;

/// The facts about the function that a plan needs.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The target of the function's deliveries.
    pub target: &'a ReplayTarget,
    /// The ARN of the queue that the function drains: an event that is delivered to this queue would loop.
    pub queue_arn: &'a str,
    /// The retention of finished ledger items.
    pub remember: Duration,
}

/// A plan that is being made. Dead letters are offered one by one, from any source.
pub struct Making<'a, L> {
    ledger: &'a L,
    about: About<'a>,
    selection: &'a Selection,
    /// The selection for ledger items, which do not contain the event type.
    for_record: Selection,
    /// The selection for the event type alone, which ledger items do not contain.
    for_type: Selection,
    /// The selection for messages, which do not contain the reason and the time of the rejection.
    for_message: Selection,
    now: Timestamp,
    /// The selected keys with their status; `None` if all keys are permitted.
    wanted: Option<BTreeMap<String, Status>>,
    /// The keys and event ids of offered dead letters that are selected.
    met: HashSet<String>,
    /// Offered dead letters that were not looked up yet.
    pending: Vec<Pending>,
    chosen: Vec<(Item, Option<Timestamp>)>,
    by_key: HashMap<String, usize>,
    pub(super) rest: Rest,
}

/// A copy of such a message would no longer identify the failed delivery.
const ONLY_BY_MOVING: &str = "its target has failed later, which only this message says: move it to the function's queue with SQS's own redrive";

/// A dead letter that is to be looked up in the ledger.
struct Pending {
    item: Item,
    /// The time of the rejection.
    at: Option<Timestamp>,
    /// The accepted delivery that the dead letter reports as failed, if it is a failure record.
    report: Option<FailureReport>,
    destination: Destination,
    message_id: String,
}

/// A dead letter that may be part of a plan.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The message, as it was in the queue.
    pub message: Message,
    /// The place of the dead letter.
    pub place: Place,
    /// The reason for the rejection, if it is known.
    pub code: Option<String>,
    /// The time of the rejection.
    pub at: Option<Timestamp>,
}

impl<'a, L: LedgerReader> Making<'a, L> {
    /// Begins a plan of the selected dead letters, as this function would read them at `now`.
    #[must_use]
    pub fn new(ledger: &'a L, about: About<'a>, selection: &'a Selection, now: Timestamp) -> Self {
        Self {
            ledger,
            about,
            for_record: Selection {
                topics: Vec::new(),
                ..selection.clone()
            },
            for_type: Selection {
                topics: selection.topics.clone(),
                ..Selection::default()
            },
            for_message: Selection {
                codes: Vec::new(),
                since: None,
                until: None,
                ..selection.clone()
            },
            selection,
            now,
            wanted: None,
            met: HashSet::new(),
            pending: Vec::new(),
            chosen: Vec::new(),
            by_key: HashMap::new(),
            rest: Rest::default(),
        }
    }

    /// Restricts the plan to events that the ledger has as rejected, selected by the ledger's code and time.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn only_from_ledger(&mut self, progress: &dyn Progress) -> Result<(), AwsError> {
        let mut wanted = BTreeMap::new();
        progress.begin("reading the ledger", None);
        let mut records = scan_all(self.ledger, 1);
        while let Some(record) = records.try_next().await? {
            progress.advance(1);
            let rejected = record
                .status
                .filter(|status| matches!(status, Status::Archived | Status::Failed));
            if let Some(status) = rejected
                && self.takes_record(&record)
            {
                wanted.insert(record.key, status);
            }
        }
        progress.end();
        self.wanted = Some(wanted);
        Ok(())
    }

    fn takes_record(&self, record: &Record) -> bool {
        self.for_record.takes(&Facts {
            event_id: record.event_id(),
            category: &record.category,
            code: record.failure_code.as_deref(),
            topic: "",
            target: &record.target,
            interaction: record.interaction_id.as_deref(),
            at: record.processed,
        })
    }

    /// Offers one dead letter.
    ///
    /// # Errors
    /// [`AwsError`] if the ledger cannot be read.
    pub async fn offer(&mut self, candidate: Candidate) -> Result<(), AwsError> {
        let Candidate {
            message,
            place,
            code,
            at,
        } = candidate;
        let message = Message {
            queue_arn: Some(self.about.queue_arn.to_owned()),
            ..message
        };
        let letter = Letter::of(&message, self.about.target);
        let target = letter.destination.to_string();
        let code = code.or_else(|| Some(letter.why_not()?.failure_code().to_string()));
        let takes = match &self.wanted {
            // The ledger has already decided on everything except the event type.
            Some(wanted) => {
                wanted.contains_key(letter.key.as_str())
                    && self.for_type.takes(&facts(&letter, &target, None, None))
            }
            None if code.is_none() => self.for_message.takes(&facts(&letter, &target, None, None)),
            None => self
                .selection
                .takes(&facts(&letter, &target, code.as_deref(), at)),
        };
        if !takes {
            return Ok(());
        }
        if let Some(reason) = hopeless(&letter) {
            self.meet(letter.key.as_str(), letter.event_id());
            self.rest.add(&reason, letter.event_id());
            return Ok(());
        }
        let item = Item {
            key: letter.key.to_string(),
            event_type: letter.event_type().to_owned(),
            interaction_id: letter.interaction().map(str::to_owned),
            target,
            category: letter.category.as_str().to_owned(),
            failure_code: code,
            place,
            body_sha256: digest::hexadecimal(&message.body),
            ledger: None,
            predicted: Predicted {
                attempt: 1,
                marks_interaction: letter
                    .event()
                    .is_some_and(|event| event.marked_interaction().is_some()),
            },
            edit: None,
        };
        let report = letter.event().and_then(|event| event.report.clone());
        self.pending.push(Pending {
            item,
            at,
            report,
            destination: letter.destination,
            message_id: message.id.to_string(),
        });
        if self.pending.len() >= MAX_LEDGER_KEYS {
            self.look_up().await?;
        }
        Ok(())
    }

    /// Looks up the dead letters that were offered since the last look-up.
    async fn look_up(&mut self) -> Result<(), AwsError> {
        let pending = std::mem::take(&mut self.pending);
        let keys: Vec<&str> = pending.iter().map(|it| it.item.key.as_str()).collect();
        let records = self.ledger.find(&keys).await?;
        let records: HashMap<&str, &Record> = records
            .iter()
            .map(|record| (record.key.as_str(), record))
            .collect();
        for pending in pending {
            let Pending { mut item, at, .. } = pending;
            let record = records.get(item.key.as_str()).copied();
            if item.failure_code.is_none() {
                item.failure_code = record.and_then(|record| record.failure_code.clone());
                let at = record.and_then(|record| record.processed).or(at);
                if !self.selection.takes(&item_facts(&item, at)) {
                    continue;
                }
            }
            self.meet(&item.key, item.event_id());
            let failed_later =
                record
                    .zip(pending.report.as_ref())
                    .is_some_and(|(record, report)| {
                        record.has_failed_later(report, &pending.destination, &pending.message_id)
                    });
            let keeps_its_meaning = pending
                .report
                .as_ref()
                .is_some_and(FailureReport::is_of_known_delivery);
            if failed_later && !keeps_its_meaning {
                self.rest.add(ONLY_BY_MOVING, item.event_id());
                continue;
            }
            if let Some(reason) = self.settled(record, failed_later, &item.place, at) {
                self.rest.add(reason, item.event_id());
                continue;
            }
            item.ledger = record.map(Standing::of);
            item.predicted.attempt = record.map_or(0, |record| record.attempts) + 1;
            self.choose(item, at);
        }
        Ok(())
    }

    fn meet(&mut self, key: &str, event_id: &str) {
        self.met.extend([key.to_owned(), event_id.to_owned()]);
    }

    /// Returns the reason, according to the ledger, why an event is not sent again; `None` if it is sent.
    fn settled(
        &self,
        record: Option<&Record>,
        failed_later: bool,
        place: &Place,
        at: Option<Timestamp>,
    ) -> Option<&'static str> {
        let Some(record) = record else {
            // An object stays after its event is delivered, and the ledger item expires.
            let forgotten = match place {
                Place::Object { .. } => at.is_none_or(|at| at.plus(self.about.remember) < self.now),
                Place::Message { .. } => false,
            };
            return (forgotten && !self.selection.forgotten).then_some(
                "it was archived longer ago than the ledger remembers, and may have been delivered since (--forgotten takes it all the same)",
            );
        };
        let held = record.lease_until.is_some_and(|until| until > self.now);
        match record.status {
            // The function begins a new round.
            _ if failed_later && !held => None,
            Some(Status::Completed) => Some("it was delivered already"),
            _ if record.delivered => Some("it was delivered already, only the bookkeeping is open"),
            Some(Status::Discarded) => Some("an operator discarded it"),
            Some(Status::Archived | Status::Failed) => None,
            Some(Status::InProgress) if held => Some("the function is working on it"),
            Some(Status::Deferred | Status::InProgress) => match place {
                // SQS parked the message while something other than the event failed, so no other message carries the
                // event.
                Place::Message { .. } => None,
                Place::Object { .. } if self.selection.open => None,
                Place::Object { .. } => Some(
                    "it is open: a message should bring it again by itself (--open takes it all the same)",
                ),
            },
            None => Some("the ledger has a status that this version does not know"),
        }
    }

    /// Adds an item. Keeps only the copy of an event that was rejected last.
    fn choose(&mut self, item: Item, at: Option<Timestamp>) {
        match self
            .by_key
            .get(&item.key)
            .and_then(|index| self.chosen.get_mut(*index))
        {
            None => {
                self.by_key.insert(item.key.clone(), self.chosen.len());
                self.chosen.push((item, at));
            }
            Some(known) => {
                self.rest
                    .add("another copy of the same event is sent", item.event_id());
                if at > known.1 {
                    *known = (item, at);
                }
            }
        }
    }

    /// Returns the items in the order in which they were offered, and the dead letters that are left out.
    ///
    /// # Errors
    /// [`AwsError`] if the ledger cannot be read.
    pub async fn finish(mut self) -> Result<(Vec<Item>, Vec<LeftOut>), AwsError> {
        self.look_up().await?;
        for (key, status) in self.wanted.take().unwrap_or_default() {
            if self.met.contains(&key) {
                continue;
            }
            let reason = match status {
                Status::Failed => {
                    "the ledger has it as FAILED: it was never archived (--from parking)"
                }
                Status::Archived
                | Status::Completed
                | Status::Deferred
                | Status::InProgress
                | Status::Discarded => {
                    "the ledger has it as ARCHIVED, and it is not there (another prefix, or deleted?)"
                }
            };
            self.rest.add(reason, &key);
        }
        for id in self
            .selection
            .ids
            .iter()
            .filter(|id| !self.met.contains(*id))
        {
            self.rest.add("no dead letter with this id was found", id);
        }
        let items = self.chosen.into_iter().map(|(item, _)| item).collect();
        Ok((items, self.rest.into_list()))
    }
}

fn facts<'l>(
    letter: &'l Letter<'_>,
    target: &'l str,
    code: Option<&'l str>,
    at: Option<Timestamp>,
) -> Facts<'l> {
    Facts {
        event_id: letter.event_id(),
        category: letter.category.as_str(),
        code,
        topic: letter.event_type(),
        target,
        interaction: letter.interaction(),
        at,
    }
}

fn item_facts(item: &Item, at: Option<Timestamp>) -> Facts<'_> {
    Facts {
        event_id: item.event_id(),
        category: &item.category,
        code: item.failure_code.as_deref(),
        topic: &item.event_type,
        target: &item.target,
        interaction: item.interaction_id.as_deref(),
        at,
    }
}

/// Returns the reason why sending a dead letter again cannot succeed, whatever the ledger contains.
fn hopeless(letter: &Letter<'_>) -> Option<String> {
    if let Some(why) = letter.why_not() {
        return Some(format!("it is no event that could be delivered: {why}"));
    }
    if letter.event().is_some_and(|event| event.own_echo) {
        return Some("it only tells of a mark that the function has written".to_owned());
    }
    match &letter.destination {
        Destination::TooLong(_) => Some("the ARN of its target is too long".to_owned()),
        Destination::Missing => Some("it does not say where it was going".to_owned()),
        Destination::NotAllowed(arn) => Some(format!("the settings do not allow its target {arn}")),
        Destination::Unsupported(arn) => Some(format!("its target {arn} cannot be called")),
        Destination::None
        | Destination::Http(_)
        | Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::EventBus(_) => None,
    }
}
