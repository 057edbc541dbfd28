//! The queues' part of a trace.

use genesys_replay::aws::AwsError;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::Category;
use genesys_replay::message::Message;
use genesys_replay::queue::Redrive;
use tokio::sync::mpsc::Receiver;

use super::{EventFacts, EventTrace, TraceEntry, TracePlace};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::diagnose::happened;
use crate::operator::queue_reading::{
    QueueReadError, QueueReading, ReadInterrupted, ReadScope, WholeReadError,
};
use crate::operator::remedy::with_remedy;
use crate::queue::{QueueFacts, QueueReader};

/// An audit file.
#[derive(Clone, Debug)]
pub struct AuditText {
    pub name: String,
    pub text: String,
    /// The reason of the plan, if it is known.
    pub plan_reason: Option<String>,
    /// The reason why the file was not read.
    pub problem: Option<String>,
}

/// The result of a search of a queue.
#[derive(Debug, Default)]
pub struct QueueSearch {
    /// The ledger keys of the found events.
    pub keys: Vec<String>,
    pub redrive: Option<Redrive>,
    /// The receives that the search has cost, in one sentence.
    pub cost: Option<String>,
}

impl EventTrace {
    /// Receives every message of a queue once, and makes all of them visible again. Stops before a message without a receive
    /// left would be moved away. A queue that cannot be read is a problem in the trace.
    ///
    /// # Errors
    /// [`ReadInterrupted`]: all messages are visible again.
    pub async fn search_queue(
        &mut self,
        queue: &impl QueueReader,
        place: TracePlace,
        target: &ReplayTarget,
        stop: impl Future<Output = ()>,
        progress: &dyn Progress,
    ) -> Result<QueueSearch, ReadInterrupted> {
        let mut search = QueueSearch::default();
        let facts = match queue.facts().await {
            Ok(facts) => facts,
            Err(error) => {
                self.not_searched(place, "", &error);
                return Ok(search);
            }
        };
        search.redrive.clone_from(&facts.redrive);
        let reading = match QueueReading::new(queue, &facts, false, progress) {
            Ok(reading) => reading,
            Err(refusal) => {
                self.searched_in(place, facts.name(), 0, Some(refusal.to_string()));
                return Ok(search);
            }
        };
        reading.begin("searching");
        let add = async |mut messages: Receiver<Vec<Message>>| {
            while let Some(batch) = messages.recv().await {
                progress.advance(batch.len() as u64);
                let found = batch.into_iter();
                let found = found.filter_map(|it| self.add_message(it, place, target, &facts.arn));
                search.keys.extend(found);
            }
        };
        let read = reading.read_and_release(ReadScope::staying(None), stop, add).await;
        let problem = match read {
            Ok(()) => waiting(&facts),
            Err(WholeReadError::Read(QueueReadError::Receives(refusal))) => {
                Some(refusal.to_string())
            }
            Err(WholeReadError::Read(QueueReadError::Aws(error))) => Some(with_remedy(&error)),
            Err(WholeReadError::Interrupted(interrupted)) => return Err(interrupted),
        };
        let cost = reading.cost();
        search.cost = cost.shown();
        self.searched_in(place, facts.name(), cost.received, problem);
        Ok(search)
    }

    /// Adds a place that cannot be read.
    pub fn not_searched(&mut self, place: TracePlace, name: &str, error: &AwsError) {
        self.searched_in(place, name, 0, Some(with_remedy(error)));
    }

    /// Adds a place that is not known, for this reason.
    pub fn left_out(&mut self, place: TracePlace, reason: &str) {
        self.searched_in(place, "", 0, Some(format!("not searched: {reason}")));
    }

    fn add_message(
        &mut self,
        message: Message,
        place: TracePlace,
        target: &ReplayTarget,
        queue_arn: &str,
    ) -> Option<String> {
        let queue_arn = message.queue_arn.clone().or(Some(queue_arn.to_owned()));
        let message = Message { queue_arn, ..message };
        let classified = ClassifiedMessage::of(&message, target);
        let id = message.id.as_str();
        if !self.is_about(classified.event_id(), classified.interaction(), id) {
            return None;
        }
        let shown = classified.destination.to_string();
        let event = self.event_with(classified.event_id(), &shown, EventFacts::of(&classified));
        event.entries.extend(first_failure(&classified, classified.category));
        let from = match message.replay_plan() {
            Some(plan) => format!("sent by {plan}"),
            None => "sent to the queue".to_owned(),
        };
        let receives = message.receive_count;
        let what = format!("{from} as message {id}; received {receives} times, with this search");
        event.add(message.sent_at, place, what);
        event.found.is_queued |= place == TracePlace::Queue;
        event.found.is_parked |= place == TracePlace::ParkingQueue;
        Some(classified.key.to_string())
    }
}

/// Returns the messages of a queue that cannot be received now, in one sentence.
fn waiting(facts: &QueueFacts) -> Option<String> {
    let elsewhere = facts.in_flight + facts.delayed;
    (elsewhere > 0).then(|| {
        format!(
            "about {elsewhere} messages wait for their next attempt or are in flight, and cannot be read"
        )
    })
}

/// Returns the event itself with its first failure; `None` if the message is not an event.
pub(super) fn first_failure(
    classified: &ClassifiedMessage<'_>,
    category: Category,
) -> Option<TraceEntry> {
    let failure = &classified.event()?.failure;
    let details = [failure.error_code.as_deref(), failure.error_message.as_deref()];
    let details: Vec<&str> = details.into_iter().flatten().collect();
    let target = failure.original_target().unwrap_or("its target");
    let why = if details.is_empty() { String::new() } else { format!(": {}", details.join(", ")) };
    Some(TraceEntry {
        at: happened(classified),
        place: TracePlace::Event,
        what: format!(
            "{} happened; {target} did not accept it, {}{why}",
            classified.event_type(),
            category.as_str()
        ),
    })
}
