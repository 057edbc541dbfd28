//! The outcome of each event, because a fast function may be wrong.

use std::collections::{BTreeSet, HashMap};

use hyper::body::Bytes;
use serde::Deserialize;

use crate::events::Message;
use crate::upstreams::RecordedCalls;

/// The outcomes of events. Each event counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventOutcomes {
    /// Delivered once, acknowledged and marked as successful.
    pub(crate) delivered: u64,
    /// Delivered more than once.
    pub(crate) doubled: u64,
    /// Neither delivered nor kept.
    pub(crate) lost: u64,
    /// Delivered, and returned to the queue or marked as failed.
    pub(crate) wrongly_failed: u64,
    /// Not delivered and still in the queue.
    pub(crate) kept: u64,
}

impl EventOutcomes {
    /// Returns whether any outcome is wrong.
    pub(crate) fn has_fault(&self) -> bool {
        self.lost + self.doubled + self.wrongly_failed > 0
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.wrongly_failed += other.wrongly_failed;
        self.kept += other.kept;
    }
}

/// Returns the messages that return to the queue. All return when the invocation failed.
///
/// As in Lambda: a response without a list of failures acknowledges all messages.
pub(crate) fn returned_messages<'m>(
    messages: &'m [Message],
    answer: &Result<Bytes, Bytes>,
) -> Vec<&'m Message> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Answer {
        batch_item_failures: Option<Vec<Failure>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: String,
    }
    let Ok(body) = answer else {
        return messages.iter().collect();
    };
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let failures = answer.batch_item_failures.unwrap_or_default();
    let failed: BTreeSet<_> =
        failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    messages.iter().filter(|message| failed.contains(message.id.as_str())).collect()
}

/// Counts the outcomes of the events of `messages`. `in_queue` are the messages that are still queued, `seen` are all calls.
pub(crate) fn outcomes(
    messages: &[Message],
    in_queue: &[&Message],
    seen: &RecordedCalls,
) -> EventOutcomes {
    let in_queue: BTreeSet<_> = in_queue.iter().map(|message| message.event.id.as_str()).collect();
    let events: HashMap<_, _> =
        messages.iter().map(|message| (&message.event.id, &message.event)).collect();
    let mut outcomes = EventOutcomes::default();
    for (id, event) in events {
        let is_kept = in_queue.contains(id.as_str());
        let mark = event.conversation.as_ref().and_then(|id| seen.marks.get(id));
        let says_failed = mark.is_some_and(|mark| !mark.contains("replay_successful"));
        let count = match seen.accepted.get(&event.body).copied().unwrap_or_default() {
            0 if is_kept => &mut outcomes.kept,
            0 => &mut outcomes.lost,
            1 if is_kept || says_failed => &mut outcomes.wrongly_failed,
            1 => &mut outcomes.delivered,
            _ => &mut outcomes.doubled,
        };
        *count += 1;
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Source;

    fn ids(messages: &[&Message]) -> Vec<String> {
        messages.iter().map(|message| message.id.clone()).collect()
    }

    #[test]
    fn messages_return_only_by_batch_item_failures_or_an_error() {
        let messages = Source::default().batch(2);
        let all = ids(&messages.iter().collect::<Vec<_>>());
        let listed = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, all[1]);
        assert_eq!(ids(&returned_messages(&messages, &Ok(listed.into()))), [all[1].clone()]);
        let tutorial = Bytes::from_static(br#"{"statusCode":200,"body":"{\"failed\":2}"}"#);
        assert_eq!(returned_messages(&messages, &Ok(tutorial)).len(), 0);
        assert_eq!(ids(&returned_messages(&messages, &Err(Bytes::new()))), all);
    }

    #[test]
    fn event_outcomes_are_counted_once_each() {
        let messages = Source::default().batch(6);
        let event = |index: usize| &messages[index].event;
        let mut seen = RecordedCalls::default();
        for (index, times) in [(0, 1), (1, 2), (3, 1), (4, 1)] {
            seen.accepted.insert(event(index).body.clone(), times);
        }
        let mark =
            |status: &str| format!(r#"{{"attributes":{{"system.retryStatus":"{status}"}}}}"#);
        for (index, status) in
            [(0, "replay_successful"), (3, "replay_failed"), (4, "replay_successful")]
        {
            let conversation = event(index).conversation.clone().unwrap_or_default();
            seen.marks.insert(conversation, mark(status));
        }
        let in_queue = [&messages[4], &messages[5]];
        assert_eq!(
            outcomes(&messages, &in_queue, &seen),
            EventOutcomes { delivered: 1, doubled: 1, lost: 1, wrongly_failed: 2, kept: 1 }
        );
    }
}
