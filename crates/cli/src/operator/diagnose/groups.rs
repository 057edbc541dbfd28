//! Groups of similar messages. The memory is bounded, whatever the number and the content of the messages.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Category, FailureCode};
use serde::{Serialize, Serializer};

use super::finding::MessageFinding;

/// The maximum number of groups. Messages of further groups are counted without a group.
pub const MAX_GROUPS: usize = 1_000;

/// The maximum number of hours in the timeline of a category: more than SQS keeps a message.
const MAX_HOURS: usize = 24 * 15;

/// The maximum length of a text in a group, in characters. An event type may be as long as a message.
const MAX_TEXT_CHARS: usize = 300;

const HOUR_MILLIS: u64 = 3_600_000;

/// The common features of a group's messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GroupKey {
    /// The category of the first failure.
    pub category: &'static str,
    /// The target; `unknown` if the target is missing.
    pub target: String,
    pub event_type: String,
    /// The failure code; empty if it is not known yet.
    pub failure_code: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Group {
    #[serde(flatten)]
    pub key: GroupKey,
    pub count: u64,
    #[serde(serialize_with = "rfc_3339")]
    pub first: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    pub last: Option<Timestamp>,
    pub example: Example,
    /// The advice for the group, in one sentence.
    pub what_to_do: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct Example {
    pub message_id: String,
    pub event_id: String,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn rfc_3339<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

#[derive(Debug, Default)]
pub struct Groups {
    by_key: BTreeMap<GroupKey, Group>,
    /// The number of messages beyond the maximum number of groups.
    pub other: u64,
    pub categories: BTreeMap<&'static str, u64>,
    pub next_steps: BTreeMap<&'static str, u64>,
    /// The number of messages of each category that were sent to the queue in the hour that begins at this time, in
    /// milliseconds.
    hours: BTreeMap<&'static str, BTreeMap<u64, u64>>,
}

impl Groups {
    pub(super) fn add(&mut self, finding: &MessageFinding<'_>) {
        let category = finding.failure_category;
        *self.categories.entry(category).or_default() += 1;
        *self.next_steps.entry(finding.next_step).or_default() += 1;
        if let Some(at) = finding.sent_at {
            let hour = at.as_millis() / HOUR_MILLIS * HOUR_MILLIS;
            let hours = self.hours.entry(category).or_default();
            if hours.len() < MAX_HOURS || hours.contains_key(&hour) {
                *hours.entry(hour).or_default() += 1;
            }
        }
        let key = GroupKey {
            category,
            target: shortened(finding.replay_endpoint.as_deref().unwrap_or("unknown")),
            event_type: shortened(finding.event_type),
            failure_code: shortened(finding.failure_code.unwrap_or_default()),
        };
        if self.by_key.len() >= MAX_GROUPS && !self.by_key.contains_key(&key) {
            self.other += 1;
            return;
        }
        let group = self.by_key.entry(key).or_insert_with_key(|key| Group {
            what_to_do: advice_on(key.category, &key.failure_code),
            key: key.clone(),
            count: 0,
            first: None,
            last: None,
            example: Example {
                message_id: shortened(finding.message_id),
                event_id: shortened(finding.event_id),
            },
        });
        group.count += 1;
        group.first = [group.first, finding.at].into_iter().flatten().min();
        group.last = group.last.max(finding.at);
    }

    /// Returns the groups, largest first, and those of equal size in the order of their keys.
    pub fn all(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.by_key.values().cloned().collect();
        groups.sort_by_key(|group| Reverse(group.count));
        groups
    }

    /// Returns, for each category, the number of messages that were sent to the queue per hour.
    pub fn hours(&self) -> Vec<(String, Vec<(Timestamp, u64)>)> {
        let series = self.hours.iter().map(|(category, hours)| {
            let points = hours.iter().map(|(hour, count)| (Timestamp::from_millis(*hour), *count));
            ((*category).to_owned(), points.collect())
        });
        series.collect()
    }

    /// Returns the number of messages for each value of `part`, largest first, at most `max` values.
    pub fn by(&self, part: impl Fn(&GroupKey) -> &str, max: usize) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, group) in &self.by_key {
            *counts.entry(part(key)).or_default() += group.count;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        counts.truncate(max);
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// Returns the advice of all groups, each sentence once, in the order of the largest groups.
    pub fn advice(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for Group { key, what_to_do, .. } in self.all() {
            let code = FailureCode::parse(&key.failure_code);
            let about = code.map_or(key.category, FailureCode::as_str);
            let advice = format!("`{about}`: {what_to_do}");
            if !all.contains(&advice) {
                all.push(advice);
            }
        }
        all
    }
}

/// Returns the sentence of the failure code's page if the code is known, else the category's sentence.
fn advice_on(category: &str, failure_code: &str) -> &'static str {
    if let Some(code) = FailureCode::parse(failure_code) {
        return code.what_to_do();
    }
    let category = Category::ALL.into_iter().find(|it| it.as_str() == category);
    advice_on_category(category.unwrap_or(Category::Unknown))
}

/// Returns the category's sentence.
pub(in crate::operator) const fn advice_on_category(category: Category) -> &'static str {
    match category {
        Category::RateLimitExceeded => {
            "the target was throttled: raise its limit or its concurrency, then replay at a rate within the limit"
        }
        Category::AuthenticationRejected => {
            "the target refused the caller: give the rule's role or the API destination's connection the permission, then replay"
        }
        Category::EndpointUnreachable => {
            "the target was down or too slow: check that it works again, then replay"
        }
        Category::TargetMissing => {
            "the target does not exist: create it again, or replay to its successor with `REPLAY_TARGET`"
        }
        Category::PayloadMalformed => {
            "the target refused the payload itself: correct the payload or the target, because the unchanged payload fails again"
        }
        Category::Unknown => {
            "the cause of the failure is not recorded: check a message of the group and the target's log of that time, then replay"
        }
    }
}

