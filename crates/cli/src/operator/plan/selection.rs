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
    /// Categories of the first failure.
    pub categories: Vec<String>,
    /// Failure codes.
    pub codes: Vec<String>,
    /// Patterns of event types; `*` stands for any text, `?` for one character.
    pub topics: Vec<String>,
    /// Patterns of targets.
    pub targets: Vec<String>,
    /// Interactions.
    pub interactions: Vec<String>,
    /// Event ids.
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

/// The facts about a dead letter that may be selected.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The event's id.
    pub event_id: &'a str,
    /// The category of the first failure.
    pub category: &'a str,
    /// The reason for the rejection, if it is known.
    pub code: Option<&'a str>,
    /// The event's type.
    pub topic: &'a str,
    /// The target for people: a URL without secret parts.
    pub target: &'a str,
    /// The event's interaction.
    pub interaction: Option<&'a str>,
    /// The time of the rejection.
    pub at: Option<Timestamp>,
}

impl Selection {
    /// Returns true if a dead letter is selected.
    #[must_use]
    pub fn takes(&self, facts: &Facts<'_>) -> bool {
        let among = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|it| it == value))
        };
        let like = |patterns: &[String], value: &str| {
            let fits = |pattern: &String| WildMatch::new(pattern).matches(value);
            patterns.is_empty() || patterns.iter().any(fits)
        };
        // The command has already rejected a bound that cannot be read.
        let bound = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
        let since = bound(&self.since).is_none_or(|since| facts.at.is_some_and(|at| at >= since));
        let until = bound(&self.until).is_none_or(|until| facts.at.is_some_and(|at| at < until));
        among(&self.categories, Some(facts.category))
            && among(&self.codes, facts.code)
            && among(&self.interactions, facts.interaction)
            && like(&self.topics, facts.topic)
            && like(&self.targets, facts.target)
            && (self.ids.is_empty() || self.ids.contains(facts.event_id))
            && since
            && until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'static> = Facts {
        event_id: "e-1",
        category: "ENDPOINT_UNREACHABLE",
        code: Some("EXHAUSTED"),
        topic: "v2.detail.events.conversation.{id}.customer.end",
        target: "https://crm.example/events",
        interaction: Some("c-1"),
        at: Some(Timestamp::from_millis(1_785_000_000_000)),
    };

    fn list(value: &str) -> Vec<String> {
        vec!["other".to_owned(), value.to_owned()]
    }

    /// Returns every condition: with a matching value if `fits` is true, else with another value.
    fn conditions(fits: bool) -> [Selection; 8] {
        let value = |fitting: &str, other: &str| list(if fits { fitting } else { other });
        let none = Selection::default;
        [
            Selection {
                categories: value("ENDPOINT_UNREACHABLE", "UNKNOWN"),
                ..none()
            },
            Selection {
                codes: value("EXHAUSTED", "INTERNAL"),
                ..none()
            },
            Selection {
                topics: value("*.customer.*", "*.agent.*"),
                ..none()
            },
            Selection {
                targets: value("https://crm.example/*", "arn:*"),
                ..none()
            },
            Selection {
                interactions: value("c-1", "c-2"),
                ..none()
            },
            Selection {
                ids: value("e-1", "e-2").into_iter().collect(),
                ..none()
            },
            Selection {
                since: Some(
                    if fits {
                        "2026-07-25T17:20:00Z"
                    } else {
                        "2026-07-25T17:20:01Z"
                    }
                    .to_owned(),
                ),
                ..none()
            },
            Selection {
                until: Some(
                    if fits {
                        "2026-07-25T17:20:01Z"
                    } else {
                        "2026-07-25T17:20:00Z"
                    }
                    .to_owned(),
                ),
                ..none()
            },
        ]
    }

    #[test]
    fn every_condition_lets_through_what_fits_and_nothing_else() {
        assert!(Selection::default().takes(&FACTS));
        for condition in conditions(true) {
            assert!(condition.takes(&FACTS), "{condition:?}");
        }
        for condition in conditions(false) {
            assert!(!condition.takes(&FACTS), "{condition:?}");
        }
    }

    #[test]
    fn what_is_not_known_fits_no_condition_on_it() {
        let unknown = Facts {
            code: None,
            interaction: None,
            at: None,
            ..FACTS
        };
        assert!(Selection::default().takes(&unknown));
        let conditions = conditions(true);
        for index in [1, 4, 6, 7] {
            assert!(
                !conditions[index].takes(&unknown),
                "{:?}",
                conditions[index]
            );
        }
    }
}
