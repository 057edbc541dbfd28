//! `genesys-bench ingest`: the program `ingest` under load, with large bodies, slow callers and oversized bodies.
//!
//! The release binary runs as a plain server and sends to a stand-in queue in this process, which also sends the requests. Every
//! accepted request must be in the queue, because a fast server that loses events is useless.

mod load;
mod memory;
mod oversized;
mod queue;
mod report;
mod request;
mod server;
mod slow;
mod speed;
mod strangers;
mod tally;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use crate::candidate::ingest_binary;
use crate::goals::Goal;
use crate::{logs, machine, print_progress, print_result};
use load::{Pace, Plan};
use queue::Queue;
use server::Ingest;
use tally::Tally;

/// A measurement of the program `ingest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Latency of requests at fixed times.
    Pace,
    /// Maximum requests per second.
    Ceiling,
    /// Memory with many concurrent bodies near the maximum size.
    Memory,
    /// Callers that send one byte per second, with ordinary requests beside them.
    Slow,
    /// Stalled unsigned bodies and idle connections, with signed requests beside them.
    Strangers,
    /// Oversized bodies.
    Oversized,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Parts to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    parts: Vec<Part>,
    /// Requests per second of the part `pace`.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Latency of the queue, in milliseconds.
    #[arg(long, default_value_t = 3)]
    queue_ms: u64,
    /// Short parts, for trials and not for figures.
    #[arg(long)]
    quick: bool,
}

/// The shared state of the parts.
pub(crate) struct Bench {
    binary: PathBuf,
    queue: Queue,
    /// The folder of the server's output.
    logs: PathBuf,
}

impl Bench {
    /// Starts a new server. Its output goes to a file with this name.
    async fn start(&self, name: &str) -> anyhow::Result<Ingest> {
        let log = self.logs.join(format!("ingest-{name}.log"));
        Ingest::start(&self.binary, &self.queue, log).await
    }
}

/// The goals and faults.
#[derive(Default)]
struct Findings {
    goals: Vec<Goal>,
    faults: Vec<String>,
}

impl Findings {
    fn tally(&mut self, part: Part, tally: &Tally) {
        let fault = tally.fault();
        self.faults.extend(fault.map(|fault| format!("{part:?}: {fault}")));
    }
}

/// The sizes and durations.
struct Extent {
    seconds: u32,
    ceiling: usize,
    rounds: usize,
}

const THOROUGH: Extent = Extent { seconds: 30, ceiling: 30_000, rounds: 6 };

const QUICK: Extent = Extent { seconds: 5, ceiling: 5_000, rounds: 2 };

/// Runs and prints the selected parts.
///
/// # Errors
/// The server does not start or end correctly, or, after all tables, an event was lost or doubled or a response was wrong.
pub(crate) async fn run(options: &Options, root: &Path) -> anyhow::Result<()> {
    let binary = ingest_binary(root);
    ensure!(binary.exists(), "{} is missing: cargo build --release --bin ingest", binary.display());
    let bench = Bench {
        binary,
        queue: Queue::start(Duration::from_millis(options.queue_ms)).await?,
        logs: logs(root)?,
    };
    for line in machine::description() {
        print_result(&format!("- {line}"))?;
    }
    print_result(&format!("- queue: answers after {} ms", options.queue_ms))?;
    let extent = if options.quick { QUICK } else { THOROUGH };
    let mut findings = Findings::default();
    for part in &options.parts {
        print_progress(&format!("{part:?}").to_lowercase());
        let measured = match part {
            Part::Pace => pace(&bench, options.rate, &extent, &mut findings).await,
            Part::Ceiling => ceiling(&bench, &extent, &mut findings).await,
            Part::Memory => memory(&bench, &extent, &mut findings).await,
            Part::Slow => slow(&bench, &mut findings).await,
            Part::Strangers => strangers(&bench, &extent, &mut findings).await,
            Part::Oversized => oversized(&bench, &mut findings).await,
        };
        measured.with_context(|| format!("{part:?}, see {}", bench.logs.display()))?;
    }
    if !findings.goals.is_empty() {
        print_result(&format!("\n### Aims\n\n{}", crate::report::goals(&findings.goals)))?;
    }
    ensure!(findings.faults.is_empty(), "ingest is wrong: {}", findings.faults.join("; "));
    Ok(())
}

