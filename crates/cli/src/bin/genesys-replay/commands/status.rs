//! `status`: the state of the draining.

use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay_cli::app;
use genesys_replay_cli::deployment::metrics::{METRICS_WINDOW, MetricPoint, RecentMetrics};
use genesys_replay_cli::deployment::source_mapping::SourceMapping;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::pause::{ChangeNote, DrainChange};
use genesys_replay_cli::operator::status::{
    Circuits, DrainStatus, GENESYS_REQUESTS_PER_MINUTE, HandledRecords, REQUESTS_PER_DEAD_LETTER,
    StatusFacts, about, described,
};
use genesys_replay_cli::queue::{QueueFacts, QueueReader};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::terminal::{self, one_line};

/// Show the state of the draining: paused or not, depth, age, rate, circuits, and the time until the backlog is gone.
///
/// Changes nothing and receives no message. The rate and the circuits come from the metrics of the last 15 minutes,
/// which are some two minutes late. A value that cannot be read is shown as unknown, with a warning.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay status --function genesys-replay
  genesys-replay status --function genesys-replay --output json | jq -r .summary

Exit code 1: the draining is paused and messages wait, or a circuit opened in the last 15 minutes.")]
pub(crate) struct StatusArgs {}

/// The status and the facts that are shown with it.
struct View {
    function: String,
    mapping: SourceMapping,
    facts: StatusFacts,
    queue: QueueFacts,
    parking: Parking,
    status: DrainStatus,
    /// The failed calls.
    unknown: Vec<AwsError>,
}

enum Parking {
    /// The queue has no redrive policy.
    Absent,
    Unknown,
    Known(QueueFacts),
}

impl StatusArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let view = read(context).await?;
        for error in &view.unknown {
            context.progress.warn(&format!("unknown: {error}"));
        }
        context.print(|| terminal::fitted(&text(&view)), || json(&view))?;
        Ok(ExitStatus::of_findings(view.status.is_finding(view.facts.backlog)))
    }
}

async fn read(context: &Context) -> anyhow::Result<View> {
    let (function, mapping) = context.source_mapping().await?;
    let variables = context.variables().await?;
    let aws = context.aws().await?;
    let now = context.clock.now();
    let queue = app::reader(aws, &mapping.queue_arn).await?.facts().await?;
    let parking_name = queue.redrive.as_ref().map(|it| it.parking_name().to_owned());
    let parking = async {
        match &queue.redrive {
            Some(redrive) => {
                let read = async { app::reader(aws, &redrive.parking_arn).await?.facts().await };
                read.await.map(Parking::Known)
            }
            None => Ok(Parking::Absent),
        }
    };
    let (mappings, metrics) = (app::source_mappings(aws), app::metrics(aws));
    let (parking, tags, metrics) = tokio::join!(
        parking,
        mappings.tags(mapping),
        metrics.recent(&function.name, queue.name(), parking_name.as_deref(), now),
    );
    let mut unknown = Vec::new();
    let parking = known(parking, &mut unknown).unwrap_or(Parking::Unknown);
    let facts = StatusFacts {
        now,
        mapping: mapping.state,
        note: known(tags, &mut unknown).as_ref().and_then(ChangeNote::of_tags),
        backlog: queue.depth(),
        metrics: known(metrics, &mut unknown),
        needs_genesys: matches!(variables.get("RETRY_STATE"), None | Some("required")),
    };
    Ok(View {
        function: function.name.clone(),
        mapping: mapping.clone(),
        status: DrainStatus::of(&facts),
        facts,
        queue,
        parking,
        unknown,
    })
}

/// Returns the answer of a call, or keeps its error.
fn known<T>(answer: Result<T, AwsError>, unknown: &mut Vec<AwsError>) -> Option<T> {
    answer.map_err(|error| unknown.push(error)).ok()
}

/// Returns the last point of the age of the oldest message.
fn oldest(
    metrics: Option<&RecentMetrics>,
    points: impl Fn(&RecentMetrics) -> &[MetricPoint],
) -> Option<Duration> {
    let last = points(metrics?).last()?;
    Duration::try_from_secs_f64(last.value).ok()
}

impl View {
    fn oldest(&self) -> Option<Duration> {
        oldest(self.facts.metrics.as_ref(), |it| &it.oldest_seconds)
    }

    fn oldest_parked(&self) -> Option<Duration> {
        oldest(self.facts.metrics.as_ref(), |it| &it.oldest_parked_seconds)
    }
}

