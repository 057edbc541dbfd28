//! Making a plan: from what is kept to a frozen list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::FailureReport;
use genesys_replay::ledger::Status;
use genesys_replay::message::Message;

use super::{Facts, Item, LeftOut, Place, Predicted, Rest, Selection, Standing};
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::letter::Letter;

/// How many events the ledger is asked for at once.
const MAX_LEDGER_KEYS: usize = 100;

/// What a plan has to know of the function.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Where it delivers events.
    pub target: &'a ReplayTarget,
    /// The ARN of the queue that it drains: what went there would come again for ever.
    pub queue_arn: &'a str,
    /// How long its ledger remembers a finished event.
    pub remember: Duration,
}

/// A plan in the making: dead letters are offered one by one, from wherever they are.
pub struct Making<'a, L> {
    ledger: &'a L,
    about: About<'a>,
    selection: &'a Selection,
    /// As far as the ledger knows an event: not its type.
    for_record: Selection,
    /// What the ledger does not know: the type alone.
    for_type: Selection,
    /// What a message says of itself: only the ledger knows why and when it was given up.
    for_message: Selection,
    now: Timestamp,
    /// Only these keys are meant, if anything is said.
    wanted: Option<BTreeMap<String, Status>>,
    /// The keys and ids of what was offered and is selected.
    met: HashSet<String>,
    /// Offered, and not yet looked up.
    pending: Vec<Pending>,
    chosen: Vec<(Item, Option<Timestamp>)>,
    by_key: HashMap<String, usize>,
    pub(super) rest: Rest,
}

/// Another message with the same content would not say any more which delivery failed.
const ONLY_BY_MOVING: &str = "its target has failed later, which only this message says: move it to the function's queue with SQS's own redrive";

/// A dead letter that the ledger is asked about.
struct Pending {
    item: Item,
    /// When it was given up.
    at: Option<Timestamp>,
    /// The accepted delivery that it reports as failed, if it is a failure record.
    report: Option<FailureReport>,
    destination: Destination,
    message_id: String,
}

/// A dead letter that may be part of a plan.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The message as it stood in the queue.
    pub message: Message,
    /// Where it is.
    pub place: Place,
    /// Why it was given up, if that is known.
    pub code: Option<String>,
    /// When it was given up.
    pub at: Option<Timestamp>,
}

impl<'a, L: LedgerReader> Making<'a, L> {
    /// Begins a plan of what is selected, as this function would see it at `now`.
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

    /// Restricts the plan to what the ledger has as given up and selected, by its own words of code and time.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn only_from_ledger(&mut self, progress: &dyn Progress) -> Result<(), AwsError> {
        let mut wanted = BTreeMap::new();
        let mut from = None;
        progress.begin("reading the ledger", None);
        loop {
            let page = self.ledger.scan(0, 1, from.as_deref()).await?;
            progress.advance(page.records.len() as u64);
            let given_up = page.records.into_iter().filter_map(|record| {
                let status = record
                    .status
                    .filter(|status| matches!(status, Status::Archived | Status::Failed))?;
                self.takes_record(&record).then_some((record.key, status))
            });
            wanted.extend(given_up);
            from = page.next;
            if from.is_none() {
                break;
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
    /// [`AwsError`]: the ledger could not be asked.
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
            // The ledger has decided on all but the type.
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

    /// Asks the ledger about what was offered since it was asked last.
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

    /// Why an event is not sent again, as the ledger has it.
    fn settled(
        &self,
        record: Option<&Record>,
        failed_later: bool,
        place: &Place,
        at: Option<Timestamp>,
    ) -> Option<&'static str> {
        let Some(record) = record else {
            // Objects stay when their events are delivered, and the ledger forgets those.
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
                // Receives ran out while something else failed than the event: nothing brings it any more.
                Place::Message { .. } => None,
                Place::Object { .. } if self.selection.open => None,
                Place::Object { .. } => Some(
                    "it is open: a message should bring it again by itself (--open takes it all the same)",
                ),
            },
            None => Some("the ledger has a status that this version does not know"),
        }
    }

    /// Takes an item; of several copies of one event the one that was given up last.
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

    /// What is sent again, in the order in which it was offered, and what is not.
    ///
    /// # Errors
    /// [`AwsError`]: the ledger could not be asked.
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

/// Why sending it again cannot end well, whatever the ledger says.
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