/// Returns a text with a limited length and without control characters, which would break a line or control a terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = chars.by_ref().take(MAX_TEXT_CHARS).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(event_type: &str) -> MessageFinding<'_> {
        MessageFinding { event_type, failure_category: "UNKNOWN", ..MessageFinding::default() }
    }

    #[test]
    fn groups_are_limited_and_further_messages_counted() {
        let mut groups = Groups::default();
        for number in 0..MAX_GROUPS + 7 {
            groups.add(&finding(&format!("type-{number}")));
        }
        groups.add(&finding("type-0"));
        assert_eq!(groups.all().len(), MAX_GROUPS);
        assert_eq!(groups.other, 7);
        let first = &groups.all()[0];
        assert_eq!((first.count, first.key.event_type.as_str()), (2, "type-0"));
    }

    #[test]
    fn group_texts_are_short_and_without_control_characters() {
        let mut groups = Groups::default();
        let hostile = format!("\u{1b}[2J\n{}", "é".repeat(1 << 20));
        groups.add(&finding(&hostile));
        let shown = groups.all()[0].key.event_type.clone();
        assert_eq!(shown.chars().count(), MAX_TEXT_CHARS + 1);
        assert!(shown.starts_with("\u{fffd}[2J\u{fffd}é") && shown.ends_with('…'));
    }

    #[test]
    fn group_has_the_times_of_its_first_and_last_event() {
        let mut groups = Groups::default();
        for millis in [5_000, 1_000, 3_000] {
            let mut finding = finding("t");
            finding.at = Some(Timestamp::from_millis(millis));
            groups.add(&finding);
        }
        let group = &groups.all()[0];
        let seconds = |at: Option<Timestamp>| at.map(|at| at.as_millis() / 1_000);
        assert_eq!((seconds(group.first), seconds(group.last)), (Some(1), Some(5)));
    }

    #[test]
    fn advice_of_the_failure_code_precedes_the_category() {
        let code = FailureCode::TargetCredentials;
        assert_eq!(advice_on("UNKNOWN", code.as_str()), code.what_to_do());
        for category in Category::ALL {
            for code in ["", "A_CODE_OF_TOMORROW"] {
                assert_eq!(advice_on(category.as_str(), code), advice_on_category(category));
            }
        }
        assert_eq!(advice_on("TOMORROW", ""), advice_on_category(Category::Unknown));
    }
}