fn text(view: &View) -> String {
    let (status, unknown) = (&view.status, || "unknown".to_owned());
    let state = view.mapping.state;
    let mapping = match &view.facts.note {
        None => state.as_str().to_owned(),
        Some(note) if note.change == DrainChange::Pause && !state.is_off() => {
            let note = described(note);
            format!("{}; enabled again after the pause of {note}", state.as_str())
        }
        Some(note) => {
            let word = match note.change {
                DrainChange::Pause => "paused since",
                DrainChange::Resume => "resumed at",
            };
            format!("{}; {word} {}", state.as_str(), described(note))
        }
    };
    let minutes = METRICS_WINDOW.as_secs() / 60;
    let handled = status.handled.map(|it| {
        let HandledRecords { replayed, duplicates, archived, deferred, returned, not_attempted, .. } = it;
        format!(
            "in the last {minutes} min: replayed {replayed}, duplicates {duplicates}, archived {archived}, \
             deferred {deferred}, returned {returned}, not attempted {not_attempted}"
        )
    });
    let handled = handled.unwrap_or_else(|| match view.facts.metrics {
        Some(_) => format!("no batch in the last {minutes} min"),
        None => unknown(),
    });
    let circuits = match status.circuits {
        Circuits::Unknown => unknown(),
        Circuits::Closed => format!("closed: none opened in the last {minutes} min"),
        Circuits::Opened { times, last } => format!(
            "opened {times} times in the last {minutes} min, the last time at {last}; \
             the log line \"circuit opened\" names the upstream"
        ),
    };
    let parking = match &view.parking {
        Parking::Absent => "none: the queue has no redrive policy".to_owned(),
        Parking::Unknown => unknown(),
        Parking::Known(facts) => depth(facts, view.oldest_parked()),
    };
    let mut lines = vec![
        ("event source mapping", mapping),
        ("queue", depth(&view.queue, view.oldest())),
        ("parking queue", parking),
        ("handled", handled),
        ("circuits", circuits),
    ];
    if view.facts.backlog > 0 {
        let at_rate = status.done_in.map_or_else(unknown, about);
        lines.push(("done at this rate", at_rate));
        let limit = status.done_in_by_limit.map(|time| {
            let time = about(time);
            format!(
                "{time}: {REQUESTS_PER_DEAD_LETTER} of {GENESYS_REQUESTS_PER_MINUTE} requests a minute for each dead letter"
            )
        });
        lines.extend(limit.map(|limit| ("limit of Genesys", limit)));
    }
    let lines = lines.iter().map(|(name, value)| format!("{name:21} {}\n", one_line(value)));
    format!("{}\n\n{}", one_line(&status.summary), lines.collect::<String>())
}

fn depth(queue: &QueueFacts, oldest: Option<Duration>) -> String {
    let QueueFacts { visible, in_flight, delayed, .. } = queue;
    let oldest = oldest.map_or_else(|| "unknown".to_owned(), about);
    let name = queue.name();
    format!("{name}: visible {visible}, in flight {in_flight}, delayed {delayed}, oldest {oldest}")
}

fn json(view: &View) -> Value {
    let (status, facts) = (&view.status, &view.facts);
    let queue = |queue: &QueueFacts, oldest: Option<Duration>| {
        json!({
            "arn": queue.arn,
            "visible": queue.visible,
            "in_flight": queue.in_flight,
            "delayed": queue.delayed,
            "oldest_seconds": oldest.map(|it| it.as_secs()),
        })
    };
    let (circuits, opened, last_opened_at) = match status.circuits {
        Circuits::Unknown => ("unknown", None, None),
        Circuits::Closed => ("closed", Some(0), None),
        Circuits::Opened { times, last } => ("opened", Some(times), Some(last.to_string())),
    };
    json!({
        "summary": status.summary,
        "state": status.state.as_str(),
        "function": view.function,
        "mapping": { "uuid": view.mapping.uuid, "state": view.mapping.state.as_str() },
        "last_change": facts.note.as_ref().map(|note| json!({
            "change": note.change.as_str(),
            "reason": note.reason,
            "by": note.by,
            "at": note.at.map(|at| at.to_string()),
        })),
        "queue": queue(&view.queue, view.oldest()),
        "parking_queue": match &view.parking {
            Parking::Absent | Parking::Unknown => Value::Null,
            Parking::Known(facts) => queue(facts, view.oldest_parked()),
        },
        "backlog": facts.backlog,
        "handled": status.handled.map(|it| json!({
            "minutes": METRICS_WINDOW.as_secs() / 60,
            "per_minute": it.per_minute,
            "replayed": it.replayed,
            "duplicates": it.duplicates,
            "archived": it.archived,
            "deferred": it.deferred,
            "returned": it.returned,
            "not_attempted": it.not_attempted,
        })),
        "circuits": { "state": circuits, "opened": opened, "last_opened_at": last_opened_at },
        "done_in_seconds": status.done_in.map(|it| it.as_secs()),
        "done_in_seconds_by_genesys_limit": status.done_in_by_limit.map(|it| it.as_secs()),
        "unknown": view.unknown.iter().map(ToString::to_string).collect::<Vec<String>>(),
        "generated_at": facts.now.to_string(),
    })
}