async fn pace(
    bench: &Bench,
    rate: u32,
    extent: &Extent,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let plan =
        Plan { pace: Pace::Rate(rate), connections: 128, time_limit: Duration::from_secs(10) };
    let seconds = extent.seconds;
    let name =
        format!("{rate} requests a second for {seconds} s, {} connections", plan.connections);
    let count = usize::try_from(rate * seconds)?;
    let measured = speed::run(bench, "ingest".to_owned(), count, plan).await?;
    print_result(&format!(
        "\n### {name}\n\n{}\n\nIt listened {:.0} ms after its start.",
        report::speed(std::slice::from_ref(&measured)),
        crate::format::millis(measured.ready)
    ))?;
    findings.tally(Part::Pace, &measured.tally);
    findings.goals.extend(report::pace_aims(&measured));
    Ok(())
}

async fn ceiling(bench: &Bench, extent: &Extent, findings: &mut Findings) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for connections in [1, 8, 64] {
        let plan = Plan { pace: Pace::AtOnce, connections, time_limit: Duration::from_secs(10) };
        // Sequential requests would take the queue's latency each.
        let count = extent.ceiling.min(connections * extent.ceiling / 20);
        let name = format!("{connections} in flight");
        let measured = speed::run(bench, name, count, plan).await?;
        findings.tally(Part::Ceiling, &measured.tally);
        all.push(measured);
    }
    print_result(&format!("\n### As many as it takes\n\n{}", report::speed(&all)))
}

async fn memory(bench: &Bench, extent: &Extent, findings: &mut Findings) -> anyhow::Result<()> {
    let measured = memory::run(bench, extent.rounds).await?;
    let held = |bytes| crate::goals::in_megabytes(crate::format::megabytes(bytes));
    print_result(&format!(
        "\n### {} callers with a body of {} bytes each, at once\n\n{}\n\nHeld before: {}; after all and two seconds of rest: {}.",
        memory::CALLERS,
        memory::BODY_BYTES,
        report::memory(&measured),
        held(measured.before),
        held(measured.at_rest)
    ))?;
    for round in &measured.rounds {
        findings.tally(Part::Memory, &round.tally);
    }
    findings.goals.extend(report::memory_aims(&measured));
    Ok(())
}

async fn slow(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let measured = slow::run(bench).await?;
    print_result(&format!("\n### Slow callers\n\n{}", report::slow(&measured)))?;
    findings.tally(Part::Slow, &measured.tally);
    let wrong = measured.heads.wrong() + measured.bodies.wrong();
    if wrong > 0 {
        let fault = format!("slow: {wrong} answered with something else than 408 or 503");
        findings.faults.push(fault);
    }
    findings.goals.extend(report::slow_aims(&measured));
    Ok(())
}

async fn strangers(bench: &Bench, extent: &Extent, findings: &mut Findings) -> anyhow::Result<()> {
    let measured = strangers::run(bench, extent.seconds).await?;
    print_result(&format!(
        "\n### {} stalled strangers and {} idle connections\n\n{}\n\nThe first request beside them was answered after {:.0} ms.",
        strangers::STALLED,
        strangers::IDLE,
        report::strangers(&measured),
        crate::format::millis(measured.first)
    ))?;
    findings.tally(Part::Strangers, &measured.tally);
    findings.goals.extend(report::strangers_aims(&measured));
    Ok(())
}

async fn oversized(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let measured = oversized::run(bench).await?;
    print_result(&format!("\n### Bodies that are too long\n\n{}", report::oversized(&measured)))?;
    for refused in [&measured.announced, &measured.endless] {
        let wrong = refused.wrong.as_deref();
        findings.faults.extend(wrong.map(|wrong| format!("oversized: {wrong}")));
    }
    findings.goals.extend(report::oversized_aims(&measured));
    Ok(())
}
