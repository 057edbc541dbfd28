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
    pub topic: Option<&'a str>,
    /// The target for people: a URL without secret parts.
    pub target: &'a str,
    /// The event's interaction, if it has one.
    pub interaction: Option<&'a str>,
    pub rejection: Option<RejectionFacts<'a>>,
}

/// The facts about a rejection, as far as they were written down.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionFacts<'a> {
    pub code: Option<&'a str>,
    pub at: Option<Timestamp>,
}

impl Selection {
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        among(&self.categories, Some(facts.category))
            && among(&self.interactions, facts.interaction)
            && like(&self.targets, facts.target)
            && (self.ids.is_empty() || self.ids.contains(facts.event_id))
            && facts.topic.is_none_or(|topic| self.matches_topic(topic))
            && facts.rejection.is_none_or(|it| self.matches_rejection(it))
    }

    pub fn matches_topic(&self, topic: &str) -> bool {
        like(&self.topics, topic)
    }

    fn matches_rejection(&self, rejection: RejectionFacts<'_>) -> bool {
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
    use serde_json::json;

    use super::*;

    const AT: &str = "2026-07-25T17:20:00Z";
    const LATER: &str = "2026-07-25T17:20:01Z";
    const FACTS: Facts<'static> = Facts {
        event_id: "e-1",
        category: "UNKNOWN",
        topic: Some("v2.conversation.{id}.customer.end"),
        target: "https://crm.example/events",
        interaction: Some("c-1"),
        rejection: Some(RejectionFacts {
            code: Some("EXHAUSTED"),
            at: Some(Timestamp::from_millis(1_785_000_000_000)),
        }),
    };

    /// Returns true if a selection with one condition takes a dead letter.
    fn matches(member: &str, value: &str, facts: &Facts<'_>) -> bool {
        let is_bound = ["since", "until"].contains(&member);
        let value = if is_bound {
            json!(value)
        } else {
            json!(["other", value])
        };
        let mut selection = json!(Selection::default());
        selection[member] = value;
        let selection = serde_json::from_value::<Selection>(selection);
        selection.is_ok_and(|selection| selection.matches(facts))
    }

    #[test]
    fn every_condition_lets_through_what_fits_and_nothing_else() {
        let unknown = Facts {
            interaction: None,
            rejection: Some(RejectionFacts::default()),
            ..FACTS
        };
        let unchecked = Facts {
            topic: None,
            rejection: None,
            ..FACTS
        };
        for facts in [&FACTS, &unknown, &unchecked] {
            assert!(Selection::default().matches(facts));
        }
        // Each condition takes what fits, what is not known, and anything that is not checked, or does not.
        for (member, fitting, other, is_known, is_checked) in [
            ("categories", "UNKNOWN", "TIMEOUT", true, true),
            ("codes", "EXHAUSTED", "INTERNAL", false, false),
            ("topics", "*.customer.*", "*.agent.*", true, false),
            ("targets", "https://crm.example/*", "arn:*", true, true),
            ("interactions", "c-1", "c-2", false, true),
            ("ids", "e-1", "e-2", true, true),
            ("since", AT, LATER, false, false),
            ("until", LATER, AT, false, false),
        ] {
            assert!(matches(member, fitting, &FACTS), "{member}");
            assert!(!matches(member, other, &FACTS), "{member}");
            assert_eq!(matches(member, fitting, &unknown), is_known, "{member}");
            assert_eq!(matches(member, other, &unchecked), !is_checked, "{member}");
        }
    }
}
