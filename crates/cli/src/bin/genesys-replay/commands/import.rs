//! `import`: puts failed events from other places on the replay queue.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use futures_util::{Stream, stream};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::destination::{Arn, Destination};
use genesys_replay::queue::MAX_MESSAGE_BYTES;
use genesys_replay_aws::sqs_sender::SqsSender;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::Progress as _;
use genesys_replay_cli::operator::import::{
    ImportCursor, ImportError, ImportOptions, ImportSummary, NoCursor, SourceEntry, archived,
    import, read_all, retryability, subscription,
};
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_genesys::GenesysClient;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::cursor_file::CursorFile;
use crate::exit::{ExitStatus, UserError};
use crate::time_argument::parse_time;
use crate::{files, table, terminal};

/// The maximum number of events that a file is read ahead.
const MAX_READ_AHEAD: usize = 32;

/// Put failed events from other places on the replay queue.
///
/// The function's own code classifies each event by its failure code, then the reason, then the stack trace. The payload
/// is queued unchanged. The failed event's id identifies the event, so an event that is imported twice is delivered once:
/// the cursor of the source leaves out the events that are on the queue, and the ledger recognises the others until its
/// items expire. Without --yes the command only counts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay import --function genesys-replay --file failed.jsonl
  genesys-replay import --function genesys-replay --file failed.jsonl --yes
  zcat failed.jsonl.gz | genesys-replay import --queue dead-letters --file - --yes
  aws sqs receive-message --queue-url URL --max-number-of-messages 10 \\
      --message-system-attribute-names All --message-attribute-names All >> dump.json
  genesys-replay import --function genesys-replay --file dump.json --yes
  genesys-replay import --function genesys-replay --file eventbridge_diagnostics.json --yes
  genesys-replay import --function genesys-replay --s3 s3://genesys-dlq-archives/dlq/archives/ \\
      --target-arn arn:aws:lambda:eu-central-1:123456789012:function:crm-sync --yes

A file is a JSON array, an object with a list (entities; Messages of receive-message; Records of a Lambda event; records of
a diagnosis), or one JSON object per line. Only the last form is streamed. An entry is a failed event, a message of a
queue, an archived dead letter, or a record of a diagnosis.
--subscription calls GET /api/v2/analytics/event-bridge/failed-events/{id}, which only the legacy sample API has.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    from: SourceArgs,
    /// The original target of the events, for a function that delivers to original targets.
    #[arg(long, value_name = "ARN")]
    target_arn: Option<String>,
    /// Only events that failed at this time or later, and events without a time: RFC 3339, or a duration before now, such
    /// as 6h.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Import events again that this computer imported from the same source before.
    #[arg(long)]
    again: bool,
    /// The folder of the cursors: the lists of imported events, one per source and queue. [default:
    /// $XDG_STATE_HOME/genesys-replay/imports or ~/.local/state/genesys-replay/imports]
    #[arg(long, value_name = "DIR")]
    cursor_dir: Option<PathBuf>,
    /// The maximum number of pages of a subscription, each with up to 100 events.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_pages: u32,
    /// Queue the events; otherwise only print the counts.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// The failed events of this subscription (legacy sample API).
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// The failed events in this file; - is stdin.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// The archived failed events below this prefix.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    s3: Option<String>,
}

impl ImportArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let folder = self.cursor_dir.clone().or_else(CursorFile::default_folder);
        let queue = self.queue(context, folder.as_deref()).await?;
        let mut cursor = self.cursor(context, folder, queue.as_ref())?;
        let limit = queue.as_ref().map(SqsReader::max_message_bytes);
        let options = ImportOptions {
            target_arn: self.target_arn.as_deref().map(target_arn).transpose()?,
            target: context.settings().await?.target,
            since: self.since,
            max_message_bytes: limit.unwrap_or(MAX_MESSAGE_BYTES),
        };
        let queue = match queue.filter(|_| self.yes) {
            Some(queue) => Some(app::sender(context.aws().await?, &queue)),
            None => None,
        };
        let stop = context.interrupts.listen();
        let into = ImportTo { queue: queue.as_ref(), options: &options, cursor: cursor.as_mut() };
        let ended = self.from.import(context, into, self.max_pages, stop.stop());
        let (imported, ended) = ended.await?;
        let text = || terminal::fitted(&text(&imported, self.yes));
        context.print(text, || json(&imported, self.yes))?;
        for warning in warnings(&imported) {
            terminal::say(&format!("warning: {warning}"));
        }
        if imported.stopped || (ended.is_err() && self.yes) {
            terminal::say(&format!(
                "{} events are on the queue; run the command again for the rest, which does not duplicate any event",
                imported.queued
            ));
        }
        ended.map_err(error)?;
        Ok(if imported.stopped {
            ExitStatus::Interrupted
        } else {
            ExitStatus::of_findings(imported.refused > 0)
        })
    }
}

