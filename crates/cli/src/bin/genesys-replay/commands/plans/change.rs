//! `plans take-over` and `plans abort`: the changes to the state of a shared plan.

use clap::builder::NonEmptyStringValueParser;
use genesys_replay_cli::operator::apply::FlushError;
use genesys_replay_cli::operator::plans::{RunState, abort, take_over};
use serde_json::json;

use super::{next_step, state_text};
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::plan_place::SharedPlan;
use crate::terminal;
use crate::terminal::one_line;

/// Continue the plan of a colleague: the audit is kept, and apply --resume continues it. Changes nothing without --yes.
///
/// A running process of the colleague stops before it sends more. Without --force, the plan is taken over only when its
/// lease is over: five minutes after the last sign of that process.
#[derive(Debug, clap::Args)]
pub(crate) struct TakeOverArgs {
    #[command(flatten)]
    change: StateArgs,
}

/// Mark a plan as aborted, so that apply refuses it. Deletes nothing. Changes nothing without --yes.
#[derive(Debug, clap::Args)]
pub(crate) struct AbortArgs {
    /// The reason, for later readers.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    change: StateArgs,
}

#[derive(Debug, clap::Args)]
struct StateArgs {
    /// The id of the plan; its begin is enough.
    id: String,
    /// Also while a process holds the plan. That process stops before it sends more.
    #[arg(long)]
    force: bool,
    /// Change the state; otherwise only print the change.
    #[arg(long)]
    yes: bool,
    /// The operator's name, for the audit. The audit also has the operator's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

/// The change of a state.
enum StateChange<'a> {
    TakeOver,
    Abort { reason: &'a str },
}

impl TakeOverArgs {
    pub(super) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        self.change.run(context, StateChange::TakeOver).await
    }
}

impl AbortArgs {
    pub(super) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        self.change.run(context, StateChange::Abort { reason: &self.reason }).await
    }
}

impl StateArgs {
    async fn run(&self, context: &Context, change: StateChange<'_>) -> anyhow::Result<ExitStatus> {
        let plan = SharedPlan::find(context, &self.id).await?;
        let chain = plan.chain().await?;
        let by = context.author(self.by.as_deref()).await?;
        let (id, before) = (&plan.id, &chain.state);
        let (name, past) = match change {
            StateChange::TakeOver => ("take over", "taken over"),
            StateChange::Abort { .. } => ("abort", "aborted"),
        };
        self.check(id, before, &change, &by, context)?;
        let held = state_text(before);
        if self.yes {
            let mut journal = plan.journal(context, &chain, &by);
            let clock = context.clock.as_ref();
            let from = before.lease().map_or("", |lease| lease.by.as_str());
            match change {
                StateChange::TakeOver => take_over(&mut journal, &by, from, clock).await,
                StateChange::Abort { reason } => abort(&mut journal, &by, reason, clock).await,
            }
            .map_err(changed_meanwhile)?;
        }
        let after = plan.chain().await?.state;
        let next = next_step(id, &after, false, &context.common_arguments());
        context.print(
            || {
                let text = if self.yes {
                    format!("{id} is {past}; it was {held}")
                } else {
                    format!("would {name} {id}, which is {held}")
                };
                terminal::fitted(&(one_line(&text) + "\n"))
            },
            || {
                json!({
                    "id": id,
                    "by": by,
                    "before": before,
                    "state": after,
                    "applied": self.yes,
                    "next": next,
                })
            },
        )?;
        terminal::say(&if self.yes {
            format!("next: {next}")
        } else {
            "nothing was changed: add --yes".to_owned()
        });
        Ok(ExitStatus::Success)
    }

    /// Refuses a change that has no effect, or that a lease does not allow.
    fn check(
        &self,
        id: &str,
        state: &RunState,
        change: &StateChange<'_>,
        by: &str,
        context: &Context,
    ) -> Result<(), UserError> {
        let common = context.common_arguments();
        let refused =
            |remedy: String| Err(UserError::new(format!("{id} is {}", state_text(state)), remedy));
        match (state, change) {
            (RunState::Aborted { .. }, _) => {
                refused("make a new plan: genesys-replay plan".to_owned())
            }
            (RunState::Superseded { newer, .. }, _) => {
                refused(format!("show the newer plan: genesys-replay plans show {newer}{common}"))
            }
            (RunState::New, StateChange::TakeOver) => {
                refused(format!("nobody holds it: genesys-replay apply {id} --yes{common}"))
            }
            (RunState::Ended { .. }, StateChange::TakeOver) => refused(format!(
                "nobody holds it: genesys-replay apply {id} --yes --resume{common}"
            )),
            (RunState::TakenOver(lease), StateChange::TakeOver) if lease.by == by => {
                refused(format!("you hold it: genesys-replay apply {id} --yes --resume{common}"))
            }
            (RunState::Running(lease) | RunState::TakenOver(lease), _)
                if !lease.is_over && !self.force =>
            {
                refused(format!(
                    "wait until {}, or add --force: that process stops before it sends more",
                    lease.until
                ))
            }
            (
                RunState::New
                | RunState::Running(_)
                | RunState::TakenOver(_)
                | RunState::Ended { .. },
                _,
            ) => Ok(()),
        }
    }
}

fn changed_meanwhile(error: FlushError) -> anyhow::Error {
    match error {
        FlushError::NotStored(error) => error.into(),
        error @ (FlushError::Superseded { .. } | FlushError::TooSlow) => {
            UserError::new(error.to_string(), "run the command again").into()
        }
    }
}
