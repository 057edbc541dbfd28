//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::terminal::one_line;

/// Returns a table as text. Lines have any length, because another program may read them.
pub(crate) fn text<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns);
    for row in rows {
        table.add_row(row.map(|cell| one_line(&cell)));
    }
    trimmed(&table)
}

/// Returns a table without spaces at the ends of its lines.
pub(crate) fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}
