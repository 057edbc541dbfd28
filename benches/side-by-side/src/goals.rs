//! The performance goals of the function.

use std::path::Path;
use std::time::Duration;

use crate::candidate::{Implementation, replay_binary};
use crate::format::{megabytes, millis};
use crate::machine;
use crate::measure::Measured;

/// A goal and its measured value.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) is_reached: bool,
}

impl Goal {
    /// Returns a goal with an upper limit.
    pub(crate) fn at_most(
        what: &'static str,
        limit: f64,
        measured: f64,
        show: impl Fn(f64) -> String,
    ) -> Self {
        Self {
            what,
            limit: format!("≤ {}", show(limit)),
            measured: show(measured),
            is_reached: measured <= limit,
        }
    }
}

/// Returns the goals of all measured cases.
pub(crate) fn goals(measured: &[Measured], root: &Path) -> Vec<Goal> {
    let mut goals = latencies(measured);
    goals.extend(resources(measured));
    // A run of the other implementations only needs no binary.
    if let Ok((size, zipped)) = machine::sizes(&replay_binary(root)) {
        let what = "binary, zipped";
        goals.push(Goal::at_most("binary", 17.0, megabytes(size), in_megabytes));
        goals.push(Goal::at_most(what, 7.0, megabytes(zipped), in_megabytes));
    }
    if let Some(it) = find(measured, Implementation::Replay, 10, 20) {
        let records = it.records();
        let calls = it.calls;
        let each = (calls.get, calls.patch, calls.delivery, calls.table);
        goals.push(Goal {
            what: "calls of a record",
            limit: "1 GET, 2 PATCH, 1 delivery, 3 table".to_owned(),
            measured: it.calls_per_record(),
            is_reached: each == (records, 2 * records, records, 3 * records),
        });
    }
    goals
}

fn find(
    measured: &[Measured],
    implementation: Implementation,
    records: usize,
    upstream_ms: u64,
) -> Option<&Measured> {
    let upstream = Duration::from_millis(upstream_ms);
    measured.iter().find(|it| {
        it.implementation == implementation
            && it.case.records == records
            && it.case.latency.upstream == upstream
    })
}

fn latencies(measured: &[Measured]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (what, records, limit) in [
        ("warm batch of 10 at 20 ms, median", 10, 1.10),
        ("warm batch of 100 at 20 ms, median", 100, 1.25),
    ] {
        let medians = [Implementation::Replay, Implementation::Floor]
            .map(|implementation| find(measured, implementation, records, 20)?.warm.median());
        if let [Some(replay), Some(floor)] = medians {
            let times = replay.as_secs_f64() / floor.as_secs_f64();
            let show = |value: f64| format!("{value:.2} × floor");
            goals.push(Goal::at_most(what, limit, times, show));
        }
    }
    let cold = [Implementation::Replay, Implementation::Floor]
        .map(|implementation| find(measured, implementation, 10, 20)?.cold.median());
    if let [Some(replay), Some(floor)] = cold {
        let what = "cold first batch of 10 at 20 ms, over the floor";
        let over = millis(replay) - millis(floor);
        goals.push(Goal::at_most(what, 60.0, over, in_millis));
    }
    if let Some(median) =
        find(measured, Implementation::Replay, 10, 0).and_then(|it| it.warm.median())
    {
        let what = "warm batch of 10 at 0 ms, median";
        goals.push(Goal::at_most(what, 12.0, millis(median), in_millis));
    }
    goals
}

fn resources(measured: &[Measured]) -> Vec<Goal> {
    let replay =
        |records, upstream_ms| find(measured, Implementation::Replay, records, upstream_ms);
    let mut goals = Vec::new();
    if let Some(time) = replay(10, 20).and_then(Measured::processor_per_record) {
        let what = "processor time of a record, batch of 10 at 20 ms";
        goals.push(Goal::at_most(what, 1.2, millis(time), in_millis));
    }
    for (what, records, limit) in [
        ("peak memory, batch of 10 at 20 ms", 10, 20.0),
        ("peak memory, batch of 1,000 at 20 ms", 1_000, 64.0),
    ] {
        if let Some(it) = replay(records, 20) {
            let peak = megabytes(it.peak_memory);
            goals.push(Goal::at_most(what, limit, peak, in_megabytes));
        }
    }
    goals
}

/// Returns the goal that a record costs the same in small and large batches. It takes the least disturbed turn of each.
pub(crate) fn linear(scaling: &[Measured]) -> Option<Goal> {
    let per_record = scaling.iter().map(|it| it.processor_turns.shortest());
    let per_record: Vec<f64> = per_record.flatten().map(millis).collect();
    let least = per_record.iter().copied().reduce(f64::min)?;
    let most = per_record.iter().copied().reduce(f64::max)?;
    let show = |value: f64| format!("× {value:.2}");
    let what = "least processor time of a record, from 10 to 10,000";
    Some(Goal::at_most(what, 1.3, most / least, show))
}

pub(crate) fn in_millis(value: f64) -> String {
    format!("{value:.2} ms")
}

pub(crate) fn in_megabytes(value: f64) -> String {
    format!("{value:.1} MB")
}
