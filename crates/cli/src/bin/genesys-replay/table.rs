//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::terminal::{one_line, width};

/// Returns a table as text. On a terminal, its cells are wrapped to the width. Else, lines have any length, because
/// another program may read them.
pub(crate) fn text<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    fit(&mut table, width());
    table.load_style(presets::NOTHING).set_header(columns);
    for row in rows {
        table.add_row(row.map(|cell| one_line(&cell)));
    }
    trimmed(&table)
}

/// Fits the columns of a table to a width, if there is one.
pub(crate) fn fit(table: &mut Table, width: Option<usize>) {
    match width.and_then(|width| u16::try_from(width).ok()) {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
}

/// Returns a table without spaces at the ends of its lines.
pub(crate) fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}
