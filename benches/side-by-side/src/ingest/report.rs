//! The tables, in Markdown, and the goals of the server.

use super::memory::Memory;
use super::oversized::{Oversized, Refused, TRIES};
use super::slow::{self, CutOffs, Slow};
use super::speed::Speed;
use super::strangers::{self, Strangers};
use crate::format::{megabytes, millis};
use crate::goals::{Goal, in_megabytes, in_millis};
use crate::report::{NONE, shown, table};
use crate::stats::Sample;

/// The maximum latency of 99 % of the ordinary requests.
const SLOWEST_MS: f64 = 25.0;

/// The maximum latency of 99 % of the requests beside strangers, of which each tenth is large and may wait for space.
const SLOWEST_BESIDE_STRANGERS_MS: f64 = 150.0;

/// The maximum latency of the first request when all connections are taken.
const SLOWEST_FIRST_MS: f64 = 2_000.0;

/// Returns the table of the server at a rate and at its maximum.
pub(crate) fn speed(measured: &[Speed]) -> String {
    let mut table = table(&[
        "",
        "accepted",
        "accepted/s",
        "not now (503)",
        "wrong",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "sent late p99 ms",
        "server ms/request",
        "server, % of a processor",
        "callers and queue, % of a processor",
        "peak MB",
        "lost",
        "doubled",
    ]);
    for it in measured {
        let share = |time: std::time::Duration| {
            format!("{:.0}", 100.0 * time.as_secs_f64() / it.elapsed.as_secs_f64())
        };
        table.add_row([
            it.name.clone(),
            it.tally.accepted.to_string(),
            format!("{:.0}", it.accepted_per_second()),
            it.tally.unavailable.to_string(),
            it.tally.wrong.to_string(),
            shown(it.took.median()),
            shown(it.took.percentile(95)),
            shown(it.took.percentile(99)),
            shown(it.took.longest()),
            shown(it.late.percentile(99)),
            format!("{:.3}", millis(it.server_per_request())),
            share(it.server),
            share(it.ours),
            format!("{:.1}", megabytes(it.peak_memory)),
            it.tally.lost.to_string(),
            it.tally.doubled.to_string(),
        ]);
    }
    table.to_string()
}

/// Returns the table of the rounds with large bodies.
pub(crate) fn memory(memory: &Memory) -> String {
    let mut table = table(&[
        "round",
        "accepted",
        "not now (503)",
        "wrong",
        "lost",
        "doubled",
        "s",
        "peak MB",
        "held after MB",
    ]);
    for (number, round) in memory.rounds.iter().enumerate() {
        let tally = &round.tally;
        let counts =
            [number + 1, tally.accepted, tally.unavailable, tally.wrong, tally.lost, tally.doubled];
        let figures = [
            format!("{:.1}", round.elapsed.as_secs_f64()),
            format!("{:.1}", megabytes(round.peak)),
            format!("{:.1}", megabytes(round.after)),
        ];
        let counts = counts.map(|count| count.to_string());
        table.add_row(counts.into_iter().chain(figures));
    }
    table.to_string()
}

/// Returns the table of slow callers and the ordinary requests beside them.
pub(crate) fn slow(slow: &Slow) -> String {
    let mut callers = table(&["", "callers", "cut off", "after s", "answered"]);
    for (what, ended) in [
        ("one byte of the head a second", &slow.heads),
        ("one byte of the body a second", &slow.bodies),
    ] {
        callers.add_row([
            what.to_owned(),
            ended.callers.to_string(),
            ended.after.len().to_string(),
            seconds(&ended.after),
            answers(ended),
        ]);
    }
    let mut ordinary =
        table(&["", "accepted", "not now (503)", "wrong", "p50 ms", "p99 ms", "max ms"]);
    ordinary.add_row([
        format!("{} ordinary requests a second meanwhile", slow::RATE),
        slow.tally.accepted.to_string(),
        slow.tally.unavailable.to_string(),
        slow.tally.wrong.to_string(),
        shown(slow.took.median()),
        shown(slow.took.percentile(99)),
        shown(slow.took.longest()),
    ]);
    format!("{callers}\n\n{ordinary}")
}

/// Returns the table of the signed requests beside strangers.
pub(crate) fn strangers(strangers: &Strangers) -> String {
    let mut table =
        table(&["", "accepted", "not now (503)", "wrong", "p50 ms", "p99 ms", "max ms"]);
    table.add_row([
        format!(
            "{} signed requests a second, each tenth of {} bytes",
            strangers::RATE,
            strangers::LARGE_BYTES
        ),
        strangers.tally.accepted.to_string(),
        strangers.tally.unavailable.to_string(),
        strangers.tally.wrong.to_string(),
        shown(strangers.took.median()),
        shown(strangers.took.percentile(99)),
        shown(strangers.took.longest()),
    ]);
    table.to_string()
}

