//! `genesys-bench`: compares the function with its alternatives and with the unavoidable round trips.
//!
//! The release binary and the baselines run as processes under a Runtime API. They call a stand-in Genesys Cloud, target, table and
//! queue in this process, each with a set latency. The tables go to stdout, the progress to stderr. `docs/PERFORMANCE.md` explains a run.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, and reads the output of its own programs"
)]

mod api_destination;
mod candidate;
mod connection;
mod cost;
mod cpu_share;
mod events;
mod faulty_queue;
mod floor;
mod format;
mod function;
mod goals;
mod http;
mod ingest;
mod machine;
mod measure;
mod outcomes;
mod process;
mod report;
mod runtime_api;
mod stats;
mod upstreams;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use crate::candidate::{Candidate, Implementation};
use crate::cpu_share::CpuShare;
use crate::events::Source;
use crate::goals::Goal;
use crate::measure::{Bench, Case, Measured, Plan};
use crate::upstreams::{Latency, Upstreams};

/// Compares the function with its alternatives.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    other: Option<OtherBenchmark>,
    /// Implementations to measure.
    #[arg(long = "who", value_enum, value_delimiter = ',', default_values_t = Implementation::value_variants().to_vec())]
    implementations: Vec<Implementation>,
    /// Batch sizes.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000])]
    records: Vec<usize>,
    /// Latency of Genesys Cloud and the target, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20])]
    upstream_ms: Vec<u64>,
    /// Short warm-up and turns, for trials and not for figures.
    #[arg(long)]
    quick: bool,
    /// Leave out the batches of 10,000, the faulty queue, and the cost.
    #[arg(long)]
    speed_only: bool,
}

/// The other benchmarks.
#[derive(Debug, Subcommand)]
enum OtherBenchmark {
    /// Measures the program ingest: pace, ceiling, memory, slow callers and oversized bodies.
    Ingest(ingest::Options),
}

impl Options {
    fn plan(&self) -> Plan {
        if self.quick { QUICK } else { THOROUGH }
    }
}

fn main() -> anyhow::Result<()> {
    // One thread, because the other core is for the measured process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("floor") {
        return runtime.block_on(floor::run());
    }
    let options = Options::parse();
    runtime.block_on(async {
        tokio::select! {
            done = measured(&options) => done,
            signal = shutdown_signal() => signal.and_then(|()| anyhow::bail!("shutdown")),
        }
    })
}

/// Returns on Ctrl-C or SIGTERM, so that the started processes end, too.
async fn shutdown_signal() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        signal = ctrl_c() => Ok(signal?),
        _ = terminated.recv() => Ok(()),
    }
}

async fn measured(options: &Options) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    match &options.other {
        Some(OtherBenchmark::Ingest(options)) => ingest::run(options, &root).await,
        None => bench(options, &root).await,
    }
}

async fn bench(options: &Options, root: &Path) -> anyhow::Result<()> {
    let logs = logs(root)?;
    let program = std::env::current_exe()?;
    let candidates: Vec<Candidate> =
        options.implementations.iter().map(|who| Candidate::new(*who, root, &program)).collect();
    let upstreams = Upstreams::start().await?;
    let mut bench = Bench { upstreams: &upstreams, source: Source::default(), logs: &logs };
    for line in machine::description().into_iter().chain(machine::others(root)) {
        print_result(&line)?;
    }
    let mut measured = Vec::new();
    for case in cases(options) {
        measured.extend(measure(&mut bench, &candidates, case, options).await?);
    }
    let mut goals = goals::goals(&measured, root);
    if !options.speed_only {
        goals.extend(scaling(&mut bench, &candidates, options).await?);
        goals.extend(descriptions(&mut bench, &candidates).await?);
        faulty_queue(&mut bench, &candidates).await?;
        cost(&mut bench, &candidates).await?;
    }
    print_result("\n### Aims\n")?;
    print_result(&report::goals(&goals))
}

/// Creates an empty folder for the output of the functions.
fn logs(root: &Path) -> anyhow::Result<PathBuf> {
    let logs = candidate::target(root).join("bench-logs");
    // The folder does not exist before the first run.
    std::fs::remove_dir_all(&logs).ok();
    std::fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    Ok(logs)
}

fn cases(options: &Options) -> Vec<Case> {
    let mut cases = Vec::new();
    for upstream_ms in &options.upstream_ms {
        for records in &options.records {
            cases.push(Case {
                records: *records,
                latency: latency(*upstream_ms),
                max_concurrency: if *records <= 10 { 10 } else { 100 },
            });
        }
    }
    cases
}

/// Returns the latencies of a case. The table is in the same data centre, the others are not.
fn latency(upstream_ms: u64) -> Latency {
    Latency {
        upstream: Duration::from_millis(upstream_ms),
        table: Duration::from_millis(if upstream_ms == 0 { 0 } else { 3 }),
    }
}

