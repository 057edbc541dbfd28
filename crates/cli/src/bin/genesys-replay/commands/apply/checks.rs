//! The checks before a plan is applied.

use genesys_replay::destination::ReplayTarget;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::apply::{Drift, History, drift};
use genesys_replay_cli::operator::plan::{Plan, PlanItem, PlanSource};

use super::super::plan::dead_letters;
use super::output::MAX_NAMED;
use crate::context::Context;
use crate::exit::UserError;
use crate::plan_place::PlanPlace;
use crate::terminal;

/// Checks that the plan was begun before, if the run is a resume.
pub(in crate::commands) async fn resume(
    place: &PlanPlace,
    plan: &Plan,
    resume: bool,
) -> anyhow::Result<()> {
    if resume && !place.was_begun().await? {
        let audit = place.audit();
        Err(UserError::new(
            format!("{} was not applied before: {audit} does not exist", plan.id),
            "put the audit file back beside the plan; without an earlier run, omit --resume",
        ))?;
    }
    Ok(())
}

/// Checks that a run may begin or resume after these earlier runs. A resume keeps their direction, because both
/// directions at once could not be followed.
pub(in crate::commands) fn history(
    plan: &Plan,
    history: &History,
    resume: bool,
    direct: bool,
) -> Result<(), UserError> {
    let Some(hash) = &history.hash else {
        return Ok(());
    };
    let (what, remedy) = if *hash != plan.hash {
        (
            "the audit file beside the plan belongs to another plan".to_owned(),
            "move the audit file away, or rename the plan",
        )
    } else if !resume {
        (format!("{} has an earlier run", plan.id), "add --resume to resume it")
    } else {
        match history.direct.unwrap_or_default() {
            begun if begun == direct => return Ok(()),
            true => (
                "the earlier run sends directly to the target".to_owned(),
                "resume with --to target",
            ),
            false => {
                ("the earlier run sends to the queue".to_owned(), "resume without --to target")
            }
        }
    };
    Err(UserError::new(what, remedy))
}

/// Returns the refusal for a function that does not drain the plan's queue now; `None` without a named function.
pub(super) async fn paused(context: &Context, plan: &Plan) -> anyhow::Result<Option<UserError>> {
    let Some(function) = context.function().await? else {
        return Ok(None);
    };
    let planned = &plan.content.queue_arn;
    let mapping = function.mappings.iter().find(|it| it.queue_arn == *planned);
    Ok(mapping.filter(|it| it.state.is_off()).map(|mapping| {
        let (queue, state) = (mapping.queue_name(), mapping.state.as_str());
        let what = format!(
            "{} does not drain {queue}: the event source mapping {} is {state}",
            function.name, mapping.uuid
        );
        let resume = format!("genesys-replay resume{} --yes", context.common_arguments());
        UserError::new(what, format!("{resume}, or deliver from this process: --to target"))
    }))
}

/// Checks that the settings still mean the plan's queue and targets, and that no event has changed since.
pub(super) async fn all(context: &Context, plan: &Plan, history: &History) -> anyhow::Result<()> {
    queue(context, plan).await?;
    let settings = context.settings().await?;
    if let ReplayTarget::Fixed(target) = settings.target {
        let elsewhere = |item: &&PlanItem| item.target_key() != target.key_part();
        if let Some(item) = plan.content.items.iter().find(elsewhere) {
            let (id, planned) = (item.event_id(), &item.target);
            Err(UserError::new(
                format!("{id} was planned for {planned}, and would go to {target} now"),
                "restore REPLAY_TARGET (or name the function), or make a new plan",
            ))?;
        }
    }
    ledger(context, plan, history).await
}

/// Checks that the named queue or function is that of the plan.
pub(in crate::commands) async fn queue(context: &Context, plan: &Plan) -> anyhow::Result<()> {
    let planned = &plan.content.queue_arn;
    if context.queue_name().is_some() || context.function_name().is_some() {
        let queue = context.queue().await?;
        if queue.arn() != planned {
            Err(UserError::new(
                format!("the plan is for the queue {planned}, not for {}", queue.arn()),
                "name the plan's queue or function, or make a new plan",
            ))?;
        }
    }
    Ok(())
}

/// Checks that no event of the plan has changed in the ledger since.
pub(in crate::commands) async fn ledger(
    context: &Context,
    plan: &Plan,
    history: &History,
) -> anyhow::Result<()> {
    let settings = context.settings().await?;
    let ledger = app::ledger(context.aws().await?, &settings.table);
    let drifted = drift(plan, history, &ledger, &context.progress).await?;
    if drifted.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} of {} have changed in the ledger since the plan was made",
        drifted.len(),
        dead_letters(plan.content.items.len()),
    );
    match plan.content.source {
        // The function receives messages of the queue meanwhile. The run compares each of them again, and leaves changed
        // ones out.
        PlanSource::Queue { .. } => {
            terminal::say(&format!("warning: {what}, and are left out"));
            Ok(())
        }
        PlanSource::Archive { .. } | PlanSource::Parking { .. } => {
            let remedy = "make a new plan, which leaves out events that were delivered meanwhile";
            let line = |drift: &Drift| format!("{}: {}", drift.shown, drift.change);
            let shown = drifted.iter().take(MAX_NAMED).map(line).collect();
            Err(UserError::new(what, remedy).with_details(shown).into())
        }
    }
}
