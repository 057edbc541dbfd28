//! One case: all candidates with the same batches and upstreams, in turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::candidate::{Candidate, Implementation};
use crate::events::Source;
use crate::function::Function;
use crate::outcomes::{EventOutcomes, outcomes, returned_messages};
use crate::stats::Sample;
use crate::upstreams::{Calls, Latency, Upstreams};

/// The parameters of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Records in a batch.
    pub(crate) records: usize,
    pub(crate) latency: Latency,
    /// The concurrency of the function and the floor, in records.
    pub(crate) max_concurrency: usize,
}

/// The durations of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The number of new processes whose first batch is measured.
    pub(crate) cold_starts: usize,
    /// The duration of the batches before the measured ones, at least one batch.
    pub(crate) warm_up: Duration,
    /// The number of turns of each candidate.
    pub(crate) rounds: u32,
    /// The duration of a turn, at least one batch.
    pub(crate) turn: Duration,
    /// A candidate whose first batch takes longer has no warm batches.
    pub(crate) time_limit: Duration,
}

/// The results of one candidate.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) implementation: Implementation,
    pub(crate) name: &'static str,
    pub(crate) case: Case,
    /// From the start of the process to the response to its first batch.
    pub(crate) cold: Sample,
    /// Warm batches, each from event to response.
    pub(crate) warm: Sample,
    /// The median of each turn. The spread shows the noise of the machine.
    pub(crate) turns: Sample,
    /// Processor time of the warm batches.
    pub(crate) processor: Duration,
    /// Processor time per record in each turn.
    pub(crate) processor_turns: Sample,
    /// Peak memory of the process, in bytes.
    pub(crate) peak_memory: u64,
    /// Calls of the warm batches.
    pub(crate) calls: Calls,
    /// The outcomes of all events.
    pub(crate) outcomes: EventOutcomes,
}

impl Measured {
    pub(crate) fn records(&self) -> u64 {
        u64::try_from(self.warm.len() * self.case.records).unwrap_or(u64::MAX)
    }

    /// Returns the processor time per record of the warm batches.
    pub(crate) fn processor_per_record(&self) -> Option<Duration> {
        let records = u32::try_from(self.records()).ok()?;
        self.processor.checked_div(records)
    }
}

/// The shared state of all measurements.
pub(crate) struct Bench<'b> {
    pub(crate) upstreams: &'b Upstreams,
    pub(crate) source: Source,
    /// The folder for the output of the functions.
    pub(crate) logs: &'b Path,
}

struct Running {
    function: Function,
    candidate: Candidate,
    measured: Measured,
}

/// A measured batch.
struct Batch {
    took: Duration,
    ended: Instant,
    calls: Calls,
}

