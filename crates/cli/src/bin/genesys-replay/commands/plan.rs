//! `plan`: writes a frozen list of dead letters that are sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{OriginalTargets, Redirects, ReplayTarget};
use genesys_replay::failure::{Category, FailureCode};
use genesys_replay_cli::app;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::plan::{
    Plan, PlanBuilder, PlanContent, PlanContext, PlanSource, Selection,
};
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_settings::ArchiveSettings;
use genesys_replay_version::PROGRAM;
use serde_json::json;

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files::Replaceable;
use crate::terminal::one_line;
use crate::time_argument::parse_time;
use crate::{files, table, terminal};

/// Select rejected dead letters and write a plan for their replay. Sends nothing.
///
/// The plan is a frozen list with a hash. `apply` sends only the listed events, and refuses the plan if the ledger item
/// of one has changed meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # After an outage of the CRM, from the archive:
  genesys-replay plan --function replay --code EXHAUSTED --target 'https://crm.example/*' --since 6h --reason 'CRM outage'
  # Parked messages of a function without an archive:
  genesys-replay plan --function replay --from parking --reason 'table was missing'
  # Some events by their ids, one per line:
  genesys-replay plan --function replay --ids ids.txt --reason 'ticket 4711'")]
pub(crate) struct PlanArgs {
    /// The reason, for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// The source: the archive, the parking queue, or the events that the ledger has as rejected (read from the archive).
    #[arg(long, value_name = "PLACE", default_value = "archive")]
    from: SourceArg,
    /// Read only objects whose keys begin with this; the default is the function's archive prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
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
    /// Send the events of one target to another, which the function must allow; may be given several times. Events that the
    /// old target has are left out.
    #[arg(long, value_name = "FROM=TO")]
    redirect: Vec<String>,
    /// Also events that another target has, after the function's target was changed.
    #[arg(long)]
    deliver_again_to_new_target: bool,
    /// Also events that are open in the ledger, although another message may still carry them.
    #[arg(long)]
    open: bool,
    /// Also events that were archived longer ago than the ledger's retention and may have been delivered since.
    #[arg(long)]
    forgotten: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "plan.json")]
    out: PathBuf,
    /// The name of the plan's author.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
}

const REDIRECT_HINT: &str = "give the old and the new ARN: --redirect <old ARN>=<new ARN>";

/// The places of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceArg {
    Archive,
    Parking,
    Ledger,
}

