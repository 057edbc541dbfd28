//! A report as one HTML file without dependencies: no network, no server, no other file.
//!
//! Untrusted senders may have written any part of the content. The content is embedded as JSON that cannot end its
//! element. The page's own script puts the content into the document as text, never as markup. A policy in the page
//! allows only that script and that style sheet, by their hashes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A report for people.
#[derive(Clone, Debug)]
pub struct Page {
    pub title: String,
    pub generated_at: Timestamp,
    pub facts: Vec<Fact>,
    pub charts: Vec<Chart>,
    /// The advice, one paragraph each. Text between backticks is shown as code.
    pub notes: Vec<String>,
    /// The table of single events, or of groups of events.
    pub table: Option<Table>,
}

/// A key figure.
#[derive(Clone, Debug)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug)]
pub enum Chart {
    /// Counts by name.
    Bars {
        title: String,
        /// The names with their counts, in the order in which they are shown.
        bars: Vec<(String, u64)>,
    },
    /// Counts over time.
    TimeLine {
        title: String,
        /// The names with their counts over time, which are stacked.
        series: Vec<(String, Vec<(Timestamp, u64)>)>,
        /// The minimum distance between two times. The page joins steps if there are too many to show.
        step: Duration,
    },
}

/// A table that can be searched and sorted.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    pub columns: Vec<String>,
    /// The rows, each with a cell for every heading.
    pub rows: Vec<Vec<String>>,
    /// Names and values that are shown below a row: one list for each row, or no list at all.
    pub notes: Vec<Vec<(&'static str, String)>>,
    /// The number of further rows that the page does not hold.
    pub left_out: u64,
    /// The details of a row that are shown on demand, such as its payload: one for each row, or an empty list.
    pub details: Vec<Option<String>>,
}

impl Page {
    /// Returns the whole file.
    pub fn render(&self) -> String {
        let data = embeddable(&self.data());
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
            source_hash(SCRIPT),
            source_hash(STYLE)
        );
        let title = escaped(&self.title);
        // One pass over the template, so that a placeholder's name inside the data is not replaced.
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
        json!({
            "title": self.title,
            "generatedAt": self.generated_at.as_millis(),
            "facts": self.facts.iter().map(|fact| json!([fact.name, fact.value])).collect::<Vec<_>>(),
            "charts": self.charts.iter().map(Chart::data).collect::<Vec<_>>(),
            "notes": self.notes,
            "table": self.table,
        })
    }
}

impl Chart {
    fn data(&self) -> Value {
        match self {
            Self::Bars { title, bars } => json!({ "title": title, "bars": bars }),
            Self::TimeLine { title, series, step } => {
                let series = series.iter().map(|(name, points)| {
                    let points = points.iter().map(|(at, count)| json!([at.as_millis(), count]));
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

/// Returns JSON that is safe inside a script element. The replaced characters occur only in strings, where an escape
/// means the same. Without these characters, the data cannot end the element or open a comment.
fn embeddable(data: &Value) -> String {
    data.to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Returns a text, escaped as the content of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Returns the hash of an inline element, as a content security policy names it.
fn source_hash(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content.as_bytes())))
}

#[cfg(test)]
mod tests;
