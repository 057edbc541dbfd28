//! A report in each of its forms.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::page::{Chart, Fact, Page};
use genesys_replay_cli::operator::report::{
    HOUR, LedgerReport, MAX_ATTEMPTS_SHOWN, NameCounts, ReportScope, UNKNOWN,
};
use serde_json::{Value, json};

use crate::table::{self, TableStyle};
use crate::terminal::{self, one_line};

/// The maximum number of lines of one list in the text. The JSON form has all lines.
const MAX_LINES: usize = 15;

/// Returns the report for programs. It begins with the members of seed tutorial 002's health report, under their names.
pub(super) fn json(report: &LedgerReport, scope: &ReportScope<'_>) -> Value {
    let object = |pairs: Vec<(String, u64)>| -> BTreeMap<_, _> { pairs.into_iter().collect() };
    let oldest = report.oldest_open.as_ref().map(|open| {
        json!({ "key": open.key, "status": open.status.as_str(), "since": open.since.to_string() })
    });
    json!({
        "total_tracked": report.total,
        "status_distribution": report.statuses,
        "category_distribution": object(report.categories.sorted()),
        "success_rate": report.success_rate(),
        "success_rate_of": rate_of(report),
        "total_events": report.all(),
        "archived_without_ledger_item": report.archived_without_item.as_ref().map(|it| object(it.sorted())),
        "generated_at": scope.now.to_string(),
        "since": scope.since.map(|since| since.to_string()),
        "until": scope.until.map(|until| until.to_string()),
        "left_out_as_older": report.older,
        "not_selected": report.not_selected,
        "failure_code_distribution": object(report.codes.sorted()),
        "target_distribution": object(report.targets.sorted()),
        "attempts_histogram": object(attempts(report)),
        "rounds_histogram": report.rounds,
        "oldest_open": oldest,
        "died_over": report.lease_expired,
    })
}

pub(super) fn text(report: &LedgerReport, name: &str, scope: &ReportScope<'_>) -> String {
    let without_item = report.without_item();
    let more = match without_item {
        0 => String::new(),
        count => format!(" and {count} archived without a ledger item"),
    };
    let mut text = vec![format!(
        "{} events{} in {name}{more}{}, {:.1} % of {} delivered\n",
        report.total,
        selected(report),
        window(scope),
        report.success_rate(),
        report.all(),
    )];
    let lists = [
        ("status", statuses(report)),
        ("category", report.categories.sorted()),
        ("failure code", report.codes.sorted()),
        ("target", report.targets.sorted()),
        ("attempts", attempts(report)),
        ("round", later_rounds(report)),
        ("archived without a ledger item", archived_without_item(report)),
    ];
    for (title, list) in lists {
        if list.is_empty() {
            continue;
        }
        let rows = list.iter().take(MAX_LINES);
        let rows: Vec<[String; 2]> =
            rows.map(|(name, count)| [one_line(name), count.to_string()]).collect();
        let style = TableStyle { number_column: Some(1), ..TableStyle::default() };
        let rows = table::fitted([title, "events"], &rows, style, terminal::width());
        text.push(format!("\n{rows}"));
        if let Some(more) = list.len().checked_sub(MAX_LINES + 1) {
            text.push(format!(" and {} more: --output json\n", more + 1));
        }
    }
    if let Some(open) = &report.oldest_open {
        let age = age(scope.now.since(open.since));
        text.push(format!(
            "\noldest open: {}, {}, for {age}, since {}\n",
            one_line(&open.key),
            open.status.as_str(),
            open.since
        ));
    }
    for note in notes(report) {
        text.push(format!("\nfinding: {}\n", note.replace('`', "")));
    }
    text.concat()
}

