//! A report as one HTML file that needs nothing else: no network, no server, no other file.
//!
//! Everything in it may come from whoever sends events. It is embedded as JSON that cannot end its element, and the
//! page's own script puts it into the document as text, never as markup. A policy in the page allows that one script
//! and that one style sheet, by their hashes, and nothing from anywhere else.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A report for people.
#[derive(Clone, Debug)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// When it was made.
    pub generated_at: Timestamp,
    /// The figures that one looks at first.
    pub facts: Vec<Fact>,
    /// The charts, in order.
    pub charts: Vec<Chart>,
    /// What to do, one paragraph each; what stands between backticks is shown as code.
    pub notes: Vec<String>,
    /// The single events, or groups of them.
    pub table: Option<Table>,
}

/// A large figure.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What is counted.
    pub name: String,
    /// The figure, as it is shown.
    pub value: String,
}

/// A picture of numbers.
#[derive(Clone, Debug)]
pub enum Chart {
    /// How many there are of each.
    Bars {
        /// What is shown.
        title: String,
        /// Each with its count, in the order in which they are shown.
        bars: Vec<(String, u64)>,
    },
    /// How many there were when.
    TimeLine {
        /// What is shown.
        title: String,
        /// Each with its counts at moments; they are stacked.
        series: Vec<(String, Vec<(Timestamp, u64)>)>,
        /// How far the moments are apart, at least; the page joins steps where there are too many to be seen.
        step: Duration,
    },
}

/// Rows that can be searched and sorted.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The headings.
    pub columns: Vec<String>,
    /// The rows, each with a cell for every heading.
    pub rows: Vec<Vec<String>>,
    /// How many rows more there were than the page holds.
    pub left_out: u64,
    /// What is shown of a row on demand, such as its payload: one for each row, or none at all.
    pub details: Vec<Option<String>>,
}

impl Page {
    /// The whole file.
    #[must_use]
    pub fn render(&self) -> String {
        let data = embeddable(&self.data());
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
            source_hash(SCRIPT),
            source_hash(STYLE)
        );
        let title = escaped(&self.title);
        // One pass over the template: a place's name inside the data is not taken for a place.
        let mut pieces = TEMPLATE.split("{{");
        let mut page = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (place, rest) = piece.split_once("}}").unwrap_or((piece, ""));
            page.push_str(match place {
                "policy" => &policy,
                "title" => &title,
                "style" => STYLE,
                "data" => &data,
                "script" => SCRIPT,
                _ => "",
            });
            page.push_str(rest);
        }
        page
    }

    fn data(&self) -> Value {
        let table = self.table.as_ref().map(|table| {
            json!({
                "columns": table.columns,
                "rows": table.rows,
                "leftOut": table.left_out,
                "details": table.details,
            })
        });
        json!({
            "title": self.title,
            "generatedAt": self.generated_at.as_millis(),
            "facts": self.facts.iter().map(|fact| json!([fact.name, fact.value])).collect::<Vec<_>>(),
            "charts": self.charts.iter().map(Chart::data).collect::<Vec<_>>(),
            "notes": self.notes,
            "table": table,
        })
    }
}

impl Chart {
    fn data(&self) -> Value {
        match self {
            Self::Bars { title, bars } => json!({ "title": title, "bars": bars }),
            Self::TimeLine {
                title,
                series,
                step,
            } => {
                let series = series.iter().map(|(name, points)| {
                    let points = points
                        .iter()
                        .map(|(at, count)| json!([at.as_millis(), count]));
                    json!([name, points.collect::<Vec<_>>()])
                });
                json!({
                    "title": title,
                    "series": series.collect::<Vec<_>>(),
                    "step": u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1),
                })
            }
        }
    }
}

/// JSON that may stand inside a script element: these characters occur in its strings only, where an escape means
/// the same, and without them nothing ends the element or opens a comment.
fn embeddable(data: &Value) -> String {
    data.to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Text as the content of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What a content security policy knows an inline element by.
fn source_hash(content: &str) -> String {
    format!(
        "sha256-{}",
        STANDARD.encode(Sha256::digest(content.as_bytes()))
    )
}

#[cfg(test)]
mod tests;
