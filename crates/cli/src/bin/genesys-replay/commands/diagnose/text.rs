//! The diagnosis for people.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use genesys_replay_cli::operator::diagnose::Diagnosis;

use crate::table::trimmed;

/// The most groups that are listed; the JSON form and the page have them all.
const MAX_GROUPS_SHOWN: usize = 40;

pub(super) fn of(diagnosis: &Diagnosis) -> String {
    let queue = diagnosis.queue.name();
    if diagnosis.total == 0 {
        return format!("{queue}: no dead letters to look at");
    }
    let groups = diagnosis.groups.all();
    let mut text = format!(
        "{queue}: dead letters: {}, groups: {}\n\n",
        diagnosis.total,
        groups.len()
    );
    let mut table = Table::new();
    let head = ["count", "why", "what and where to", "first and last"];
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(head);
    for group in groups.iter().take(MAX_GROUPS_SHOWN) {
        let key = &group.key;
        table.add_row([
            group.count.to_string(),
            lines([key.category, &key.failure_code]),
            lines([
                &key.event_type,
                resource(&key.target),
                &format!("such as {}", group.example.event_id),
            ]),
            lines([
                moment(group.first.as_deref()),
                moment(group.last.as_deref()),
            ]),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Writing to a text does not fail.
    text.push_str(&trimmed(&table));
    if let Some(more) = groups
        .len()
        .checked_sub(MAX_GROUPS_SHOWN)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(text, "and {more} smaller groups (--output json, --html)");
    }
    let _ = writeln!(text, "\nWhat to do:");
    for note in diagnosis.notes() {
        let _ = writeln!(text, "- {note}");
    }
    text
}

/// Those that say something, one below the other.
fn lines<const N: usize>(texts: [&str; N]) -> String {
    let texts: Vec<&str> = texts.into_iter().filter(|it| !it.is_empty()).collect();
    texts.join("\n")
}

/// To the second.
fn moment(at: Option<&str>) -> &str {
    let at = at.unwrap_or_default();
    at.split(['.', 'Z']).next().unwrap_or_default()
}

/// What tells an ARN from others of the same account; a URL as it is.
fn resource(target: &str) -> &str {
    match target.strip_prefix("arn:") {
        Some(arn) => arn.splitn(5, ':').last().unwrap_or(target),
        None => target,
    }
}
