//! `reconcile`: compares ledger, archive and queues.

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::reconcile;
use genesys_replay_cli::operator::reconcile::{ReconcileScope, Reconciliation};
use genesys_replay_cli::queue::QueueReader;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::terminal::{self, one_line};
use crate::time_argument::parse_time;

/// Check that received = replayed + archived + discarded + still queued, and list the differences.
///
/// Reads the whole ledger, every object of the archive (within --since), and the depths of the queue and its parking
/// queue. SQS reports depths only approximately, so run the command while few messages arrive. Received events are those
/// in ledger, archive or queues. Messages that the function acknowledged as duplicates are only in its metric Duplicates.
/// The names of all archived objects are kept in memory: with more than 100,000, use --since. Exit code 1: the sum does
/// not add up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay reconcile --function genesys-replay
  genesys-replay reconcile --since 7days --output json")]
pub(crate) struct ReconcileArgs {
    /// Only events that were first seen since then: 24h, 7days or an RFC 3339 time. Queues are counted whole.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// The number of table segments that are read concurrently.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    segments: u32,
}

impl ReconcileArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let now = context.clock.now();
        let settings = context.settings().await?;
        let queue = context.queue().await?.facts().await?;
        let aws = context.aws().await?;
        let mut parked = 0;
        if let Some(redrive) = &queue.redrive {
            let parking = app::reader(aws, &redrive.parking_arn).await?;
            parked = parking.facts().await?.depth();
        }
        let archive = settings.archive.as_ref();
        let archive = archive.map(|it| app::archive(aws, &it.bucket));
        if archive.is_none() {
            terminal::say("warning: ARCHIVE_BUCKET is not set, so the archive is not compared");
        }
        let scope = ReconcileScope {
            segments: self.segments,
            since: self.since,
            now,
            target: &settings.target,
            remembered: settings.remember,
            prefix: settings.archive.as_ref().map_or("", |it| &it.prefix),
            queued: queue.depth(),
            parked,
        };
        let ledger = app::ledger(aws, &settings.table);
        let progress = &context.progress;
        let sum = reconcile::reconcile(&ledger, archive.as_ref(), &scope, progress).await?;
        context.print(|| terminal::fitted(&text(&sum, &scope)), || json(&sum, &scope))?;
        Ok(ExitStatus::of_findings(!sum.adds_up()))
    }
}

fn text(sum: &Reconciliation, scope: &ReconcileScope<'_>) -> String {
    let mut text = vec![format!(
        "received {} = replayed {} + archived {}",
        sum.received, sum.replayed, sum.archived
    )];
    if sum.discarded > 0 {
        text.push(format!(" + discarded {}", sum.discarded));
    }
    text.push(format!(" + still queued {}", sum.still_queued));
    if sum.unaccounted > 0 {
        text.push(format!(" + unaccounted {}", sum.unaccounted));
    }
    text.push(format!(
        "\n  duplicates in the archive: {}; queue about {}, parking queue about {}\n",
        sum.duplicate, scope.queued, scope.parked
    ));
    for (finding, found) in &sum.findings {
        let mark = if finding.is_wrong() { "WRONG" } else { "known" };
        let (name, meaning, count) = (finding.as_str(), finding.meaning(), found.count);
        text.push(format!("\n{mark}  {name}: {count}\n  {meaning}\n"));
        for example in &found.examples {
            text.push(format!("    {}\n", one_line(example)));
        }
    }
    let verdict = if sum.adds_up() { "adds up" } else { "does not add up" };
    text.push(format!("\nthe sum {verdict}\n"));
    text.concat()
}

fn json(sum: &Reconciliation, scope: &ReconcileScope<'_>) -> Value {
    let findings: Map<String, Value> = sum
        .findings
        .iter()
        .map(|(finding, found)| {
            let value = json!({
                "wrong": finding.is_wrong(),
                "count": found.count,
                "meaning": finding.meaning(),
                "examples": found.examples,
            });
            (finding.as_str().to_owned(), value)
        })
        .collect();
    json!({
        "adds_up": sum.adds_up(),
        "received": sum.received,
        "replayed": sum.replayed,
        "duplicate": sum.duplicate,
        "archived": sum.archived,
        "discarded": sum.discarded,
        "still_queued": sum.still_queued,
        "unaccounted": sum.unaccounted,
        "queued": scope.queued,
        "parked": scope.parked,
        "ledger_by_status": sum.statuses,
        "archive_objects": sum.objects,
        "discarded_objects": sum.discarded_objects,
        "findings": findings,
        "since": scope.since.map(|since| since.to_string()),
        "generated_at": scope.now.to_string(),
    })
}
