//! `plan`: writes a frozen list of dead letters that are sent again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use genesys_replay::destination::{Arn, OriginalTargets, Redirects, ReplayTarget};
use genesys_replay::queue::Redrive;
use genesys_replay_cli::app;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::plan::{
    CollectError, Plan, PlanBuilder, PlanContent, PlanContext, PlanSource, Selection,
};
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::receive_cost::ReceiveCost;
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_settings::ArchiveSettings;
use genesys_replay_version::PROGRAM;
use serde_json::json;

use super::selection_arguments::SelectionArguments;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files::Replaceable;
use crate::terminal::one_line;
use crate::{files, table, terminal};

/// Select rejected dead letters and write a plan for their replay. Sends nothing.
///
/// The plan is a frozen list with a hash. `apply` sends only the listed events, and refuses the plan if the ledger item
/// of one has changed meanwhile.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
#[command(after_help = "\
Examples:
  # After an outage of the CRM, from the archive:
  genesys-replay plan --function replay --code EXHAUSTED --target 'https://crm.example/*' --since 6h --reason 'CRM outage'
  # Parked messages of a function without an archive:
  genesys-replay plan --function replay --from parking --reason 'table was missing'
  # Events of one queue of the contact centre, since yesterday afternoon:
  genesys-replay plan --function replay --where '$..queueId=q-1' --since 'yesterday 16:00' --reason 'ticket 4712'
  # Messages that wait in the queue, before the function is enabled again:
  genesys-replay plan --function replay --from queue --code TARGET_UNAVAILABLE --reason 'CRM is back'
  # Some events by their ids, one per line:
  genesys-replay plan --function replay --ids ids.txt --reason 'ticket 4711'")]
pub(crate) struct PlanArgs {
    /// The reason, for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// The source: the archive, the queue that the function drains, its parking queue, or the events that the ledger has as
    /// rejected (read from the archive).
    #[arg(long, value_name = "PLACE", default_value = "archive")]
    from: SourceArg,
    /// Read only objects whose keys begin with this; the default is the function's archive prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    #[command(flatten)]
    selection: SelectionArguments,
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
    /// Stop after about this many messages of a queue.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Read the queue although messages reach their last receive.
    #[arg(long)]
    force: bool,
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
    Queue,
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
            SourceArg::Queue => {
                self.collect_from_queue(context, &mut builder, &queue, None).await?
            }
            SourceArg::Parking => {
                let parking = parking_queue(context, &queue).await?;
                self.collect_from_queue(context, &mut builder, &queue, Some(&parking)).await?
            }
            SourceArg::Archive | SourceArg::Ledger => {
                self.collect_from_archive(context, &mut builder, settings.archive).await?
            }
        };
        if !self.deliver_again_to_new_target {
            builder.leave_out_delivered_elsewhere(&context.progress).await?;
        }
        let considered = builder.considered();
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
            let place = match &plan.content.source {
                PlanSource::Archive { bucket, prefix } => format!("below s3://{bucket}/{prefix}"),
                PlanSource::Queue { queue_arn } | PlanSource::Parking { queue_arn } => {
                    format!("in {}", Arn::resource_of(queue_arn))
                }
            };
            let selected: u64 = plan.content.left_out.iter().map(|it| it.count).sum();
            terminal::say(&format!(
                "nothing to send, and no plan was written: {considered} dead letters were read {place}, {selected} selected and left out{}",
                window(&plan.content.selection)
            ));
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

    /// Collects the messages of the queue, or of its parking queue.
    async fn collect_from_queue(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        queue: &SqsReader,
        parking: Option<&SqsReader>,
    ) -> anyhow::Result<PlanSource> {
        let read = parking.unwrap_or(queue);
        let facts = read.facts().await?;
        if facts.fifo {
            context.progress.warn(
                "the queue is FIFO: the plan can contain only the first messages of each group",
            );
        }
        let elsewhere = facts.in_flight + facts.delayed;
        if elsewhere > 0 {
            context.progress.warn(&format!(
                "messages that wait for their next attempt or are in flight, and cannot be received now: about {elsewhere}"
            ));
        }
        let redrive = facts.redrive.clone().filter(|_| parking.is_none());
        let parked = self.parked(context, redrive.as_ref()).await?;
        let mut cost = ReceiveCost::new(facts.redrive, self.force);
        let collected =
            builder.collect_from_queue(read, self.limit, &mut cost, &context.progress).await;
        for line in [cost.shown(), cost.last_receives()].into_iter().flatten() {
            terminal::say(&line);
        }
        collected.map_err(|error| match error {
            CollectError::Aws(error) => anyhow::Error::from(error),
            CollectError::Receives(refusal) => {
                UserError::new(refusal.to_string(), refusal.remedy("--from parking")).into()
            }
        })?;
        if let (Some(before), Some(after)) = (parked, self.parked(context, redrive.as_ref()).await?)
            && after > before
        {
            let count = after - before;
            context.progress.warn(&format!(
                "about {count} messages had no receive left and are in the parking queue now: plan --from parking"
            ));
        }
        let queue_arn = facts.arn;
        Ok(match parking {
            Some(_) => PlanSource::Parking { queue_arn },
            None => PlanSource::Queue { queue_arn },
        })
    }

    /// Returns the approximate number of messages in the parking queue, if reading the queue may add some.
    async fn parked(
        &self,
        context: &Context,
        redrive: Option<&Redrive>,
    ) -> anyhow::Result<Option<u64>> {
        let Some(redrive) = redrive.filter(|_| self.force) else {
            return Ok(None);
        };
        let parking = app::reader(context.aws().await?, &redrive.parking_arn).await?;
        Ok(Some(parking.facts().await?.depth()))
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
        Ok(Selection {
            known_to_ledger: self.from == SourceArg::Ledger,
            open: self.open,
            forgotten: self.forgotten,
            ..self.selection.selection()?
        })
    }
}

/// Returns the parking queue of a queue.
async fn parking_queue(context: &Context, queue: &SqsReader) -> anyhow::Result<SqsReader> {
    let facts = queue.facts().await?;
    let redrive = facts.redrive.ok_or_else(|| {
        UserError::new(
            format!("the queue {} has no parking queue", facts.arn),
            "give the queue a redrive policy, as in template.yaml",
        )
    })?;
    Ok(app::reader(context.aws().await?, &redrive.parking_arn).await?)
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

/// Returns the times of a selection, as they were understood.
fn window(selection: &Selection) -> String {
    let since = selection.since.iter().map(|since| format!(" since {since}"));
    let until = selection.until.iter().map(|until| format!(" until {until}"));
    let times: String = since.chain(until).collect();
    if times.is_empty() { times } else { format!("; selected:{times}") }
}

pub(super) fn dead_letters(count: usize) -> String {
    match count {
        1 => "1 dead letter".to_owned(),
        _ => format!("{count} dead letters"),
    }
}
