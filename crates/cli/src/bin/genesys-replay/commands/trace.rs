//! `trace`: the history of one interaction, event or message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{Arn, ReplayTarget};
use genesys_replay_cli::app;
use genesys_replay_cli::archive::DISCARDED;
use genesys_replay_cli::config::OperatorSettings;
use genesys_replay_cli::operator::plan::Plan;
use genesys_replay_cli::operator::plans::shared_audits;
use genesys_replay_cli::operator::trace::{
    AuditText, EventTrace, QueueSearch, SearchedPlace, TracePlace, TraceSubject, TracedEvent,
};
use serde_json::json;

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::plan_place::PlanPlace;
use crate::terminal::{one_line, wrapped};
use crate::time_argument::parse_time;
use crate::{files, terminal};

/// Show the history of one interaction, event or message: what happened, where it is now, and what to do.
///
/// The command searches the ledger, the archive, the queue, the parking queue and the audit files of plans, and with --logs
/// the log of the function. It receives each message of both queues once, and makes the messages visible again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # What happened to a conversation?
  genesys-replay trace --function replay --interaction 4f3c8a52-…
  # An id from a ticket:
  genesys-replay trace --function replay 4f3c8a52-…
  # With each attempt, from the log of the last day, and without the queues:
  genesys-replay trace --function replay --event 8bd2… --logs --since 1day --no-queues

Exit code 0: found; 1: not found, and the output names the searched places.")]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Search the log group of the function too; needs --function.
    #[arg(long)]
    logs: bool,
    /// Search the log since this time; the default is 14 days, the maximum retention of a queue.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Leave out the queue and the parking queue, and receive no message.
    #[arg(long)]
    no_queues: bool,
    /// An audit file, or the id of a shared plan; without this option, the files *.audit.jsonl in this folder and the audits
    /// of shared plans.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit: Vec<PathBuf>,
    /// The number of table segments that are read concurrently.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    segments: u32,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SubjectArguments {
    /// The id of an interaction, an event or a message, if you do not know which one it is.
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// The id of an interaction (conversation).
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    interaction: Option<String>,
    /// The id of an event.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    event: Option<String>,
    /// The id of an SQS message.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    message: Option<String>,
}

/// The end of the names of audit files.
const AUDIT_SUFFIX: &str = ".audit.jsonl";

/// The searched time of the log without --since: the maximum retention of a queue.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 86_400);

impl TraceArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let settings = context.settings().await?;
        let function = context.function().await?;
        let group = match (self.logs, function) {
            (false, _) => None,
            (true, Some(function)) => Some(function.log_group.clone()),
            (true, None) => Err(UserError::new(
                "the log is that of a function, and no function is named",
                "name the function: --function",
            ))?,
        };
        let subject = self.subject()?;
        let audits = self.audits(context, &settings, &subject).await?;
        let mut trace = EventTrace::of(subject);
        trace.find_message_in_audits(&audits);
        self.search_stores(context, &settings, &mut trace).await?;
        trace.search_audits(&audits);
        let now = context.clock.now();
        if let Some(group) = group {
            let log = app::logs(context.aws().await?, &group);
            let since = self.since.unwrap_or(now.minus(MAX_RETENTION));
            trace.search_log(&log, &group, since, &context.progress).await;
        }
        let events = trace.events(now);
        context.print(
            || text(&events),
            || json!({ "events": events, "searched": trace.searched() }),
        )?;
        for place in trace.searched() {
            if let Some(line) = searched(place, events.is_empty()) {
                terminal::say(&line);
            }
        }
        if events.is_empty() {
            terminal::say(
                "  hint: compare the id with the payload; expired ledger items and messages leave only log lines: --logs",
            );
        }
        Ok(ExitStatus::of_findings(events.is_empty()))
    }

    async fn search_stores(
        &self,
        context: &Context,
        settings: &OperatorSettings,
        trace: &mut EventTrace,
    ) -> anyhow::Result<()> {
        let (aws, progress) = (context.aws().await?, &context.progress);
        let ledger = app::ledger(aws, &settings.table);
        trace.search_ledger(&ledger, &settings.table, self.segments, progress).await;
        let mut keys = Vec::new();
        if let Some(archive) = &settings.archive {
            let reader = app::archive(aws, &archive.bucket);
            for prefix in [archive.prefix.as_str(), DISCARDED] {
                let place = (archive.bucket.as_str(), prefix);
                keys.extend(trace.search_archive(&reader, place, &settings.target, progress).await);
            }
        }
        if !self.no_queues {
            keys.extend(search_queues(context, &settings.target, trace).await?);
        }
        trace.complete_from_ledger(&ledger, &keys).await;
        Ok(())
    }

    fn subject(&self) -> Result<TraceSubject, UserError> {
        let SubjectArguments { id, interaction, event, message } = &self.subject;
        let any = id.clone().map(TraceSubject::Any);
        let interaction = interaction.clone().map(TraceSubject::Interaction);
        let event = event.clone().map(TraceSubject::Event);
        let message = message.clone().map(TraceSubject::Message);
        interaction.or(event).or(message).or(any).ok_or_else(|| {
            UserError::new("no id is named", "name one: --interaction, --event or --message")
        })
    }

    /// Reads the named audits, or those in this folder and in the bucket.
    async fn audits(
        &self,
        context: &Context,
        settings: &OperatorSettings,
        subject: &TraceSubject,
    ) -> anyhow::Result<Vec<AuditText>> {
        let (mut files, mut audits) = (Vec::new(), Vec::new());
        for named in &self.audit {
            match PlanPlace::of(context, named).await? {
                PlanPlace::File(path) => files.push(path),
                place @ PlanPlace::Shared(_) => audits.push(AuditText {
                    name: place.audit(),
                    text: place.audit_text().await?,
                    plan_reason: place.read().await.ok().map(|plan| plan.content.reason),
                    problem: None,
                }),
            }
        }
        if self.audit.is_empty() {
            if let Some(archive) = &settings.archive {
                let store = app::plan_store(context.aws().await?, &archive.bucket);
                audits = shared_audits(&store, |item| match subject {
                    TraceSubject::Event(id) => item.event_id() == id,
                    TraceSubject::Interaction(id) => item.interaction_id.as_ref() == Some(id),
                    // The message may be a copy, which only the audit has.
                    TraceSubject::Message(_) | TraceSubject::Any(_) => true,
                })
                .await;
            }
            let entries = std::fs::read_dir(".").into_iter().flatten().filter_map(Result::ok);
            let paths = entries.map(|entry| PathBuf::from(entry.file_name()));
            files.extend(paths.filter(|path| is_audit(path)));
            files.sort();
        }
        let is_named = !self.audit.is_empty();
        let read = files.into_iter().map(|path| {
            let (text, problem) = match files::read(&path) {
                Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), None),
                Err(error) if is_named => return Err(error),
                Err(error) => (String::new(), Some(error.to_string())),
            };
            let plan_reason = plan_reason(&path, &text);
            Ok(AuditText { name: path.display().to_string(), text, plan_reason, problem })
        });
        audits.extend(read.collect::<anyhow::Result<Vec<AuditText>>>()?);
        Ok(audits)
    }
}