pub(super) fn page(report: &LedgerReport, table: &str, scope: &ReportScope<'_>) -> Page {
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let open = report.of("DEFERRED") + report.of("IN_PROGRESS");
    let mut facts = vec![
        fact("events", report.all().to_string()),
        fact("delivered", format!("{:.1} % of {}", report.success_rate(), report.all())),
        fact("archived", (report.of("ARCHIVED") + report.without_item()).to_string()),
        fact("open", open.to_string()),
        fact("failed", report.of("FAILED").to_string()),
    ];
    if let Some(open) = &report.oldest_open {
        facts.push(fact("oldest open", age(scope.now.since(open.since))));
    }
    let bars = |title: &str, bars| Chart::Bars { title: title.to_owned(), bars };
    let mut series: BTreeMap<&str, Vec<(Timestamp, u64)>> = BTreeMap::new();
    for (at, counts) in &report.first_seen {
        for (status, count) in counts {
            series.entry(status).or_default().push((*at, *count));
        }
    }
    let series = series.into_iter();
    let mut charts = vec![
        Chart::TimeLine {
            title: "First seen".to_owned(),
            series: series.map(|(name, it)| (name.to_owned(), it)).collect(),
            step: HOUR,
        },
        bars("Status", statuses(report)),
        bars("Category of the first failure", report.categories.sorted()),
        bars("Failure code", report.codes.sorted()),
        bars("Target", report.targets.sorted()),
        bars("Attempts", attempts(report)),
    ];
    if report.without_item() > 0 {
        charts.push(bars("Archived without a ledger item", archived_without_item(report)));
    }
    Page {
        title: format!("Replay of dead letters: {table}{}", window(scope)),
        generated_at: scope.now,
        facts,
        charts,
        notes: notes(report),
        table: None,
    }
}

/// Returns the findings for a person, with their remedies.
fn notes(report: &LedgerReport) -> Vec<String> {
    let failed = report.of("FAILED");
    let unknown = report.of(UNKNOWN);
    let mut notes = Vec::new();
    if failed > 0 {
        notes.push(format!(
            "{failed} FAILED: rejected without an archive, so their messages are in the queue or the parking queue. \
             Set `ARCHIVE_BUCKET`, and examine the messages: `genesys-replay diagnose`"
        ));
    }
    if report.lease_expired > 0 {
        notes.push(format!(
            "{} in progress under a lease that has ended, because their worker died. The next receive of their \
             messages claims them again. To check for missing messages: `genesys-replay reconcile`",
            report.lease_expired
        ));
    }
    if unknown > 0 {
        notes.push(format!(
            "{unknown} with a status that this version does not support: check whether the function is newer than this command"
        ));
    }
    notes
}

/// Returns the archived events without a ledger item, by failure code.
fn archived_without_item(report: &LedgerReport) -> Vec<(String, u64)> {
    report.archived_without_item.as_ref().map(NameCounts::sorted).unwrap_or_default()
}

/// Returns the events that the success rate refers to.
const fn rate_of(report: &LedgerReport) -> &'static str {
    if report.archived_without_item.is_some() {
        "ledger items and archived events without a ledger item"
    } else {
        "ledger items"
    }
}

/// Returns the events by round, unless all are in their first.
fn later_rounds(report: &LedgerReport) -> Vec<(String, u64)> {
    let rounds = report.rounds.iter();
    let rounds = rounds.map(|(round, count)| (round.to_string(), *count));
    let has_later = report.rounds.keys().any(|round| *round != 1);
    rounds.filter(|_| has_later).collect()
}

fn statuses(report: &LedgerReport) -> Vec<(String, u64)> {
    let statuses = report.statuses.iter();
    let mut sorted: Vec<_> = statuses.map(|(name, it)| ((*name).to_owned(), *it)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}

fn attempts(report: &LedgerReport) -> Vec<(String, u64)> {
    let name = |count: u32| match count {
        MAX_ATTEMPTS_SHOWN => format!("{count}+"),
        _ => count.to_string(),
    };
    let attempts = report.attempts.iter();
    attempts.map(|(count, events)| (name(*count), *events)).collect()
}

/// Returns the number of items from which the events are selected.
fn selected(report: &LedgerReport) -> String {
    match report.not_selected {
        0 => String::new(),
        others => format!(" selected of {}", report.total + others),
    }
}

fn window(scope: &ReportScope<'_>) -> String {
    let since = scope.since.map(|since| format!(" since {since}"));
    let until = scope.until.map(|until| format!(" until {until}"));
    since.into_iter().chain(until).collect()
}

fn age(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs() / 60 * 60)).to_string()
}