impl PlanArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        if self.out.exists() {
            Err(UserError::new(
                format!("{} already exists", self.out.display()),
                "name another file (--out), or delete it: a plan is never overwritten",
            ))?;
        }
        let settings = context.settings().await?;
        let selection = self.selection()?;
        let queue = context.queue().await?;
        let ledger = app::ledger(context.aws().await?, &settings.table);
        let redirects = self.redirects(&settings.target)?;
        let about = PlanContext {
            target: &settings.target,
            redirects: &redirects,
            queue_arn: queue.arn(),
            remember: settings.remember,
            rules: settings.limits.rules(settings.archive.is_some()),
        };
        let mut builder = PlanBuilder::new(&ledger, about, &selection, context.clock.now());
        let source = match self.from {
            SourceArg::Parking => collect_from_parking_queue(context, &mut builder, &queue).await?,
            SourceArg::Archive | SourceArg::Ledger => {
                self.collect_from_archive(context, &mut builder, settings.archive).await?
            }
        };
        if !self.deliver_again_to_new_target {
            builder.leave_out_delivered_elsewhere(&context.progress).await?;
        }
        let (items, left_out) = builder.finish().await?;
        let plan = Plan::of(PlanContent {
            created_at: context.clock.now().to_string(),
            created_by: self.by.clone(),
            written_by: Some(PROGRAM.to_owned()),
            reason: self.reason.clone(),
            edit_of: None,
            source,
            queue_arn: queue.arn().to_owned(),
            selection,
            items,
            left_out,
        });
        let (count, out) = (plan.content.items.len(), self.out.display());
        if count > 0 {
            files::write_whole(&self.out, Replaceable::Nothing, plan.write()?.as_bytes())?;
        }
        context.print(
            || {
                let file = if count > 0 { format!(", in {out}") } else { String::new() };
                let (id, shown) = (&plan.id, dead_letters(count));
                terminal::fitted(&format!("{id}: {shown} to send again{file}\n{}", summary(&plan)))
            },
            || {
                json!({
                    "plan": self.out,
                    "id": plan.id,
                    "hash": plan.hash,
                    "items": count,
                    "left_out": plan.content.left_out,
                })
            },
        )?;
        if count == 0 {
            terminal::say("nothing to send, and no plan was written; the output lists the reasons");
            return Ok(ExitStatus::Findings);
        }
        terminal::say(&format!(
            "nothing was sent; check the plan, then run: genesys-replay apply {out}{}",
            context.common_arguments()
        ));
        Ok(ExitStatus::Success)
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
        if self.from == SourceArg::Ledger {
            builder.only_from_ledger(&context.progress).await?;
        }
        let reader = app::archive(context.aws().await?, &bucket);
        builder.collect_from_archive(&reader, &prefix, &context.progress).await?;
        Ok(PlanSource::Archive { bucket, prefix })
    }

    /// Returns the redirects of this plan, as far as the function would deliver to the new targets.
    fn redirects(&self, target: &ReplayTarget) -> anyhow::Result<Redirects> {
        let text = self.redirect.join(",");
        let redirects = Redirects::parse(&text)
            .map_err(|fault| UserError::new(format!("--redirect {text} {fault}"), REDIRECT_HINT))?;
        match target {
            ReplayTarget::Fixed(fixed) if !redirects.is_empty() => Err(UserError::new(
                format!(
                    "the function delivers every event to {fixed}, so --redirect has no effect"
                ),
                "set REPLAY_TARGET=original in the function, or leave --redirect out",
            ))?,
            ReplayTarget::Fixed(_) => {}
            ReplayTarget::Original(OriginalTargets { allowed, .. }) => {
                if let Some(refused) = redirects.iter().find(|it| !allowed.contains(&it.to)) {
                    Err(UserError::new(
                        format!("the function may not deliver to {}", refused.to),
                        "add the new target to ALLOWED_TARGETS (parameter AllowedTargets) first",
                    ))?;
                }
            }
        }
        Ok(redirects)
    }

    fn selection(&self) -> anyhow::Result<Selection> {
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
            known_to_ledger: self.from == SourceArg::Ledger,
            open: self.open,
            forgotten: self.forgotten,
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

/// Returns the items of a plan by target, code and type, and the dead letters that are left out.
pub(super) fn summary(plan: &Plan) -> String {
    let items = &plan.content.items;
    let mut groups: BTreeMap<(&str, &str, &str), (u64, u32)> = BTreeMap::new();
    for item in items {
        let code = item.failure_code.as_deref().unwrap_or("-");
        let key = (item.target.as_str(), code, item.event_type.as_str());
        let (count, attempt) = groups.entry(key).or_default();
        *count += 1;
        *attempt = item.predicted.attempt.max(*attempt);
    }
    let rows = groups.iter().map(|((target, code, topic), (count, attempt))| {
        let predicted = format!("deliver, attempt ≤ {attempt}");
        let [code, topic, target] = [code, topic, target].map(|it| (*it).to_owned());
        [count.to_string(), code, topic, target, predicted]
    });
    let columns = ["count", "failure code", "event type", "target", "predicted"];
    let chosen = (!groups.is_empty()).then(|| table::text(columns, rows));
    let unknown = items.iter().filter(|item| item.ledger.is_none()).count();
    let unknown = (unknown > 0).then(|| {
        format!("not in the ledger: {unknown} · first delivery malformed, parked without an attempt, or for another target than now\n")
    });
    let left_out = plan.content.left_out.iter().map(|left| {
        let examples: Vec<&str> = left.examples.iter().take(3).map(String::as_str).collect();
        let (count, reason) = (left.count, one_line(&left.reason));
        format!("left out: {count} · {reason} ({})\n", one_line(&examples.join(", ")))
    });
    chosen.into_iter().chain(unknown).chain(left_out).collect()
}

pub(super) fn dead_letters(count: usize) -> String {
    match count {
        1 => "1 dead letter".to_owned(),
        _ => format!("{count} dead letters"),
    }
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