fn seconds(sample: &Sample) -> String {
    match sample.shortest().zip(sample.longest()) {
        Some((from, to)) => format!("{:.1}–{:.1}", from.as_secs_f64(), to.as_secs_f64()),
        None => NONE.to_owned(),
    }
}

fn answers(ended: &CutOffs) -> String {
    let each = ended.answers.iter();
    let each: Vec<_> = each.map(|(status, count)| format!("{count} × {status}")).collect();
    if each.is_empty() {
        return NONE.to_owned();
    }
    each.join(", ")
}

/// Oversized bodies.
pub(crate) fn oversized(oversized: &Oversized) -> String {
    let mut table =
        table(&["", "sent", "answered 413", "most that was sent before the answer, kB"]);
    for (what, refused) in kinds(oversized) {
        table.add_row([
            what.to_owned(),
            TRIES.to_string(),
            refused.answered_413.to_string(),
            format!("{:.0}", megabytes(bytes(refused.most_sent)) * 1e3),
        ]);
    }
    table.to_string()
}

fn kinds(oversized: &Oversized) -> [(&'static str, &Refused); 2] {
    [
        ("2 MiB with Content-Length", &oversized.announced),
        ("chunks without an end", &oversized.endless),
    ]
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Returns the goal of the latency at a rate.
pub(crate) fn pace_aims(pace: &Speed) -> Vec<Goal> {
    let mut goals = vec![all_of("accepted at the pace", pace.tally.accepted, pace.due)];
    goals.extend(p99("p99 at the pace", &pace.took));
    goals
}

/// Returns the goals of the memory.
pub(crate) fn memory_aims(memory: &Memory) -> Vec<Goal> {
    let (first, second) = memory.halves();
    let growth = megabytes(second) / megabytes(first);
    let peak = megabytes(memory.peak());
    let rounds = memory.rounds.iter();
    let accepting = rounds.filter(|round| round.tally.accepted > 0).count();
    vec![
        // A server that refuses everything needs no memory.
        all_of("rounds in which large bodies were accepted", accepting, memory.rounds.len()),
        Goal::at_most("peak memory with large bodies", 96.0, peak, in_megabytes),
        Goal::at_most(
            "peak of the second half of the rounds beside the first",
            1.1,
            growth,
            |value| format!("× {value:.2}"),
        ),
    ]
}

/// Returns the goals that only slow callers are cut off.
pub(crate) fn slow_aims(slow: &Slow) -> Vec<Goal> {
    let Slow { heads, bodies, .. } = slow;
    let callers = heads.callers + bodies.callers;
    let cut_off = heads.after.len() + bodies.after.len();
    let mut goals = vec![
        all_of("slow callers cut off within a minute", cut_off, callers),
        all_of(
            "slow bodies answered 408, or 503 for want of room",
            bodies.signal(),
            bodies.callers,
        ),
    ];
    goals.extend(p99("p99 beside slow callers", &slow.took));
    goals
}

/// Returns the goals that strangers do not block signed requests.
pub(crate) fn strangers_aims(strangers: &Strangers) -> Vec<Goal> {
    let first = millis(strangers.first);
    let mut goals = vec![
        all_of("accepted beside strangers", strangers.tally.accepted, strangers.due),
        Goal::at_most("first request beside strangers", SLOWEST_FIRST_MS, first, in_millis),
    ];
    goals.extend(strangers.took.percentile(99).map(|p99| {
        let limit = SLOWEST_BESIDE_STRANGERS_MS;
        Goal::at_most("p99 beside strangers", limit, millis(p99), in_millis)
    }));
    goals
}

/// Returns the goals that oversized bodies are refused early.
pub(crate) fn oversized_aims(oversized: &Oversized) -> Vec<Goal> {
    let limits = [
        ("2 MiB announced, sent before the 413", 0.1),
        ("chunks without an end, sent before the 413", 1.2),
    ];
    let goals = kinds(oversized).into_iter().zip(limits);
    goals
        .map(|((_, refused), (what, limit))| {
            let sent = megabytes(bytes(refused.most_sent));
            Goal::at_most(what, limit, sent, |value| format!("{value:.2} MB"))
        })
        .collect()
}

fn all_of(what: &'static str, count: usize, of: usize) -> Goal {
    Goal {
        what,
        limit: format!("{of} of {of}"),
        measured: format!("{count} of {of}"),
        is_reached: count == of,
    }
}

fn p99(what: &'static str, took: &Sample) -> Option<Goal> {
    let p99 = took.percentile(99)?;
    Some(Goal::at_most(what, SLOWEST_MS, millis(p99), in_millis))
}
