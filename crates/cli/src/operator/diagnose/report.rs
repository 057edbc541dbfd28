//! The diagnosis as a page for people and as a summary for programs.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::groups::shortened;
use super::{Diagnosis, End, Finding, Sink};
use crate::operator::page::{Chart, Fact, Page, Table};

/// The maximum number of rows on the page.
pub const MAX_ROWS: usize = 5_000;

/// The maximum length of a payload on the page, in bytes.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// The maximum length of all payloads on the page, in bytes, because a browser has to show the page.
const MAX_PAYLOADS_BYTES: usize = 16 * 1024 * 1024;

/// The maximum number of bars in a chart, because more are not readable.
const MAX_BARS: usize = 15;

const COLUMNS: [&str; 10] = [
    "Happened",
    "Category",
    "Event type",
    "Target",
    "Interaction",
    "Event",
    "Failure code",
    "Ledger",
    "Receives",
    "Next",
];

/// The rows of the page for the first examined messages, and the number of further messages.
#[derive(Debug, Default)]
pub struct Rows {
    kept: Vec<Vec<String>>,
    left_out: u64,
    payloads: Option<Payloads>,
}

#[derive(Debug, Default)]
struct Payloads {
    shown: Vec<Option<String>>,
    bytes: usize,
}

impl Rows {
    /// Returns empty rows, with or without payloads. A note replaces a payload that is too long.
    #[must_use]
    pub fn new(with_payloads: bool) -> Self {
        Self {
            payloads: with_payloads.then(Payloads::default),
            ..Self::default()
        }
    }
}

impl Sink for Rows {
    fn put(&mut self, finding: &Finding<'_>) -> io::Result<()> {
        if self.kept.len() >= MAX_ROWS {
            self.left_out += 1;
            return Ok(());
        }
        let cell = |text: Option<&str>| shortened(text.unwrap_or_default());
        self.kept.push(vec![
            cell(finding.timestamp.as_deref()),
            finding.failure_category.to_owned(),
            shortened(finding.event_type),
            cell(finding.replay_endpoint.as_deref()),
            cell(finding.interaction_id),
            shortened(finding.event_id),
            cell(finding.failure_code),
            cell(finding.ledger_status),
            finding.receive_count.to_string(),
            finding.next_step.to_owned(),
        ]);
        if let Some(payloads) = &mut self.payloads {
            payloads.put(finding.replay_payload);
        }
        Ok(())
    }
}

impl Payloads {
    fn put(&mut self, payload: &str) {
        let bytes = payload.len();
        let fits = bytes <= MAX_PAYLOAD_BYTES && self.bytes + bytes <= MAX_PAYLOADS_BYTES;
        self.shown.push(Some(if fits {
            self.bytes += bytes;
            payload.to_owned()
        } else {
            format!("{bytes} bytes, too long for this page: see the file of records, or --save")
        }));
    }
}

impl Diagnosis {
    /// Returns the page about the diagnosis.
    #[must_use]
    pub fn page(&self, rows: Rows) -> Page {
        let fact = |name: &str, value: u64| Fact {
            name: name.to_owned(),
            value: value.to_string(),
        };
        let mut facts = vec![
            fact("dead letters looked at", self.total),
            fact("groups", self.groups.all().len() as u64),
        ];
        for (step, count) in self.groups.next_steps() {
            facts.push(fact(&format!("next: {}", step.to_lowercase()), *count));
        }
        if self.at_last_receive > 0 {
            facts.push(fact("at their last receive", self.at_last_receive));
        }
        if let Some(correlation) = self.correlation {
            facts.push(fact(
                "interactions unknown to analytics",
                correlation.missing,
            ));
        }
        let bars = |title: &str, bars: Vec<(String, u64)>| Chart::Bars {
            title: title.to_owned(),
            bars,
        };
        let categories = self.groups.by(|key| key.category, MAX_BARS);
        let targets = self.groups.by(|key| &key.target, MAX_BARS);
        let topics = self.groups.by(|key| &key.event_type, MAX_BARS);
        Page {
            title: format!("Dead letters in {}", self.queue.name()),
            generated_at: self.generated_at,
            facts,
            charts: vec![
                bars("Categories", categories),
                bars("Targets", targets),
                bars("Event types", topics),
                Chart::TimeLine {
                    title: "When they came to the queue".to_owned(),
                    series: self.groups.hours(),
                    step: Duration::from_secs(3_600),
                },
            ],
            notes: self.notes(),
            table: Some(Table {
                columns: COLUMNS.map(str::to_owned).to_vec(),
                rows: rows.kept,
                left_out: rows.left_out,
                details: rows.payloads.map(|it| it.shown).unwrap_or_default(),
            }),
        }
    }

    /// Returns the advice, and the limits of these figures.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.groups.advice();
        let mut note = |what: &str, count: u64, then: &str| {
            if count > 0 {
                notes.push(format!("{what}: {count}. {then}"));
            }
        };
        note(
            "In none of the groups",
            self.groups.other(),
            "There are more groups than are kept apart.",
        );
        note(
            "At their last receive",
            self.at_last_receive,
            "The next one moves them to the parking queue: look at them there with `--parking`.",
        );
        note(
            "Looked at without the ledger",
            self.without_ledger,
            "Nothing is said of how they stand.",
        );
        if let Some(correlation) = self.correlation {
            note(
                "Interactions that analytics does not know",
                correlation.missing,
                "They are too old or too new for it, or of another organisation.",
            );
            note(
                "Interactions that were not looked up in analytics",
                correlation.not_asked,
                "See the warnings.",
            );
        }
        let (total, visible) = (self.total, self.queue.visible);
        match self.end {
            End::Limit => notes.push(format!(
                "The look ended at its limit: {total} messages of about {visible}."
            )),
            End::Drained if total < visible => notes.push(format!(
                "Fewer messages were seen than there seemed to be: {total} of about {visible}. Others may have taken them meanwhile; SQS hides the rest of a FIFO group while one of its messages is held, and lets no more than 120,000 messages be held at a time."
            )),
            End::Drained | End::Interrupted => {}
        }
        notes
    }

    /// Returns true if all messages that the queue reported were examined.
    fn is_complete(&self) -> bool {
        self.end == End::Drained && self.total >= self.queue.visible
    }

    /// Returns the summary for programs: everything except the records.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "generatedAt": self.generated_at.to_string(),
            "queue": self.queue.arn,
            "approximateVisible": self.queue.visible,
            "totalFailures": self.total,
            "complete": self.is_complete(),
            "categories": self.groups.categories(),
            "nextSteps": self.groups.next_steps(),
            "groups": self.groups.all(),
            "inNoGroup": self.groups.other(),
            "atLastReceive": self.at_last_receive,
            "withoutLedger": self.without_ledger,
            "correlation": self.correlation,
            "notShownAgain": self.released.hidden,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_so_much_of_payloads_and_says_what_it_leaves_out() {
        let mut payloads = Payloads::default();
        let long = "x".repeat(MAX_PAYLOAD_BYTES + 1);
        payloads.put(&long);
        let most = &long[1..];
        for _ in 0..=MAX_PAYLOADS_BYTES / MAX_PAYLOAD_BYTES {
            payloads.put(most);
        }
        let shown: Vec<usize> = payloads.shown.iter().flatten().map(String::len).collect();
        assert!(shown[0] < 100 && shown.last().is_some_and(|last| *last < 100));
        assert_eq!(
            shown.iter().filter(|it| **it == MAX_PAYLOAD_BYTES).count(),
            256
        );
    }
}