async fn measure(
    bench: &mut Bench<'_>,
    candidates: &[Candidate],
    case: Case,
    options: &Options,
) -> anyhow::Result<Vec<Measured>> {
    let heading = report::heading(case);
    print_progress(&heading);
    let measured = bench.case(candidates, case, options.plan()).await?;
    print_result(&format!("\n### {heading}\n\n{}", report::case(&measured)))?;
    let wrong = measured
        .iter()
        .find(|it| it.implementation == Implementation::Replay && it.outcomes.has_fault());
    anyhow::ensure!(wrong.is_none(), "genesys-replay is fast and wrong: {wrong:?}");
    Ok(measured)
}

const THOROUGH: Plan = Plan {
    cold_starts: 7,
    warm_up: Duration::from_millis(1_500),
    rounds: 5,
    turn: Duration::from_millis(1_500),
    time_limit: Duration::from_secs(30),
};

const QUICK: Plan = Plan {
    cold_starts: 3,
    warm_up: Duration::from_millis(300),
    rounds: 3,
    turn: Duration::from_millis(500),
    time_limit: Duration::from_secs(5),
};

/// Measures batches from 10 to 10,000 records, the largest batch of Lambda.
async fn scaling(
    bench: &mut Bench<'_>,
    candidates: &[Candidate],
    options: &Options,
) -> anyhow::Result<Option<Goal>> {
    let ours = candidates.iter().find(|it| it.implementation == Implementation::Replay);
    let Some(ours) = ours else { return Ok(None) };
    print_progress("from 10 to 10,000 records");
    let cases = [10, 100, 1_000, 10_000].map(|records| Case {
        records,
        latency: latency(0),
        max_concurrency: 10,
    });
    let plan = Plan { cold_starts: 1, ..options.plan() };
    let measured = bench.cases(ours, &cases, plan).await?;
    print_result(&format!(
        "\n### {} from 10 to 10,000 records, upstreams and table 0 ms, 10 in flight\n\n{}",
        ours.name,
        report::scaling(&measured)
    ))?;
    Ok(goals::linear(&measured))
}

/// Counts the calls that describe an API destination.
async fn descriptions(
    bench: &mut Bench<'_>,
    candidates: &[Candidate],
) -> anyhow::Result<Option<Goal>> {
    let ours = candidates.iter().find(|it| it.implementation == Implementation::Replay);
    let Some(ours) = ours else { return Ok(None) };
    print_progress("an API destination");
    api_destination::run(bench, ours).await.map(Some)
}

async fn faulty_queue(bench: &mut Bench<'_>, candidates: &[Candidate]) -> anyhow::Result<()> {
    print_progress("a queue with trouble in it");
    let mut outcomes = Vec::new();
    for candidate in
        candidates.iter().filter(|candidate| candidate.implementation != Implementation::Floor)
    {
        outcomes.push((candidate, faulty_queue::run(bench, candidate).await?));
    }
    print_result(&format!(
        "\n### A queue with trouble in it\n\n{}; right would be {} delivered once and {} kept.\n\n{}",
        faulty_queue::DESCRIPTION,
        faulty_queue::EXPECTED.delivered,
        faulty_queue::EXPECTED.kept,
        report::faulty_queue(&outcomes)
    ))?;
    let ours =
        outcomes.iter().find(|(candidate, _)| candidate.implementation == Implementation::Replay);
    let is_right = ours.is_none_or(|(_, outcomes)| *outcomes == faulty_queue::EXPECTED);
    anyhow::ensure!(is_right, "genesys-replay is fast and wrong: {ours:?}");
    Ok(())
}

/// Estimates the cost of warm batches of 10 at 20 ms, and of batches with one rate-limited event.
async fn cost(bench: &mut Bench<'_>, candidates: &[Candidate]) -> anyhow::Result<()> {
    print_progress("the bill");
    let share = CpuShare::of(cost::MEGABYTES);
    let mut costs = Vec::new();
    for candidate in
        candidates.iter().filter(|candidate| candidate.implementation != Implementation::Floor)
    {
        costs.push((candidate, cost::run(bench, candidate, latency(20), share.as_ref()).await?));
    }
    let processor = match &share {
        Some(share) => format!("{:.1} % of a processor", share.part * 100.0),
        None => "a whole processor, since this user may not make control groups".to_owned(),
    };
    print_result(&format!(
        "\n### A million dead letters at {} MB on arm64, batches of 10 at 20 ms, with {processor}\n\n{}",
        cost::MEGABYTES,
        report::cost(&costs)
    ))
}

/// Prints a result at once, because a run takes minutes.
fn print_result(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Prints the progress.
fn print_progress(text: &str) {
    writeln!(io::stderr(), "bench: {text} ...").ok();
}
