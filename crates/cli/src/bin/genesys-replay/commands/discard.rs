//! `discard`: closes events for good.

use clap::builder::NonEmptyStringValueParser;
use genesys_replay_cli::operator::plan::{ClosingKind, Selection};

use super::close::{self, ClosingPlan};
use super::place_arguments::PlaceArgs;
use super::plan_output::PlanOutputArgs;
use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::ExitStatus;

/// Close events for good, with a reason: nothing delivers them any more. Writes only a plan without --yes.
///
/// The dead letter is moved to discarded/ in the archive's bucket, and the ledger has the event as DISCARDED. Messages of the
/// event are then acknowledged without a delivery. Delivered events, and events that a worker holds, are left out. Restore
/// takes a discard back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Print the selected events and make a plan:
  genesys-replay discard --function replay --code NOT_AN_EVENT --reason 'test messages'
  # Then discard them:
  genesys-replay apply plan-2026... --function replay --yes
  # Some parked messages by their ids, at once:
  genesys-replay discard --function replay --from parking --ids ids.txt --reason 'ticket 4711' --yes")]
pub(crate) struct DiscardArgs {
    /// The reason, for the ledger and for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    source: PlaceArgs,
    #[command(flatten)]
    conditions: SelectionArgs,
    /// Also archived events that are open in the ledger, although another message may still carry them.
    #[arg(long)]
    open: bool,
    /// Discard at once; otherwise only write the plan.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: PlanOutputArgs,
    /// The operator's name, for plan, audit and ledger. They also have the operator's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

impl DiscardArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let selection = Selection {
            known_to_ledger: self.source.is_ledger(),
            open: self.open,
            ..self.conditions.selection()?
        };
        let draft = ClosingPlan {
            kind: ClosingKind::Discard,
            reason: &self.reason,
            by: self.by.as_deref(),
            output: (&self.output, "discard.json"),
            yes: self.yes,
            source: Some(&self.source),
            prefix: None,
            selection,
        };
        close::run(context, draft).await
    }
}
