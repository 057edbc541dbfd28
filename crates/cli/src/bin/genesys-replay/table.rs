//! Tables for people.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use textwrap::core::display_width;

use crate::terminal::{one_line, width, wrapped};

/// The columns of space around a cell, with its separator.
const CELL_SPACE: usize = 3;

/// The style of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableStyle {
    /// True if lines separate the rows.
    pub(crate) has_lines: bool,
    /// The index of the column with numbers.
    pub(crate) number_column: Option<usize>,
}

/// Returns a table as text. On a terminal, its cells are wrapped to the width. Else, lines have any length, because
/// another program may read them.
pub(crate) fn text<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows = rows.into_iter().map(|row| row.map(|cell| one_line(&cell)));
    fitted(columns, &rows.collect::<Vec<_>>(), TableStyle::default(), width())
}

/// Returns a table of printable cells, fitted to a width, if there is one. Where its words do not fit beside each other,
/// each cell has its own line.
pub(crate) fn fitted<const N: usize>(
    columns: [&str; N],
    rows: &[[String; N]],
    style: TableStyle,
    width: Option<usize>,
) -> String {
    let mut table = Table::new();
    let preset = if style.has_lines { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING };
    table.load_style(preset).set_header(columns).add_rows(rows);
    match width {
        None => table.set_content_arrangement(ContentArrangement::Disabled),
        Some(width) => {
            let words = longest_words(columns, rows);
            if words.iter().map(|word| word + CELL_SPACE).sum::<usize>() > width {
                return stacked(columns, rows, width);
            }
            for (index, word) in words.into_iter().enumerate() {
                if let Some(column) = table.column_mut(index) {
                    let least = Width::Fixed(u16::try_from(word + 2).unwrap_or(u16::MAX));
                    column.set_constraint(ColumnConstraint::LowerBoundary(least));
                }
            }
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
        }
    };
    if let Some(column) = style.number_column.and_then(|index| table.column_mut(index)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    trimmed(&table)
}

/// Returns the width of the longest word in each column.
fn longest_words<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> [usize; N] {
    let mut longest = columns.map(display_width);
    for row in rows {
        for (longest, cell) in longest.iter_mut().zip(row) {
            *longest = cell.split_whitespace().map(display_width).fold(*longest, usize::max);
        }
    }
    longest
}

/// Returns each row as lines of a name and a value, with an empty line between rows.
fn stacked<const N: usize>(columns: [&str; N], rows: &[[String; N]], width: usize) -> String {
    let indent = columns.map(display_width).into_iter().max().unwrap_or_default() + 2;
    let rows = rows.iter().map(|row| {
        let fields = columns.iter().zip(row);
        fields.map(|(name, cell)| field(name, cell, indent, width)).collect::<String>()
    });
    rows.collect::<Vec<String>>().join("\n")
}

fn field(name: &str, cell: &str, indent: usize, width: usize) -> String {
    let is_beside = cell.split_whitespace().all(|word| display_width(word) + indent <= width);
    let (begin, indent) =
        if is_beside { (format!("{name:indent$}"), indent) } else { ("  ".to_owned(), 2) };
    let mut text = if is_beside { String::new() } else { format!("{name}\n") };
    for (number, line) in cell.lines().enumerate() {
        let begin = if number == 0 { begin.clone() } else { " ".repeat(indent) };
        text.push_str(&wrapped(&format!("{begin}{line}"), Some(width), indent));
        text.push('\n');
    }
    text
}

/// Returns a table without spaces at the ends of its lines.
fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:lambda:eu-central-1:271828182845:function:a-function-with-a-rather-long-name-1";

    fn table(width: Option<usize>) -> String {
        let row = ["4", "TARGET_REFUSED", "v2.detail.events.customer.end", "deliver, attempt ≤ 2"];
        let columns = ["count", "failure code", "event type", "predicted"];
        fitted(columns, &[row.map(str::to_owned)], TableStyle::default(), width)
    }

    #[test]
    fn words_stay_whole_when_they_fit_beside_each_other() {
        for width in [None, Some(120), Some(80)] {
            let text = table(width);
            for word in ["TARGET_REFUSED", "v2.detail.events.customer.end", "deliver,"] {
                assert!(text.contains(word), "{width:?}: {text}");
            }
            assert!(text.starts_with(" count"), "{width:?}: {text}");
            let longest = text.lines().map(display_width).max();
            assert!(longest <= Some(width.unwrap_or(usize::MAX)), "{width:?}: {text}");
        }
    }

    #[test]
    fn table_is_stacked_when_a_word_would_break() {
        assert_eq!(
            table(Some(60)),
            "count         4\n\
             failure code  TARGET_REFUSED\n\
             event type    v2.detail.events.customer.end\n\
             predicted     deliver, attempt ≤ 2\n"
        );
        let rows = ["a\nb", ARN].map(|cell| [cell.to_owned()]);
        let text = fitted(["target"], &rows, TableStyle::default(), Some(88));
        assert_eq!(text, format!("target  a\n        b\n\ntarget\n  {ARN}\n"));
    }
}