impl ImportArgs {
    /// Returns the queue. A dry run needs the queue only for its cursor, and continues without both.
    async fn queue(
        &self,
        context: &Context,
        folder: Option<&Path>,
    ) -> anyhow::Result<Option<SqsReader>> {
        if self.yes {
            return context.queue().await.map(Some);
        }
        let is_named = context.function_name().is_some() || context.queue_name().is_some();
        if !is_named || !folder.is_some_and(Path::exists) {
            return Ok(None);
        }
        // A dry run also needs the settings of a named function.
        context.function().await?;
        let found = context.queue().await;
        Ok(found
            .map_err(|error| {
                context
                    .progress
                    .warn(&format!("counting without the cursor of the source: {error}"));
            })
            .ok())
    }

    /// Returns the cursor of the source for this queue. Without a queue or a folder, every event is new.
    fn cursor(
        &self,
        context: &Context,
        folder: Option<PathBuf>,
        queue: Option<&SqsReader>,
    ) -> Result<Box<dyn ImportCursor>, UserError> {
        // Nothing tells two streams on stdin apart.
        let Some((queue, source)) = queue.zip(self.from.name()) else {
            return Ok(Box::new(NoCursor));
        };
        let Some(folder) = folder else {
            context.progress.warn(
                "this user has no home folder for the cursor, so another import puts the same events on the queue: name a folder with --cursor-dir",
            );
            return Ok(Box::new(NoCursor));
        };
        let target = self.target_arn.as_deref().unwrap_or("its target");
        let source = format!("{source} to {} for {target}", queue.arn());
        let cursor = CursorFile::read(&folder, source, !self.again)?;
        Ok(Box::new(if self.yes { cursor.open()? } else { cursor }))
    }
}

/// The destination of an import.
struct ImportTo<'a> {
    queue: Option<&'a SqsSender>,
    options: &'a ImportOptions,
    cursor: &'a mut dyn ImportCursor,
}

impl SourceArgs {
    /// Returns the identity of the source for the cursor; `None` for stdin.
    fn name(&self) -> Option<String> {
        let subscription = self.subscription.as_ref().map(|id| format!("subscription {id}"));
        let file = self.file.as_ref().filter(|file| *file != "-").map(|file| {
            let path = std::fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
            format!("file {}", path.display())
        });
        subscription.or_else(|| self.s3.clone()).or(file)
    }

    async fn import(
        &self,
        context: &Context,
        into: ImportTo<'_>,
        max_pages: u32,
        stop: &CancellationToken,
    ) -> anyhow::Result<(ImportSummary, Result<(), ImportError>)> {
        let ImportTo { queue, options, cursor } = into;
        let progress = &context.progress;
        if let Some(id) = &self.subscription {
            let genesys = genesys(context).await?;
            let id = subscription_id(id)?;
            let source = subscription(&genesys, id, max_pages, progress, stop.clone());
            return Ok(import(source, queue, options, cursor, progress, stop).await);
        }
        if let Some(place) = &self.s3 {
            let (bucket, prefix) = s3_place(place)?;
            let archive = app::archive(context.aws().await?, bucket);
            let source = archived(&archive, bucket, prefix);
            return Ok(import(source, queue, options, cursor, progress, stop).await);
        }
        let file = self.file.as_deref().unwrap_or("-");
        Ok(import(lines(file)?, queue, options, cursor, progress, stop).await)
    }
}

/// Returns a client of the Genesys Cloud that the settings name.
pub(super) async fn genesys(context: &Context) -> anyhow::Result<GenesysClient> {
    let settings = context.variables().await?.genesys()?;
    Ok(app::genesys_cloud(settings, context.aws().await?)?)
}

/// Returns the id of a subscription, or an error for a text that cannot be one.
pub(super) fn subscription_id(id: &str) -> Result<InteractionId, UserError> {
    InteractionId::new(id).ok_or_else(|| {
        UserError::new(
            "the value of --subscription cannot be the id of a subscription",
            "copy the id as Genesys Cloud shows it: letters, digits and dashes",
        )
    })
}

fn target_arn(arn: &str) -> Result<String, UserError> {
    let what = if Arn::parse(arn).is_none() {
        "is not an ARN"
    } else if matches!(Destination::of_arn(arn), Destination::Unsupported(_)) {
        "names a target type that the function does not support"
    } else {
        return Ok(arn.to_owned());
    };
    let remedy =
        "give the ARN of a Lambda function, SQS queue, SNS topic, state machine or event bus";
    Err(UserError::new(format!("--target-arn {what}"), remedy))
}

