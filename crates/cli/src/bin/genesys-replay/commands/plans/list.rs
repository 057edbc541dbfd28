//! `plans list`: one line for each shared plan.

use genesys_replay_cli::operator::plans::{Catalog, ListedPlan, listed};
use genesys_replay_cli::plan_store::{PLANS, PlanStore};
use serde_json::{Value, json};

use super::state_text;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::plan_place::{plan_store, plans_error};
use crate::terminal::one_line;
use crate::{table, terminal};

/// List the shared plans with their progress, the oldest first. Changes nothing.
///
/// Exit code 1: a plan cannot be read. Objects that are not part of a plan are named in a warning.
#[derive(Debug, clap::Args)]
pub(crate) struct PlansListArgs {}

impl PlansListArgs {
    pub(super) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let store = plan_store(context).await?;
        let catalog = Catalog::read(&store, "").await.map_err(plans_error)?;
        let (mut plans, mut unreadable) = (Vec::new(), Vec::new());
        for (id, plan) in listed(&store, &catalog).await {
            match plan {
                Ok(plan) => plans.push(plan),
                Err(error) => unreadable.push((id, error.to_string())),
            }
        }
        context.print(
            || {
                if plans.is_empty() {
                    return format!("no shared plans in {}\n", store.address(PLANS));
                }
                let columns = ["plan", "created", "author", "kind", "settled", "state", "reason"];
                table::text(columns, plans.iter().map(row))
            },
            || {
                let unreadable = unreadable.iter();
                let unreadable = unreadable.map(|(id, why)| json!({ "id": id, "error": why }));
                json!({
                    "plans": plans.iter().map(document).collect::<Vec<Value>>(),
                    "unreadable": unreadable.collect::<Vec<Value>>(),
                    "foreign": catalog.foreign,
                })
            },
        )?;
        for (id, why) in &unreadable {
            terminal::say(&format!("warning: {id} cannot be read: {}", one_line(why)));
        }
        for key in &catalog.foreign {
            let address = one_line(&store.address(key));
            terminal::say(&format!(
                "warning: {address} is not part of a shared plan, and is skipped"
            ));
        }
        Ok(ExitStatus::of_findings(!unreadable.is_empty()))
    }
}

fn row(plan: &ListedPlan) -> [String; 7] {
    let ListedPlan { overview, settled, state } = plan;
    [
        overview.id.clone(),
        overview.created_at.clone(),
        overview.created_by.clone(),
        overview.kind.as_str().to_owned(),
        format!("{settled} of {}", overview.items),
        state_text(state),
        overview.reason.clone(),
    ]
}

fn document(plan: &ListedPlan) -> Value {
    let ListedPlan { overview, settled, state } = plan;
    json!({
        "id": overview.id,
        "created_at": overview.created_at,
        "created_by": overview.created_by,
        "reason": overview.reason,
        "kind": overview.kind,
        "queue": overview.queue_arn,
        "items": overview.items,
        "settled": settled,
        "state": state,
    })
}
