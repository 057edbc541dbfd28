//! `plans show`: one shared plan with its runs.

use genesys_replay_cli::operator::plans::{Catalog, PlanRun, read_plan, runs_of};
use serde_json::json;

use super::{next_step, state_text};
use crate::commands::history::run_text;
use crate::commands::plan;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::plan_place::{SharedPlan, plans_error};
use crate::terminal;
use crate::terminal::one_line;

/// Show a shared plan: its dead letters, its runs, its state and the next step. Changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct PlansShowArgs {
    /// The id of the plan; its begin is enough.
    id: String,
}

impl PlansShowArgs {
    pub(super) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let SharedPlan { store, id } = SharedPlan::find(context, &self.id).await?;
        let plan = read_plan(&store, &id).await.map_err(plans_error)?;
        let catalog = Catalog::read(&store, &id).await.map_err(plans_error)?;
        let folder = catalog.only().map_err(plans_error)?;
        let (runs, chain) = runs_of(&store, folder, catalog.now).await.map_err(plans_error)?;
        let (frozen, state) = (&plan.content, &chain.state);
        let (items, settled) = (frozen.items.len(), chain.history.settled());
        let next = next_step(&id, state, settled >= items, &context.common_arguments());
        context.print(
            || {
                let lines = [
                    ("plan", id.clone()),
                    ("kind", frozen.kind.as_str().to_owned()),
                    ("created", format!("{} by {}", frozen.created_at, frozen.created_by)),
                    ("reason", frozen.reason.clone()),
                    ("queue", frozen.queue_arn.clone()),
                    ("settled", format!("{settled} of {items}")),
                    ("state", state_text(state)),
                    ("next", next.clone()),
                ];
                let lines = lines
                    .iter()
                    .map(|(name, value)| format!("{:9} {}\n", format!("{name}:"), one_line(value)));
                let runs = runs.iter().map(|run| format!("{}\n", run_text(run)));
                let text: String = lines.chain(runs).collect();
                terminal::fitted(&(text + &plan::summary(&plan)))
            },
            || {
                json!({
                    "id": id,
                    "hash": plan.hash,
                    "kind": frozen.kind,
                    "created_at": frozen.created_at,
                    "created_by": frozen.created_by,
                    "reason": frozen.reason,
                    "queue": frozen.queue_arn,
                    "items": items,
                    "left_out": frozen.left_out,
                    "settled": settled,
                    "state": state,
                    "runs": runs.iter().collect::<Vec<&PlanRun>>(),
                    "next": next,
                })
            },
        )?;
        Ok(ExitStatus::Success)
    }
}
