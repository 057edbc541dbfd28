//! The selection of a plan.

use std::collections::BTreeSet;

use genesys_replay::clock::Timestamp;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::PlanItem;
use crate::ledger::Record;
use crate::operator::body_condition::{self, BodyCondition};
use crate::operator::classified_message::ClassifiedMessage;

/// The conditions of a selected dead letter. An empty list or `None` is not a condition; one entry of a list has to
/// match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub categories: Vec<String>,
    pub codes: Vec<String>,
    /// Patterns of event types, as the targets' patterns: `*` stands for any text, `?` for one character.
    pub topics: Vec<String>,
    pub targets: Vec<String>,
    /// Patterns of the targets that the dead letters name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub original_targets: Vec<String>,
    pub interactions: Vec<String>,
    pub ids: BTreeSet<String>,
    /// The conditions on the event's content; all of them have to match.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<BodyCondition>,
    /// The start of the rejection times, inclusive, in RFC 3339.
    pub since: Option<String>,
    /// The end of the rejection times, exclusive, in RFC 3339.
    pub until: Option<String>,
    /// True to select only events that the ledger has as rejected.
    pub known_to_ledger: bool,
    /// True to select also events that the ledger has as open, although another message may still carry them.
    pub open: bool,
    /// True to select also events that were archived longer ago than the ledger's retention.
    pub forgotten: bool,
}

impl Selection {
    /// Returns true if a dead letter is selected, except for its rejection.
    pub fn matches_item(&self, item: &PlanItem) -> bool {
        let interaction = item.interaction_id.as_deref();
        self.matches_event(item.event_id(), &item.category, &item.target, interaction)
            && self.matches_topic(&item.event_type)
            && self.matches_original_target(item.original_target())
    }

    /// Returns true if a ledger item is selected, except for its event type, which the ledger does not contain.
    pub fn matches_record(&self, record: &Record) -> bool {
        let interaction = record.interaction_id.as_deref();
        self.matches_event(record.event_id(), &record.category, &record.target, interaction)
            // Items of older versions do not have it.
            && record.original_target.as_deref().is_none_or(|it| self.matches_original_target(it))
            && self.matches_rejection(record.failure_code.as_deref(), record.processed)
    }

    /// Returns true if a ledger item is selected, whatever its time and content. An item of an older version matches no
    /// condition on the event type.
    pub fn matches_item_of_ledger(&self, record: &Record) -> bool {
        let interaction = record.interaction_id.as_deref();
        self.matches_event(record.event_id(), &record.category, &record.target, interaction)
            && self.matches_topic(record.event_type.as_deref().unwrap_or_default())
            && self.matches_original_target(record.original_target())
            && is_among(&self.codes, record.failure_code.as_deref())
    }

    pub fn matches_topic(&self, topic: &str) -> bool {
        is_like(&self.topics, topic)
    }

    /// Returns true if the content of an event is selected.
    pub fn matches_body(&self, classified: &ClassifiedMessage<'_>) -> bool {
        body_condition::all_match(&self.body, classified)
    }

    pub fn matches_original_target(&self, target: &str) -> bool {
        is_like(&self.original_targets, target)
    }

    /// Returns true if a rejection is selected. `None` is not known, and matches no condition.
    pub fn matches_rejection(&self, code: Option<&str>, at: Option<Timestamp>) -> bool {
        // The command has already rejected a bound that cannot be read.
        let bound = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
        is_among(&self.codes, code)
            && bound(&self.since).is_none_or(|since| at.is_some_and(|at| at >= since))
            && bound(&self.until).is_none_or(|until| at.is_some_and(|at| at < until))
    }

    /// Returns true if an event with this id, category, target and interaction is selected.
    pub fn matches_event(
        &self,
        id: &str,
        category: &str,
        target: &str,
        interaction: Option<&str>,
    ) -> bool {
        is_among(&self.categories, Some(category))
            && is_among(&self.interactions, interaction)
            && is_like(&self.targets, target)
            && (self.ids.is_empty() || self.ids.contains(id))
    }
}

fn is_among(list: &[String], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.iter().any(|it| it == value))
}

fn is_like(patterns: &[String], value: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|it| WildMatch::new(it).matches(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns true if a selection with this condition takes a dead letter. `is_known` is false if interaction, code
    /// and time of the rejection are not known.
    fn matches(member: &str, value: &str, is_known: bool) -> bool {
        let is_bound = ["since", "until"].contains(&member);
        let value = if is_bound { json!(value) } else { json!(["other", value]) };
        let mut selection = json!(Selection::default());
        selection[member] = value;
        let selection: Selection = serde_json::from_value(selection).unwrap_or_default();
        let at = is_known.then_some(Timestamp::from_millis(1_785_000_000_000));
        let (code, interaction) = (is_known.then_some("EXHAUSTED"), is_known.then_some("c-1"));
        selection.matches_event("e-1", "UNKNOWN", "https://crm.example/events", interaction)
            && selection.matches_topic("v2.conversation.{id}.customer.end")
            && selection.matches_rejection(code, at)
    }

    #[test]
    fn selection_condition_takes_only_matching_events() {
        assert!(Selection::default().matches_rejection(None, None));
        let [at, later] = ["2026-07-25T17:20:00Z", "2026-07-25T17:20:01Z"];
        for (member, fitting, other, fits_unknown) in [
            ("categories", "UNKNOWN", "TIMEOUT", true),
            ("codes", "EXHAUSTED", "INTERNAL", false),
            ("topics", "*.customer.*", "*.agent.*", true),
            ("targets", "https://crm.example/*", "arn:*", true),
            ("interactions", "c-1", "c-2", false),
            ("ids", "e-1", "e-2", true),
            ("since", at, later, false),
            ("until", later, at, false),
        ] {
            assert!(matches(member, fitting, true), "{member}");
            assert!(!matches(member, other, true), "{member}");
            assert_eq!(matches(member, fitting, false), fits_unknown, "{member}");
        }
    }
}
