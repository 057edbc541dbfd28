//! Groups of similar messages. The memory is bounded, whatever the number and the content of the messages.

use std::collections::BTreeMap;

use genesys_replay::clock::Timestamp;
use serde::Serialize;

use super::advice;
use super::finding::Finding;

/// The maximum number of groups. Messages of further groups are counted without a group.
pub const MAX_GROUPS: usize = 1_000;

/// The maximum number of hours in the timeline: more than SQS keeps a message.
const MAX_HOURS: usize = 24 * 15;

/// The maximum length of a text in a group, in characters. An event type may be as long as a message.
const MAX_TEXT_CHARS: usize = 300;

const HOUR_MILLIS: u64 = 3_600_000;

/// The common features of a group's messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupKey {
    /// The category of the first failure.
    pub category: &'static str,
    /// The target; `unknown` if the target is missing.
    pub target: String,
    /// The type of the events.
    pub event_type: String,
    /// The failure code; empty if it is not known yet.
    pub failure_code: String,
}

/// Messages that share category, target, event type and failure code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The common features.
    #[serde(flatten)]
    pub key: GroupKey,
    /// The number of messages.
    pub count: u64,
    /// The time of the first event, in RFC 3339.
    pub first: Option<String>,
    /// The time of the last event, in RFC 3339.
    pub last: Option<String>,
    /// One message of the group.
    pub example: Example,
    /// The advice for the group, in one sentence.
    pub what_to_do: String,
    #[serde(skip)]
    times: Option<(Timestamp, Timestamp)>,
}

/// One message of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// The message's id.
    pub message_id: String,
    /// The event's id.
    pub event_id: String,
}

/// The groups of a queue's messages.
#[derive(Debug, Default)]
pub struct Groups {
    kept: BTreeMap<GroupKey, Group>,
    /// The number of messages beyond the maximum number of groups.
    other: u64,
    categories: BTreeMap<&'static str, u64>,
    hours: BTreeMap<(u64, &'static str), u64>,
    next_steps: BTreeMap<&'static str, u64>,
}

impl Groups {
    pub(super) fn add(&mut self, finding: &Finding<'_>) {
        *self.categories.entry(finding.failure_category).or_default() += 1;
        *self.next_steps.entry(finding.next_step).or_default() += 1;
        if let Some(at) = finding.sent_at {
            let hour = (
                at.as_millis() / HOUR_MILLIS * HOUR_MILLIS,
                finding.failure_category,
            );
            // Each of the six categories has hours of its own.
            if self.hours.len() < MAX_HOURS * 6 || self.hours.contains_key(&hour) {
                *self.hours.entry(hour).or_default() += 1;
            }
        }
        let key = GroupKey {
            category: finding.failure_category,
            target: shortened(finding.replay_endpoint.as_deref().unwrap_or("unknown")),
            event_type: shortened(finding.event_type),
            failure_code: shortened(finding.failure_code.unwrap_or_default()),
        };
        if self.kept.len() >= MAX_GROUPS && !self.kept.contains_key(&key) {
            self.other += 1;
            return;
        }
        let group = self.kept.entry(key).or_insert_with_key(|key| Group {
            what_to_do: advice::of(key.category, &key.failure_code).to_owned(),
            key: key.clone(),
            count: 0,
            first: None,
            last: None,
            example: Example {
                message_id: shortened(finding.message_id),
                event_id: shortened(finding.event_id),
            },
            times: None,
        });
        group.count += 1;
        if let Some(at) = finding.at {
            let (first, last) = group.times.unwrap_or((at, at));
            group.times = Some((first.min(at), last.max(at)));
        }
    }

    /// Returns the groups, largest first.
    #[must_use]
    pub fn all(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.kept.values().cloned().collect();
        for group in &mut groups {
            group.first = group.times.map(|(first, _)| first.to_string());
            group.last = group.times.map(|(_, last)| last.to_string());
        }
        // Stable: equal counts stay in the order of their keys.
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }

