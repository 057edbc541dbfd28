//! The selection of a plan.

use std::collections::BTreeSet;

use genesys_replay::clock::Timestamp;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

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
    pub interactions: Vec<String>,
    pub ids: BTreeSet<String>,
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

/// The facts about a dead letter that may be selected. A fact that is `None` here is not checked.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub event_id: &'a str,
    /// The category of the first failure.
    pub category: &'a str,
    /// The event's type.
    pub topic: Option<&'a str>,
    /// The target for people: a URL without secret parts.
    pub target: &'a str,
    /// The event's interaction, if it has one.
    pub interaction: Option<&'a str>,
    pub rejection: Option<Rejection<'a>>,
}

/// The facts about a rejection, as far as they were written down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rejection<'a> {
    pub code: Option<&'a str>,
    pub at: Option<Timestamp>,
}

impl Selection {
    /// Returns true if a dead letter is selected.
    pub fn takes(&self, facts: &Facts<'_>) -> bool {
        among(&self.categories, Some(facts.category))
            && among(&self.interactions, facts.interaction)
            && like(&self.targets, facts.target)
            && (self.ids.is_empty() || self.ids.contains(facts.event_id))
            && facts.topic.is_none_or(|topic| self.takes_topic(topic))
            && facts.rejection.is_none_or(|it| self.takes_rejection(it))
    }

    /// Returns true if the event type is selected.
    pub fn takes_topic(&self, topic: &str) -> bool {
        like(&self.topics, topic)
    }

    fn takes_rejection(&self, rejection: Rejection<'_>) -> bool {
        // The command has already rejected a bound that cannot be read.
        let bound = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
        let is_in = |test: &dyn Fn(Timestamp) -> bool| rejection.at.is_some_and(test);
        among(&self.codes, rejection.code)
            && bound(&self.since).is_none_or(|since| is_in(&|at| at >= since))
            && bound(&self.until).is_none_or(|until| is_in(&|at| at < until))
    }
}

fn among(list: &[String], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.iter().any(|it| it == value))
}

fn like(patterns: &[String], value: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|it| WildMatch::new(it).matches(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FACTS: Facts<'static> = Facts {
        event_id: "e-1",
        category: "ENDPOINT_UNREACHABLE",
        topic: Some("v2.detail.events.conversation.{id}.customer.end"),
        target: "https://crm.example/events",
        interaction: Some("c-1"),
        rejection: Some(Rejection {
            code: Some("EXHAUSTED"),
            at: Some(Timestamp::from_millis(1_785_000_000_000)),
        }),
    };

    /// Returns whether a selection with one condition takes a dead letter.
    fn takes(member: &str, value: &Value, facts: &Facts<'_>) -> Option<bool> {
        let mut selection = serde_json::to_value(Selection::default()).ok()?;
        selection[member] = value.clone();
        Some(
            serde_json::from_value::<Selection>(selection)
                .ok()?
                .takes(facts),
        )
    }

    #[test]
    fn every_condition_lets_through_what_fits_and_nothing_else() {
        assert!(Selection::default().takes(&FACTS));
        let unknown = Facts {
            interaction: None,
            rejection: Some(Rejection::default()),
            ..FACTS
        };
        assert!(Selection::default().takes(&unknown));
        let list = |value: &str| json!(["other", value]);
        for (member, fitting, other, is_known) in [
            (
                "categories",
                list("ENDPOINT_UNREACHABLE"),
                list("UNKNOWN"),
                true,
            ),
            ("codes", list("EXHAUSTED"), list("INTERNAL"), false),
            ("topics", list("*.customer.*"), list("*.agent.*"), true),
            (
                "targets",
                list("https://crm.example/*"),
                list("arn:*"),
                true,
            ),
            ("interactions", list("c-1"), list("c-2"), false),
            ("ids", list("e-1"), list("e-2"), true),
            (
                "since",
                json!("2026-07-25T17:20:00Z"),
                json!("2026-07-25T17:20:01Z"),
                false,
            ),
            (
                "until",
                json!("2026-07-25T17:20:01Z"),
                json!("2026-07-25T17:20:00Z"),
                false,
            ),
        ] {
            assert_eq!(takes(member, &fitting, &FACTS), Some(true), "{member}");
            assert_eq!(takes(member, &other, &FACTS), Some(false), "{member}");
            // What is not known fits no condition on it.
            assert_eq!(
                takes(member, &fitting, &unknown),
                Some(is_known),
                "{member}"
            );
        }
    }

    #[test]
    fn what_is_not_to_be_checked_fits_every_condition() {
        let unchecked = Facts {
            topic: None,
            rejection: None,
            ..FACTS
        };
        for (member, value) in [
            ("topics", json!(["*.agent.*"])),
            ("codes", json!(["INTERNAL"])),
            ("since", json!("2030-01-01T00:00:00Z")),
        ] {
            assert_eq!(takes(member, &value, &unchecked), Some(true), "{member}");
        }
    }
}
