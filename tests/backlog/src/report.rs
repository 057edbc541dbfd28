//! The figures of a run.

use std::fmt;
use std::time::Duration;

use crate::environment::Billing;
use crate::queue::QueueCounts;
use crate::scenario::Scenario;
use crate::target::TargetCounts;

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario.
    pub scenario: Scenario,
    /// The events that the target accepted.
    pub delivered: usize,
    /// The deliveries of events that the target had accepted before.
    pub duplicates: usize,
    /// The messages that SQS moved to the parking queue.
    pub parked: usize,
    /// The events that were rejected and archived.
    pub rejected: usize,
    /// The receives of the messages.
    pub receives: Percentiles,
    /// The maximum number of messages in flight.
    pub max_in_flight: usize,
    /// The calls to the target.
    pub target_calls: usize,
    /// The calls to Genesys Cloud.
    pub genesys_calls: usize,
    /// The calls to Genesys Cloud that its rate limit refused.
    pub genesys_refused: usize,
    /// The invocations.
    pub batches: usize,
    /// The billed time of all invocations.
    pub billed: Duration,
    /// The invocations that found the circuit open for all records.
    pub open_circuit_batches: usize,
    /// Their billed milliseconds.
    pub open_circuit_ms: Percentiles,
    /// The accepted deliveries in each hour after the repair.
    pub by_hour: Vec<usize>,
    /// The time from the repair to the last delivery.
    pub drained_after: Duration,
}

/// The median, 95th and 99th percentile, and the maximum of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// The median.
    pub p50: u32,
    /// The 95th percentile.
    pub p95: u32,
    /// The 99th percentile.
    pub p99: u32,
    /// The maximum.
    pub max: u32,
}

impl Percentiles {
    fn of(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(index).copied().unwrap_or_default()
        };
        Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, p99, max } = self;
        write!(f, "p50 {p50}, p95 {p95}, p99 {p99}, max {max}")
    }
}

/// The maximum of billed milliseconds of a batch that finds the circuit open.
const MAX_OPEN_CIRCUIT_MS: u32 = 25;

/// The maximum share of calls that the rate limit of Genesys Cloud may refuse, in percent.
const MAX_REFUSED_PERCENT: usize = 5;

impl Report {
    pub(crate) fn new(
        scenario: Scenario,
        queue: QueueCounts,
        target: TargetCounts,
        (genesys_calls, genesys_refused): (usize, usize),
        rejected: usize,
        billing: Billing,
    ) -> Self {
        Self {
            scenario,
            delivered: target.delivered,
            duplicates: target.duplicates,
            parked: queue.parked,
            rejected,
            receives: Percentiles::of(queue.receive_counts),
            max_in_flight: queue.max_in_flight,
            target_calls: target.calls,
            genesys_calls,
            genesys_refused,
            batches: billing.batches,
            billed: billing.billed,
            open_circuit_batches: billing.open_circuit_ms.len(),
            open_circuit_ms: Percentiles::of(billing.open_circuit_ms),
            by_hour: target.by_hour,
            drained_after: target.drained_after,
        }
    }

    /// Returns the broken promises: messages that were parked, rejected, delivered twice or not at all, batches that cost
    /// too much with an open circuit, and too many refused calls.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let counts = [
            ("not delivered", self.scenario.messages.saturating_sub(self.delivered)),
            ("delivered twice", self.duplicates),
            ("parked", self.parked),
            ("rejected", self.rejected),
        ];
        let mut broken: Vec<String> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if self.open_circuit_ms.max > MAX_OPEN_CIRCUIT_MS {
            let max = self.open_circuit_ms.max;
            broken.push(format!("{max} ms billed for a batch with an open circuit"));
        }
        if self.genesys_refused * 100 > self.genesys_calls * MAX_REFUSED_PERCENT {
            let (refused, calls) = (self.genesys_refused, self.genesys_calls);
            broken.push(format!("{refused} of {calls} Genesys calls refused"));
        }
        broken
    }
}

/// The number of lines for the deliveries over time.
const TIME_LINES: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { messages, has_interactions, outage, target_per_minute, environments } =
            self.scenario;
        let kind = if has_interactions { "with interaction" } else { "without interaction" };
        let hours = |duration: Duration| duration.as_secs_f64() / 3_600.0;
        write!(
            f,
            "{messages} events {kind}, outage of {} h, {environments} environments",
            hours(outage)
        )?;
        match target_per_minute {
            Some(limit) => writeln!(f, ", target limit {limit}/min")?,
            None => writeln!(f)?,
        }
        writeln!(f, "  delivered            {} (twice: {})", self.delivered, self.duplicates)?;
        writeln!(f, "  parked, rejected     {}, {}", self.parked, self.rejected)?;
        writeln!(f, "  last delivery        {:.1} h after the repair", hours(self.drained_after))?;
        writeln!(f, "  receives             {}", self.receives)?;
        writeln!(f, "  max in flight        {}", self.max_in_flight)?;
        writeln!(f, "  target calls         {}", self.target_calls)?;
        writeln!(
            f,
            "  Genesys calls        {} (refused: {})",
            self.genesys_calls, self.genesys_refused
        )?;
        writeln!(
            f,
            "  batches              {}, {:.0} s billed",
            self.batches,
            self.billed.as_secs_f64()
        )?;
        let (open, ms) = (self.open_circuit_batches, self.open_circuit_ms);
        writeln!(f, "  with an open circuit {open}, billed ms: {ms}")?;
        let step = self.by_hour.len().div_ceil(TIME_LINES).max(1);
        for (line, hours) in self.by_hour.chunks(step).enumerate() {
            let (from, delivered) = (line * step, hours.iter().sum::<usize>());
            let to = from + hours.len();
            writeln!(f, "  hour {:<15} {delivered} delivered", format!("{from} to {to}"))?;
        }
        Ok(())
    }
}
