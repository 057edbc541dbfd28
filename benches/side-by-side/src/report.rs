//! The tables, in Markdown.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::candidate::{Candidate, Implementation};
use crate::cost::{CostEstimate, Costs};
use crate::format::{megabytes, millis};
use crate::goals::Goal;
use crate::measure::{Case, Measured};
use crate::outcomes::EventOutcomes;

pub(crate) const NONE: &str = "–";

impl Measured {
    pub(crate) fn calls_per_record(&self) -> String {
        let calls = self.calls;
        let each = [
            (calls.get, "GET"),
            (calls.patch, "PATCH"),
            (calls.delivery, "delivery"),
            (calls.table, "table"),
        ];
        let records = self.records().max(1);
        let each = each.map(|(count, name)| {
            if count % records == 0 {
                format!("{} {name}", count / records)
            } else {
                format!("{:.2} {name}", megabytes(count) / megabytes(records))
            }
        });
        each.join(", ")
    }
}

/// Returns the heading of a case.
pub(crate) fn heading(case: Case) -> String {
    let Case { records, latency, max_concurrency } = case;
    format!(
        "Batch of {records}, upstreams {} ms, table {} ms, {max_concurrency} in flight",
        latency.upstream.as_millis(),
        latency.table.as_millis()
    )
}

/// Returns the table of all candidates in one case.
pub(crate) fn case(measured: &[Measured]) -> String {
    let floor = measured.iter().find(|it| it.implementation == Implementation::Floor);
    let floor = floor.and_then(|it| it.warm.median());
    let mut table = table(&[
        "",
        "cold ms",
        "warm p50 ms",
        "p95 ms",
        "turns ms",
        "× floor",
        "processor ms/record",
        "peak MB",
        "calls of a record",
        "lost",
        "doubled",
        "wrongly failed",
    ]);
    for it in measured {
        let times = it.warm.median().zip(floor);
        let is_floor = it.implementation == Implementation::Floor;
        table.add_row([
            it.name.to_owned(),
            spread(it.cold.median(), it.cold.shortest(), it.cold.longest()),
            shown(it.warm.median()),
            shown(it.warm.percentile(95)),
            range(it.turns.shortest(), it.turns.longest()),
            times.map_or(NONE.to_owned(), |(it, floor)| {
                format!("{:.2}", it.as_secs_f64() / floor.as_secs_f64())
            }),
            // The floor's own use of processor and memory is not a result about the function.
            it.processor_per_record()
                .filter(|_| !is_floor)
                .map_or(NONE.to_owned(), |time| format!("{:.2}", millis(time))),
            if is_floor { NONE.to_owned() } else { format!("{:.1}", megabytes(it.peak_memory)) },
            if it.warm.len() == 0 { NONE.to_owned() } else { it.calls_per_record() },
            it.outcomes.lost.to_string(),
            it.outcomes.doubled.to_string(),
            it.outcomes.wrongly_failed.to_string(),
        ]);
    }
    table.to_string()
}

/// Returns the table of one candidate in several cases.
pub(crate) fn scaling(measured: &[Measured]) -> String {
    let mut table = table(&[
        "records",
        "warm p50 ms",
        "processor ms/record, least to most of the turns",
        "peak MB",
        "lost",
        "doubled",
        "wrongly failed",
    ]);
    for it in measured {
        let turns = &it.processor_turns;
        table.add_row([
            it.case.records.to_string(),
            shown(it.warm.median()),
            match turns.shortest().zip(turns.longest()) {
                Some((least, most)) => format!("{:.2}–{:.2}", millis(least), millis(most)),
                None => NONE.to_owned(),
            },
            format!("{:.1}", megabytes(it.peak_memory)),
            it.outcomes.lost.to_string(),
            it.outcomes.doubled.to_string(),
            it.outcomes.wrongly_failed.to_string(),
        ]);
    }
    table.to_string()
}

pub(crate) fn faulty_queue(outcomes: &[(&Candidate, EventOutcomes)]) -> String {
    let mut table = table(&["", "delivered once", "doubled", "lost", "wrongly failed", "kept"]);
    for (candidate, outcomes) in outcomes {
        let counts = [
            outcomes.delivered,
            outcomes.doubled,
            outcomes.lost,
            outcomes.wrongly_failed,
            outcomes.kept,
        ];
        let counts = counts.map(|count| count.to_string());
        table.add_row(std::iter::once(candidate.name.to_owned()).chain(counts));
    }
    table.to_string()
}

/// Returns the table of dollars per million, without a fault and with one event in ten rate-limited.
pub(crate) fn cost(costs: &[(&Candidate, Costs)]) -> String {
    let mut table = table(&[
        "",
        "billed ms/record",
        "$ a million",
        "billed ms/record, 10 % limited",
        "$ a million, 10 % limited",
        "lost, 10 % limited",
    ]);
    for (candidate, costs) in costs {
        let [time, dollars] = cost_cells(costs.plain);
        let [limited_time, limited_dollars] = cost_cells(costs.limited);
        let lost = format!("{} of {}", costs.outcomes.lost, costs.limited.dead_letters);
        table.add_row([
            candidate.name.to_owned(),
            time,
            dollars,
            limited_time,
            limited_dollars,
            lost,
        ]);
    }
    table.to_string()
}

fn cost_cells(estimate: CostEstimate) -> [String; 2] {
    let time = millis(estimate.billed) / f64::from(estimate.dead_letters.max(1));
    [decimal(time), format!("{:.2}", estimate.dollars_per_million())]
}

pub(crate) fn goals(goals: &[Goal]) -> String {
    let mut table = table(&["aim", "limit", "measured", ""]);
    for goal in goals {
        let result = if goal.is_reached { "reached" } else { "MISSED" };
        table.add_row([goal.what, &goal.limit, &goal.measured, result]);
    }
    table.to_string()
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(crate) fn shown(duration: Option<Duration>) -> String {
    duration.map_or(NONE.to_owned(), |duration| decimal(millis(duration)))
}

fn range(from: Option<Duration>, to: Option<Duration>) -> String {
    match from.zip(to) {
        Some((from, to)) => format!("{}–{}", decimal(millis(from)), decimal(millis(to))),
        None => NONE.to_owned(),
    }
}

fn spread(median: Option<Duration>, from: Option<Duration>, to: Option<Duration>) -> String {
    if from == to {
        return shown(median);
    }
    format!("{} ({})", shown(median), range(from, to))
}

/// Formats a figure with at most three significant digits.
fn decimal(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
