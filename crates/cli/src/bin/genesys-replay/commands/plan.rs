//! `plan`: writes a frozen list of dead letters that are sent again.

use std::collections::BTreeMap;

use clap::builder::NonEmptyStringValueParser;
use genesys_replay::destination::{Arn, OriginalTargets, Redirects, ReplayTarget};
use genesys_replay_cli::app;
use genesys_replay_cli::operator::plan::{
    Plan, PlanBuilder, PlanContent, PlanContext, PlanKind, PlanSource, Selection,
};
use genesys_replay_version::PROGRAM;
use serde_json::json;

use super::place_arguments::PlaceArgs;
use super::plan_output::PlanOutputArgs;
use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::terminal::one_line;
use crate::{table, terminal};

/// Select rejected dead letters and write a plan for their replay. Sends nothing.
///
/// The plan is a frozen list with a hash. It is shared in the bucket of the archive, or written to a file. `apply` sends only the listed events, and refuses the plan if the ledger item
/// of one has changed meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # After an outage of the CRM, from the archive:
  genesys-replay plan --function replay --code EXHAUSTED --target 'https://crm.example/*' --since 6h --reason 'CRM outage'
  # Parked messages of a function without an archive:
  genesys-replay plan --function replay --from parking --reason 'table was missing'
  # Events of one queue of the contact centre, since yesterday afternoon:
  genesys-replay plan --function replay --where '$..queueId=q-1' --since 'yesterday 16:00' --reason 'ticket 4712'
  # Messages that wait in the queue of a paused function; then apply --to target:
  genesys-replay plan --function replay --from queue --code TARGET_UNAVAILABLE --reason 'CRM is back'
  # Some events by their ids, one per line:
  genesys-replay plan --function replay --ids ids.txt --reason 'ticket 4711'")]
pub(crate) struct PlanArgs {
    /// The reason, for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    source: PlaceArgs,
    #[command(flatten)]
    conditions: SelectionArgs,
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
    #[command(flatten)]
    output: PlanOutputArgs,
    /// The name of the plan's author. The plan also has the author's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

const REDIRECT_HINT: &str = "give the old and the new ARN: --redirect <old ARN>=<new ARN>";

impl PlanArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let output = self.output.place(context, "plan.json").await?;
        let settings = context.settings().await?;
        let selection = Selection {
            known_to_ledger: self.source.is_ledger(),
            open: self.open,
            forgotten: self.forgotten,
            ..self.conditions.selection()?
        };
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
        let source = self.source.collect(context, &mut builder, &queue, settings.archive).await?;
        if !self.deliver_again_to_new_target {
            builder.leave_out_delivered_elsewhere(&context.progress).await?;
        }
        let considered = builder.considered();
        let (items, left_out) = builder.finish().await?;
        let plan = Plan::of(PlanContent {
            created_at: context.clock.now().to_string(),
            created_by: context.author(self.by.as_deref()).await?,
            written_by: Some(PROGRAM.to_owned()),
            reason: self.reason.clone(),
            kind: PlanKind::Replay,
            edit_of: None,
            source,
            queue_arn: queue.arn().to_owned(),
            selection,
            items,
            left_out,
        });
        let (count, shown) = (plan.content.items.len(), output.shown(&plan));
        if count > 0 {
            output.write(&plan).await?;
        }
        let named = output.written(&plan).argument();
        context.print(
            || {
                let place = if count > 0 { format!(", in {shown}") } else { String::new() };
                let (id, letters) = (&plan.id, dead_letters(count));
                let summary = summary(&plan);
                terminal::fitted(&format!("{id}: {letters} to send again{place}\n{summary}"))
            },
            || {
                json!({
                    "plan": named,
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
            "nothing was sent; check the plan, then run: genesys-replay apply {named}{}",
            context.common_arguments()
        ));
        Ok(ExitStatus::Success)
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
        let predicted = match plan.content.kind {
            PlanKind::Replay => format!("deliver, attempt ≤ {attempt}"),
            kind @ (PlanKind::Discard | PlanKind::Restore) => kind.as_str().to_owned(),
        };
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