impl Bench<'_> {
    /// Measures one case.
    ///
    /// # Errors
    /// A process does not start, or it ends.
    pub(crate) async fn case(
        &mut self,
        candidates: &[Candidate],
        case: Case,
        plan: Plan,
    ) -> anyhow::Result<Vec<Measured>> {
        self.side_by_side(candidates.iter().map(|candidate| (candidate, case)), plan).await
    }

    /// Measures one candidate in several cases of the same latency, in turns, because the machine's speed changes over time.
    ///
    /// # Errors
    /// A process does not start, or it ends.
    pub(crate) async fn cases(
        &mut self,
        candidate: &Candidate,
        cases: &[Case],
        plan: Plan,
    ) -> anyhow::Result<Vec<Measured>> {
        self.side_by_side(cases.iter().map(|case| (candidate, *case)), plan).await
    }

    async fn side_by_side(
        &mut self,
        all: impl Iterator<Item = (&Candidate, Case)>,
        plan: Plan,
    ) -> anyhow::Result<Vec<Measured>> {
        let mut running = Vec::new();
        for (candidate, case) in all {
            self.upstreams.set_latency(case.latency);
            let started = self.cold_starts(candidate, case, plan).await;
            running.push(started.with_context(|| self.hint(candidate))?);
        }
        let is_in_time = |running: &Running| {
            let first = running.measured.cold.median();
            first.is_some_and(|first| first <= plan.time_limit)
        };
        for one in running.iter_mut().filter(|one| is_in_time(one)) {
            let until = Instant::now() + plan.warm_up;
            loop {
                self.batch(one).await?;
                if Instant::now() >= until {
                    break;
                }
            }
        }
        for _ in 0..plan.rounds {
            for one in running.iter_mut().filter(|one| is_in_time(one)) {
                self.turn(one, plan.turn).await?;
            }
        }
        let mut measured = Vec::new();
        for mut one in running {
            one.measured.peak_memory = one.function.peak_memory()?;
            one.function.stop().await?;
            measured.push(one.measured);
        }
        Ok(measured)
    }

    /// Starts a candidate's process.
    pub(crate) async fn start(
        &self,
        candidate: &Candidate,
        max_concurrency: usize,
    ) -> anyhow::Result<Function> {
        let variables = self.upstreams.variables(max_concurrency);
        Function::start(candidate, &variables, &self.log(candidate)).await
    }

    /// Returns the path of a candidate's output.
    pub(crate) fn log(&self, candidate: &Candidate) -> std::path::PathBuf {
        self.logs.join(format!("{:?}.log", candidate.implementation).to_lowercase())
    }

    /// Returns the error context of a candidate with the path of its output.
    pub(crate) fn hint(&self, candidate: &Candidate) -> String {
        format!("{}: see {}", candidate.name, self.log(candidate).display())
    }

    /// Measures the first batch of several processes. Returns the last process.
    async fn cold_starts(
        &mut self,
        candidate: &Candidate,
        case: Case,
        plan: Plan,
    ) -> anyhow::Result<Running> {
        let mut cold = Sample::default();
        let mut outcomes = EventOutcomes::default();
        loop {
            let function = self.start(candidate, case.max_concurrency).await?;
            let started = function.started();
            let mut running = Running {
                function,
                candidate: candidate.clone(),
                measured: Measured {
                    implementation: candidate.implementation,
                    name: candidate.name,
                    case,
                    cold: Sample::default(),
                    warm: Sample::default(),
                    turns: Sample::default(),
                    processor: Duration::ZERO,
                    processor_turns: Sample::default(),
                    peak_memory: 0,
                    calls: Calls::default(),
                    outcomes: EventOutcomes::default(),
                },
            };
            let first = self.batch(&mut running).await?;
            cold.push(first.ended - started);
            outcomes.add(running.measured.outcomes);
            if cold.len() >= plan.cold_starts || cold.total() > plan.time_limit / 3 {
                running.measured.cold = cold;
                running.measured.outcomes = outcomes;
                return Ok(running);
            }
            running.function.stop().await?;
        }
    }

    /// Runs measured batches sequentially.
    async fn turn(&mut self, running: &mut Running, length: Duration) -> anyhow::Result<()> {
        let mut turn = Sample::default();
        let mut processor = Duration::ZERO;
        let until = Instant::now() + length;
        loop {
            let before = running.function.processor_time()?;
            let batch = self.batch(running).await?;
            processor += running.function.processor_time()?.saturating_sub(before);
            running.measured.warm.push(batch.took);
            running.measured.calls.add(batch.calls);
            turn.push(batch.took);
            if Instant::now() >= until {
                break;
            }
        }
        let measured = &mut running.measured;
        measured.processor += processor;
        let records = u32::try_from(turn.len() * measured.case.records)?;
        measured.processor_turns.push(processor / records);
        if let Some(median) = turn.median() {
            running.measured.turns.push(median);
        }
        Ok(())
    }

    /// Runs one batch and counts the outcomes of its events.
    async fn batch(&mut self, running: &mut Running) -> anyhow::Result<Batch> {
        let measured = &mut running.measured;
        let messages = self.source.batch(measured.case.records);
        let payload = running.candidate.payload(&messages, self.upstreams);
        let answered = running.function.invoke(payload).await;
        let answered = answered.with_context(|| self.hint(&running.candidate))?;
        let seen = self.upstreams.take_seen();
        self.upstreams.table.clear();
        let back = returned_messages(&messages, &answered.answer);
        measured.outcomes.add(outcomes(&messages, &back, &seen));
        Ok(Batch { took: answered.took(), ended: answered.ended, calls: seen.calls })
    }
}