    /// Returns the number of messages beyond the maximum number of groups.
    #[must_use]
    pub const fn other(&self) -> u64 {
        self.other
    }

    /// Returns the number of messages of each category.
    #[must_use]
    pub const fn categories(&self) -> &BTreeMap<&'static str, u64> {
        &self.categories
    }

    /// Returns the number of messages for each next step.
    #[must_use]
    pub const fn next_steps(&self) -> &BTreeMap<&'static str, u64> {
        &self.next_steps
    }

    /// Returns, for each category, the number of messages that were sent to the queue per hour.
    #[must_use]
    pub fn hours(&self) -> Vec<(String, Vec<(Timestamp, u64)>)> {
        let mut series: BTreeMap<&str, Vec<(Timestamp, u64)>> = BTreeMap::new();
        for ((hour, category), count) in &self.hours {
            let points = series.entry(category).or_default();
            points.push((Timestamp::from_millis(*hour), *count));
        }
        let named = series.into_iter().map(|(name, it)| (name.to_owned(), it));
        named.collect()
    }

    /// Returns the number of messages for each value of `part`, largest first, at most `most` values.
    #[must_use]
    pub fn by(&self, part: impl Fn(&GroupKey) -> &str, most: usize) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, group) in &self.kept {
            *counts.entry(part(key)).or_default() += group.count;
        }
        let mut counts: Vec<(String, u64)> = counts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(most);
        counts
    }

    /// Returns the advice of all groups, each sentence once, in the order of the largest groups.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for group in self.all() {
            let key = &group.key;
            let about = if advice::knows(&key.failure_code) {
                key.failure_code.as_str()
            } else {
                key.category
            };
            let advice = format!("`{about}`: {}", group.what_to_do);
            if !all.contains(&advice) {
                all.push(advice);
            }
        }
        all
    }
}

/// Returns a text with a limited length and without control characters, which would break a line or control a terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut letters = text.chars().map(|letter| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    });
    let mut short: String = letters.by_ref().take(MAX_TEXT_CHARS).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(event_type: &str) -> Finding<'_> {
        Finding {
            timestamp: None,
            interaction_id: None,
            event_type,
            failure_category: "UNKNOWN",
            replay_payload: "",
            interaction_info: None,
            replay_endpoint: None,
            message_id: "m",
            event_id: "e",
            failure_code: None,
            ledger_status: None,
            attempts: 0,
            receive_count: 1,
            error_code: None,
            next_step: "REPLAY",
            payload_encoding: None,
            sent_at: None,
            at: None,
        }
    }

    #[test]
    fn there_are_so_many_groups_and_the_rest_is_counted() {
        let mut groups = Groups::default();
        for number in 0..MAX_GROUPS + 7 {
            groups.add(&finding(&format!("type-{number}")));
        }
        groups.add(&finding("type-0"));
        assert_eq!(groups.all().len(), MAX_GROUPS);
        assert_eq!(groups.other(), 7);
        let first = &groups.all()[0];
        assert_eq!((first.count, first.key.event_type.as_str()), (2, "type-0"));
    }

    #[test]
    fn a_group_has_no_text_that_is_long_or_drives_a_terminal() {
        let mut groups = Groups::default();
        let hostile = format!("\u{1b}[2J\n{}", "é".repeat(1 << 20));
        groups.add(&finding(&hostile));
        let shown = groups.all()[0].key.event_type.clone();
        assert_eq!(shown.chars().count(), MAX_TEXT_CHARS + 1);
        assert!(shown.starts_with("\u{fffd}[2J\u{fffd}é") && shown.ends_with('…'));
    }

    #[test]
    fn a_group_tells_its_first_and_last_event() {
        let mut groups = Groups::default();
        for millis in [5_000, 1_000, 3_000] {
            let mut finding = finding("t");
            finding.at = Some(Timestamp::from_millis(millis));
            groups.add(&finding);
        }
        let group = &groups.all()[0];
        assert_eq!(group.first.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(group.last.as_deref(), Some("1970-01-01T00:00:05Z"));
    }
}
