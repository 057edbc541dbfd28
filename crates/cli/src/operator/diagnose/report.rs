//! The diagnosis as a page for people and as a summary for programs.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::groups::{GroupKey, shortened};
use super::{Diagnosis, DiagnosisEnd, MessageFinding, Sink};
use crate::operator::page::{Chart, Fact, Page, Table};

/// The maximum number of rows on the page.
pub const MAX_ROWS: usize = 5_000;

/// The maximum length of a payload on the page, in bytes.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// The maximum length of all payloads on the page, in bytes, because a browser has to show the page.
const MAX_PAYLOADS_BYTES: usize = 16 * 1024 * 1024;

/// The maximum number of bars in a chart, because more are not readable.
const MAX_BARS: usize = 15;

const COLUMNS: &str =
    "Happened,Category,Event type,Target,Interaction,Event,Failure code,Ledger,Receives,Next";

/// The rows of the page for the first examined messages, and the number of further messages.
#[derive(Debug, Default)]
pub struct Rows {
    cells: Vec<Vec<String>>,
    notes: Vec<Vec<(&'static str, String)>>,
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
    pub fn new(with_payloads: bool) -> Self {
        Self { payloads: with_payloads.then(Payloads::default), ..Self::default() }
    }
}

impl Sink for Rows {
    fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()> {
        if self.cells.len() >= MAX_ROWS {
            self.left_out += 1;
            return Ok(());
        }
        let receives = finding.receive_count.to_string();
        let cells = [
            finding.timestamp.as_deref(),
            Some(finding.failure_category),
            Some(finding.event_type),
            finding.replay_endpoint.as_deref(),
            finding.interaction_id,
            Some(finding.event_id),
            finding.failure_code,
            finding.ledger_status,
            Some(&receives),
            Some(finding.next_step),
        ];
        let cells = cells.map(|text| shortened(text.unwrap_or_default()));
        self.cells.push(cells.to_vec());
        let notes = [
            ("Error", finding.error_message.as_deref()),
            ("Rule", finding.rule_arn.as_deref()),
            ("Original target", finding.original_target.as_deref()),
        ];
        let notes = notes.iter().filter_map(|(name, text)| Some((*name, shortened((*text)?))));
        self.notes.push(notes.collect());
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
    pub fn page(&self, rows: Rows) -> Page {
        let (groups, missing) = (&self.groups, self.correlation.map(|it| it.missing));
        let fact = |name: String, value: u64| Fact { name, value: value.to_string() };
        let mut facts = vec![
            fact("dead letters examined".to_owned(), self.total),
            fact("groups".to_owned(), groups.all().len() as u64),
        ];
        let steps = groups.next_steps.iter();
        facts.extend(
            steps.map(|(step, count)| fact(format!("next: {}", step.to_lowercase()), *count)),
        );
        if self.cost.at_last_receive > 0 {
            facts.push(fact("at their last receive".to_owned(), self.cost.at_last_receive));
        }
        facts.extend(
            missing.map(|missing| fact("interactions not in analytics".to_owned(), missing)),
        );
        let bars = |title: &str, part: fn(&GroupKey) -> &str| Chart::Bars {
            title: title.to_owned(),
            bars: groups.by(part, MAX_BARS),
        };
        Page {
            title: format!("Dead letters in {}", self.queue.name()),
            generated_at: self.generated_at,
            facts,
            charts: vec![
                bars("Categories", |key| key.category),
                bars("Targets", |key| &key.target),
                bars("Event types", |key| &key.event_type),
                Chart::TimeLine {
                    title: "Sent to the queue".to_owned(),
                    series: groups.hours(),
                    step: Duration::from_secs(3_600),
                },
            ],
            notes: self.notes(),
            table: Some(Table {
                columns: COLUMNS.split(',').map(str::to_owned).collect(),
                rows: rows.cells,
                notes: rows.notes,
                left_out: rows.left_out,
                details: rows.payloads.map(|it| it.shown).unwrap_or_default(),
            }),
        }
    }

    /// Returns the advice, and the limits of these figures.
    pub fn notes(&self) -> Vec<String> {
        let correlation = self.correlation.unwrap_or_default();
        let limits = [
            ("Without a group", self.groups.other, "There are more groups than the maximum."),
            (
                "At their last receive",
                self.cost.at_last_receive,
                "The next receive moves them to the parking queue. Examine them there with `--parking`.",
            ),
            (
                "Examined without the ledger",
                self.without_ledger,
                "Their status in the ledger is not known.",
            ),
            (
                "Interactions that analytics did not return",
                correlation.missing,
                "They are too old, too new, or of another organisation.",
            ),
            (
                "Interactions that were not looked up in analytics",
                correlation.not_asked,
                "See the warnings.",
            ),
        ];
        let mut notes = self.groups.advice();
        let limits = limits.iter().filter(|(_, count, _)| *count > 0);
        notes.extend(limits.map(|(what, count, then)| format!("{what}: {count}. {then}")));
        let (total, visible) = (self.received(), self.queue.visible);
        match self.end {
            DiagnosisEnd::Limit => notes.push(format!(
                "The diagnosis ended at its limit: {total} messages of about {visible}."
            )),
            DiagnosisEnd::Drained if total < visible => notes.push(format!(
                "Fewer messages were received than SQS reported: {total} of about {visible}. Other consumers may have received them. SQS hides the rest of a FIFO group while one of its messages is held, and limits messages in flight to 120,000."
            )),
            DiagnosisEnd::Drained | DiagnosisEnd::Interrupted => {}
        }
        notes
    }

    /// Returns the number of received messages.
    pub const fn received(&self) -> u64 {
        self.total + self.not_selected
    }

    /// Returns the summary for programs: everything except the records.
    pub fn summary(&self) -> Value {
        json!({
            "generated_at": self.generated_at.to_string(),
            "queue": self.queue.arn,
            "approximate_visible": self.queue.visible,
            "total_failures": self.total,
            "not_selected": self.not_selected,
            "complete": self.end == DiagnosisEnd::Drained && self.received() >= self.queue.visible,
            "categories": self.groups.categories,
            "next_steps": self.groups.next_steps,
            "groups": self.groups.all(),
            "in_no_group": self.groups.other,
            "at_last_receive": self.cost.at_last_receive,
            "without_ledger": self.without_ledger,
            "correlation": self.correlation,
            "not_shown_again": self.released.hidden,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_of_the_page_has_error_rule_and_original_target() {
        let mut rows = Rows::new(false);
        let whole = MessageFinding {
            error_message: Some("no\nanswer".to_owned()),
            rule_arn: Some("arn:rule".to_owned()),
            original_target: Some("arn:target".to_owned()),
            ..MessageFinding::default()
        };
        for finding in [whole, MessageFinding::default()] {
            assert!(rows.put(&finding).is_ok());
        }
        let notes = [
            ("Error", "no\u{fffd}answer"),
            ("Rule", "arn:rule"),
            ("Original target", "arn:target"),
        ];
        let notes = notes.map(|(name, text)| (name, text.to_owned())).to_vec();
        assert_eq!(rows.notes, [notes, Vec::new()]);
        assert_eq!(rows.cells[0].len(), COLUMNS.split(',').count());
    }

    #[test]
    fn payloads_on_the_page_are_limited() {
        let mut payloads = Payloads::default();
        let long = "x".repeat(MAX_PAYLOAD_BYTES + 1);
        payloads.put(&long);
        for _ in 0..=MAX_PAYLOADS_BYTES / MAX_PAYLOAD_BYTES {
            payloads.put(&long[1..]);
        }
        let shown: Vec<usize> = payloads.shown.iter().flatten().map(String::len).collect();
        assert!(shown[0] < 100 && shown[257] < 100);
        assert_eq!(shown[1..257], [MAX_PAYLOAD_BYTES; 256]);
    }
}
