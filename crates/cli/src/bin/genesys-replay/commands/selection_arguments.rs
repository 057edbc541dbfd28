//! The selection of dead letters, for the commands that write a plan.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Category, FailureCode};
use genesys_replay_cli::app;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::plan::{PlanBuilder, PlanSource, Selection};
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_settings::ArchiveSettings;

use crate::context::Context;
use crate::exit::UserError;
use crate::files;
use crate::time_argument::parse_time;

/// The place of the dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// The source: the archive, the parking queue, or the events that the ledger has as rejected (read from the archive).
    #[arg(long, value_name = "PLACE", default_value = "archive")]
    from: SourceArg,
    /// Read only objects whose keys begin with this; the default is the function's archive prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
}

/// The conditions of the selected dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct SelectionArgs {
    /// Only this category of the first failure; may be given several times, like the options below.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    category: Vec<String>,
    /// Only dead letters that were rejected with this failure code.
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Vec<String>,
    /// Only event types that match; * stands for any text.
    #[arg(long, value_name = "PATTERN")]
    topic: Vec<String>,
    /// Only targets that match; * stands for any text.
    #[arg(long, value_name = "PATTERN")]
    target: Vec<String>,
    /// Only this interaction.
    #[arg(long, value_name = "ID")]
    interaction: Vec<String>,
    /// Only the event with this id.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: Vec<String>,
    /// Only the events with the ids in this file, one per line; - is stdin.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Only dead letters rejected since this time: RFC 3339, or a duration before now, such as 6h.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only dead letters rejected before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

/// The places of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceArg {
    Archive,
    Parking,
    Ledger,
}

impl PlaceArgs {
    pub(super) fn is_ledger(&self) -> bool {
        self.from == SourceArg::Ledger
    }

    /// Offers the dead letters of the source to a plan.
    pub(super) async fn collect(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        queue: &SqsReader,
        archive: Option<ArchiveSettings>,
    ) -> anyhow::Result<PlanSource> {
        match self.from {
            SourceArg::Parking => collect_from_parking_queue(context, builder, queue).await,
            SourceArg::Archive | SourceArg::Ledger => {
                self.collect_from_archive(context, builder, archive).await
            }
        }
    }

    async fn collect_from_archive(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        archive: Option<ArchiveSettings>,
    ) -> anyhow::Result<PlanSource> {
        let ArchiveSettings { bucket, prefix, .. } = archive.ok_or_else(|| {
            UserError::new(
                "the function has no archive",
                "set ARCHIVE_BUCKET, or use the parking queue: --from parking",
            )
        })?;
        let prefix = self.prefix.clone().unwrap_or(prefix);
        if self.is_ledger() {
            builder.only_from_ledger(&context.progress).await?;
        }
        let reader = app::archive(context.aws().await?, &bucket);
        builder.collect_from_archive(&reader, &prefix, &context.progress).await?;
        Ok(PlanSource::Archive { bucket, prefix })
    }
}

impl SelectionArgs {
    /// Returns the selection by these conditions alone.
    pub(super) fn selection(&self) -> anyhow::Result<Selection> {
        let mut ids: BTreeSet<String> = self.id.iter().cloned().collect();
        if let Some(file) = &self.ids {
            let listed = read_ids(file)?;
            if listed.is_empty() {
                // Without a condition, every dead letter would be selected.
                Err(UserError::new(
                    format!("{} does not contain any ids", file.display()),
                    ONE_ID_PER_LINE,
                ))?;
            }
            ids.extend(listed);
        }
        Ok(Selection {
            categories: self.category.clone(),
            codes: self.code.clone(),
            topics: self.topic.clone(),
            targets: self.target.clone(),
            interactions: self.interaction.clone(),
            ids,
            since: self.since.map(|it| it.to_string()),
            until: self.until.map(|it| it.to_string()),
            ..Selection::default()
        })
    }
}

async fn collect_from_parking_queue(
    context: &Context,
    builder: &mut PlanBuilder<'_, DynamoDbReader>,
    queue: &SqsReader,
) -> anyhow::Result<PlanSource> {
    let facts = queue.facts().await?;
    let redrive = facts.redrive.ok_or_else(|| {
        UserError::new(
            format!("the queue {} has no parking queue", facts.arn),
            "give the queue a redrive policy, as in template.yaml",
        )
    })?;
    let parking = app::reader(context.aws().await?, &redrive.parking_arn).await?;
    if parking.facts().await?.fifo {
        context.progress.warn(
            "the parking queue is FIFO: the plan can contain only the first messages of each group",
        );
    }
    builder.collect_from_queue(&parking, &context.progress).await?;
    Ok(PlanSource::Parking { queue_arn: redrive.parking_arn })
}

const ONE_ID_PER_LINE: &str = "write one event id per line";

/// Returns the ids in a file, one per line, without empty lines and lines that begin with `#`.
pub(super) fn read_ids(file: &Path) -> anyhow::Result<Vec<String>> {
    let content = String::from_utf8(files::read(file)?).map_err(|_| {
        UserError::new(format!("{} is not UTF-8 text", file.display()), ONE_ID_PER_LINE)
    })?;
    let lines = content.lines().map(str::trim);
    let ids = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(ids.map(str::to_owned).collect())
}

fn category(text: &str) -> Result<String, String> {
    let known = Category::ALL.map(Category::as_str);
    let is_known = known.contains(&text).then(|| text.to_owned());
    is_known.ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

fn code(text: &str) -> Result<String, String> {
    let code = FailureCode::parse(text).map(|code| code.to_string());
    code.ok_or_else(|| "not a failure code; see the list: genesys-replay explain".to_owned())
}