fn s3_place(place: &str) -> Result<(&str, &str), UserError> {
    let rest = place.strip_prefix("s3://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        let remedy = "write s3://bucket/prefix; the prefix may be empty";
        return Err(UserError::new(format!("{place} does not name a bucket"), remedy));
    }
    Ok((bucket, prefix))
}

/// Streams the entries of a file. A separate thread reads it, because reading stdin blocks, and Ctrl-C must not wait.
fn lines(
    name: &str,
) -> Result<impl Stream<Item = Result<SourceEntry, ImportError>> + Unpin, UserError> {
    let mut text: Box<dyn BufRead + Send> = if name == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = files::open(Path::new(name)).map_err(|error| {
            let what = format!("{name} cannot be opened: {error}");
            UserError::new(what, "check the name; - is stdin")
        })?;
        Box::new(BufReader::new(file))
    };
    let (sender, mut found) = mpsc::channel(MAX_READ_AHEAD);
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut hand_on = |found| sender.blocking_send(Ok(found)).is_ok();
        if let Err(error) = read_all(&mut text, &mut hand_on) {
            // A failure means that the receiver is gone, which needs no report.
            let _ = sender.blocking_send(Err(ImportError::File(name, error)));
        }
    });
    Ok(stream::poll_fn(move |context| found.poll_recv(context)))
}

fn error(cause: ImportError) -> anyhow::Error {
    match cause {
        ImportError::NoSuchSubscription => UserError::new(
            "Genesys Cloud does not have this subscription, or not this endpoint",
            "check the id; this endpoint only exists in the legacy sample API: use --file or --s3 instead",
        )
        .into(),
        error @ ImportError::EndlessPages => UserError::upstream(
            error.to_string(),
            "all returned events were read; import any others with --file or --s3",
        )
        .into(),
        error @ ImportError::TooManyPages(_) => UserError::upstream(
            error.to_string(),
            "all events of these pages were read; for the others, raise --max-pages",
        )
        .into(),
        ImportError::Genesys(error) => error.into(),
        ImportError::Aws(error) => error.into(),
        error @ ImportError::Cursor(_) => UserError::new(
            genesys_replay::error::with_causes(&error),
            "make room in its folder and import again; until the ledger's items expire, no event is delivered twice",
        )
        .into(),
        error @ ImportError::File(..) => UserError::new(
            genesys_replay::error::with_causes(&error),
            "repair the file and import it again, which does not duplicate any event",
        )
        .into(),
    }
}

/// Returns the warnings about events that the function may not deliver as expected.
fn warnings(imported: &ImportSummary) -> Vec<String> {
    let malformed = imported.categories.values();
    let malformed: u64 =
        malformed.filter(|(category, _)| category.is_malformed()).map(|(_, count)| count).sum();
    [
        (
            imported.without_target,
            "do not name a target, and a function with REPLAY_TARGET=original archives them: add --target-arn",
        ),
        (
            malformed,
            "were refused as malformed, and the function archives them at once unless REPLAY_MALFORMED=true",
        ),
        (
            imported.without_time,
            "have no time that can be read, and are imported regardless of --since",
        ),
        (
            imported.from_archive,
            "come from an archive of ours; if the ledger has them as archived, only plan and apply send them again",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} of the events {what}"))
    .collect()
}

fn text(imported: &ImportSummary, yes: bool) -> String {
    let rows = imported.categories.iter().map(|(name, (category, count))| {
        let prospect = retryability(*category).to_owned();
        [(*name).to_owned(), prospect, count.to_string()]
    });
    let table = table::text(["category", "prospect", "events"], rows);
    let (done, count, end) = if yes {
        ("queued", imported.queued, "")
    } else {
        ("would queue", imported.importable, "\nnothing was queued: add --yes\n")
    };
    let left_out = [
        (
            imported.imported_before,
            "were imported from this source before: --again imports them again",
        ),
        (imported.older, "failed before the time of --since"),
    ];
    let left_out = left_out.iter().filter(|(count, _)| *count > 0);
    let left_out: Vec<_> =
        left_out.map(|(count, why)| format!("left out: {count} {why}\n")).collect();
    let left_out = left_out.concat();
    format!(
        "{done} {count} of {} failed events (duplicates: {}, cannot be queued: {})\n{left_out}\n{table}{end}",
        imported.found, imported.duplicates, imported.refused
    )
}

fn json(imported: &ImportSummary, yes: bool) -> Value {
    let categories = imported.categories.iter().map(|(name, (category, count))| {
        json!({ "category": name, "prospect": retryability(*category), "events": count })
    });
    let mut document = json!(imported);
    document["dry_run"] = json!(!yes);
    document["categories"] = categories.collect();
    document
}
