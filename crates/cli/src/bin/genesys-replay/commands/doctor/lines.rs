//! The lines of checks, for people.

use clap::builder::styling::{AnsiColor, Style};
use genesys_replay_cli::operator::doctor::Verdict;

use crate::terminal;

/// The column at which the finding of a check begins.
const FOUND_AT: usize = 34;

/// Returns the first line, with the number of checks of each verdict, and an empty line.
pub(super) fn totals(count: impl Fn(Verdict) -> usize) -> String {
    format!(
        "ok: {}, warnings: {}, errors: {}, skipped: {}\n\n",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Error),
        count(Verdict::Skipped),
    )
}

/// Returns the line of a check: its verdict in colour, its name and its finding.
pub(super) fn verdict(verdict: Verdict, name: &str, found: &str, width: Option<usize>) -> String {
    let (word, style) = match verdict {
        Verdict::Ok => ("ok", AnsiColor::Green.on_default()),
        Verdict::Warning => ("warning", AnsiColor::Yellow.on_default()),
        Verdict::Error => ("error", AnsiColor::Red.on_default()),
        Verdict::Skipped => ("skipped", Style::new().dimmed()),
    };
    let found = terminal::one_line(found);
    // Wrapped without the colour, which has no width.
    let line = terminal::wrapped(&format!("{word:8} {name:24} {found}"), width, FOUND_AT);
    let line = line.strip_prefix(word).map(|rest| format!("{style}{word}{style:#}{rest}\n"));
    line.unwrap_or_default()
}

/// Returns a line below that of a check.
pub(super) fn detail(name: &str, text: &str, width: Option<usize>) -> String {
    let line = format!("{:FOUND_AT$}{name}: {}", "", terminal::one_line(text));
    terminal::wrapped(&line, width, FOUND_AT) + "\n"
}