/// Returns the reason of the plan beside an audit, if that plan was applied.
fn plan_reason(audit: &Path, text: &str) -> Option<String> {
    let name = audit.to_str()?.strip_suffix(AUDIT_SUFFIX)?;
    let plan = Plan::read(&files::read(Path::new(&format!("{name}.json"))).ok()?).ok()?;
    text.lines().next()?.contains(&plan.hash).then_some(plan.content.reason)
}

fn is_audit(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(AUDIT_SUFFIX))
}

/// Searches the queue and its parking queue. Returns the ledger keys of the found events. A queue that is not named or
/// cannot be read does not end the search.
async fn search_queues(
    context: &Context,
    target: &ReplayTarget,
    trace: &mut EventTrace,
) -> anyhow::Result<Vec<String>> {
    let place = TracePlace::Queue;
    let queue = match context.queue().await {
        Ok(queue) => queue,
        Err(error) => {
            match error.downcast::<AwsError>() {
                Ok(error) => trace.not_searched(place, "", &error),
                Err(error) => trace.left_out(place, &error.to_string()),
            }
            return Ok(Vec::new());
        }
    };
    let (aws, progress) = (context.aws().await?, &context.progress);
    let part = context.interrupts.while_reading();
    let stop = || part.stop().cancelled();
    let QueueSearch { mut keys, redrive, cost } =
        trace.search_queue(&queue, place, target, stop(), progress).await?;
    let report = |cost: Option<String>| cost.map_or((), |cost| terminal::say(&cost));
    report(cost);
    if let Some(parking) = redrive.map(|redrive| redrive.parking_arn) {
        let place = TracePlace::ParkingQueue;
        match app::reader(aws, &parking).await {
            Ok(reader) => {
                let reader = reader.parking_queue_of(queue.arn());
                let search = trace.search_queue(&reader, place, target, stop(), progress).await?;
                report(search.cost);
                keys.extend(search.keys);
            }
            Err(error) => trace.not_searched(place, Arn::resource_of(&parking), &error),
        }
    }
    Ok(keys)
}

/// Returns a searched place in one line, if it has a problem, or if nothing was found.
fn searched(place: &SearchedPlace, is_wanted: bool) -> Option<String> {
    let SearchedPlace { place, name, read, problem } = place;
    let name = if name.is_empty() { String::new() } else { format!(" {name}") };
    match problem {
        Some(problem) => Some(format!("warning: {}{name}: {problem}", place.as_str())),
        None if is_wanted => Some(format!("searched: {}{name}, {read} read", place.as_str())),
        None => None,
    }
}

/// Returns the histories for people.
pub(super) fn text(events: &[TracedEvent]) -> String {
    if events.is_empty() {
        return "not found\n".to_owned();
    }
    let width = terminal::width();
    let mut text = String::new();
    for event in events {
        let head = [
            ("event", Some(&event.event_id)),
            ("type", event.event_type.as_ref()),
            ("interaction", event.interaction_id.as_ref()),
            ("target", event.target.as_ref()),
            ("original target", event.original_target.as_ref()),
            ("status", event.status.as_ref()),
            ("failure code", event.failure_code.as_ref()),
            ("now", Some(&event.now)),
            ("next", Some(&event.next)),
        ];
        let head = head.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in head {
            let line = format!("{:16} {}", format!("{name}:"), one_line(value));
            text.push_str(&wrapped(&line, width, 17));
            text.push('\n');
        }
        for entry in &event.entries {
            let at = entry.at.map_or_else(|| "unknown time".to_owned(), |at| at.to_string());
            let (at, zone) = at.split_once(['.', 'Z']).map_or((&*at, ""), |(at, _)| (at, "Z"));
            let at = format!("{at}{zone}");
            let line = format!("  {at:20}  {:13}  {}", entry.place.as_str(), one_line(&entry.what));
            text.push_str(&wrapped(&line, width, 39));
            text.push('\n');
        }
        text.push('\n');
    }
    text
}
