//! The queues' part of a trace.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::Category;
use genesys_replay::message::Message;
use genesys_replay::queue::Redrive;

use super::{EventTrace, TraceEntry, TracePlace};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;
use crate::operator::diagnose::happened;
use crate::operator::remedy::with_remedy;
use crate::queue::QueueReader;
use crate::queue::drain::{MAX_REPEATED_RECEIVES, QueueDrain};
use crate::queue::held::HeldMessages;
use crate::queue::receive_cost::ReceiveCost;

/// The visibility timeout while a queue is searched: some thousand messages can be read in that time.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(300);

/// An audit file.
#[derive(Clone, Debug)]
pub struct AuditText {
    pub name: String,
    pub text: String,
    /// The reason why the file was not read.
    pub problem: Option<String>,
}

impl EventTrace {
    /// Receives every message of a queue once, and makes all of them visible again. Stops before a message without a receive
    /// left would be moved away. Returns the ledger keys of the found events, and the redrive policy.
    pub async fn search_queue(
        &mut self,
        queue: &impl QueueReader,
        place: TracePlace,
        target: &ReplayTarget,
        progress: &dyn Progress,
    ) -> (Vec<String>, Option<Redrive>) {
        let mut keys = Vec::new();
        let facts = match queue.facts().await {
            Ok(facts) => facts,
            Err(error) => {
                self.not_searched(place, "", &error);
                return (keys, None);
            }
        };
        let mut cost = ReceiveCost::new(facts.redrive.clone(), false);
        progress.begin(&format!("searching {}", facts.name()), Some(facts.visible));
        let held = HeldMessages::default();
        let drain = QueueDrain::new(queue, &held, MAX_REPEATED_RECEIVES);
        let mut problem = cost.check().err().map(|refusal| refusal.to_string());
        while problem.is_none() && drain.end().is_none() {
            match drain.receive(VISIBILITY_TIMEOUT).await {
                Ok(received) => {
                    progress.advance(received.len() as u64);
                    problem = cost.add(&received).err().map(|refusal| refusal.to_string());
                    for message in received {
                        keys.extend(self.add_message(message, place, target, &facts.arn));
                    }
                }
                Err(error) => problem = Some(with_remedy(&error)),
            }
        }
        let hidden = held.release(queue, |_| {}).await.hidden;
        progress.end();
        let elsewhere = facts.in_flight + facts.delayed;
        if problem.is_none() && elsewhere > 0 {
            problem = Some(format!(
                "about {elsewhere} messages wait for their next attempt or are in flight, and cannot be read"
            ));
        }
        if hidden > 0 {
            progress.warn(&format!(
                "{hidden} messages stay invisible for {VISIBILITY_TIMEOUT:?} at most"
            ));
        }
        self.searched_in(place, facts.name(), cost.received, problem);
        (keys, facts.redrive)
    }

    /// Adds a place that cannot be read.
    pub fn not_searched(&mut self, place: TracePlace, name: &str, error: &AwsError) {
        self.searched_in(place, name, 0, Some(with_remedy(error)));
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
        let event = self.event_of_message(&classified, &shown);
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
