//! The diagnosis for people.

use std::fmt::Write;

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::diagnose::Diagnosis;

use crate::table::{self, TableStyle};
use crate::terminal::{self, one_line, wrapped};

/// The maximum number of listed groups. The JSON form and the page contain all groups.
const MAX_GROUPS_SHOWN: usize = 40;

pub(super) fn of(diagnosis: &Diagnosis) -> String {
    let queue = diagnosis.queue.name();
    let others = match diagnosis.not_selected {
        0 => String::new(),
        _ => format!(" of {} received", diagnosis.received()),
    };
    if diagnosis.total == 0 {
        return format!("{queue}: no dead letters{others}");
    }
    let groups = diagnosis.groups.all();
    let width = terminal::width();
    let rows = groups.iter().take(MAX_GROUPS_SHOWN).map(|group| {
        let key = &group.key;
        let example = format!("such as {}", group.example.event_id);
        [
            group.count.to_string(),
            lines([key.category, &one_line(&key.failure_code)]),
            lines([
                &one_line(&key.event_type),
                &one_line(resource(&key.target)),
                &one_line(&example),
            ]),
            lines([&moment(group.first), &moment(group.last)]),
        ]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let columns = ["count", "category and code", "event type and target", "first and last"];
    let style = TableStyle { has_lines: true, number_column: Some(0) };
    let mut text = format!(
        "{queue}: dead letters: {}{others}, groups: {}\n\n{}",
        diagnosis.total,
        groups.len(),
        table::fitted(columns, &rows, style, width)
    );
    let more = groups.len().saturating_sub(MAX_GROUPS_SHOWN);
    // Writing to a string does not fail.
    if more > 0 {
        let _ = writeln!(text, "and {more} smaller groups (--output json, --html)");
    }
    text.push_str("\nWhat to do:\n");
    for note in diagnosis.notes() {
        let _ = writeln!(text, "{}", wrapped(&format!("- {}", one_line(&note)), width, 2));
    }
    text
}

/// Returns the texts that are not empty, one below the other.
fn lines<const N: usize>(texts: [&str; N]) -> String {
    let texts: Vec<&str> = texts.into_iter().filter(|it| !it.is_empty()).collect();
    texts.join("\n")
}

/// Returns a time to the second.
fn moment(at: Option<Timestamp>) -> String {
    let at = at.map(|at| at.to_string()).unwrap_or_default();
    at.split(['.', 'Z']).next().unwrap_or_default().to_owned()
}

/// Returns an ARN without partition, service, region and account; a URL unchanged.
fn resource(target: &str) -> &str {
    match target.strip_prefix("arn:") {
        Some(arn) => arn.splitn(5, ':').last().unwrap_or(target),
        None => target,
    }
}
