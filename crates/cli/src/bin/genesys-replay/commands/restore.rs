//! `restore`: takes a discard back.

use clap::builder::NonEmptyStringValueParser;
use genesys_replay_cli::operator::plan::ClosingKind;

use super::close::{self, ClosingPlan};
use super::plan_output::PlanOutputArgs;
use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::ExitStatus;

/// Return discarded events to the archive, so that plan selects them again. Writes only a plan without --yes.
///
/// Delivers nothing. An event whose ledger item has expired gets no new item.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Print the selected events and make a plan:
  genesys-replay restore --function replay --id 8a1b... --reason 'discarded by mistake'
  # Restore at once, then send again:
  genesys-replay restore --function replay --ids ids.txt --reason 'ticket 4711' --yes
  genesys-replay plan --function replay --ids ids.txt --reason 'ticket 4711'")]
pub(crate) struct RestoreArgs {
    /// The reason, for the ledger and for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Read only discarded objects whose keys in the archive began with this, as given to discard; the default is the
    /// function's archive prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    #[command(flatten)]
    conditions: SelectionArgs,
    /// Restore at once; otherwise only write the plan.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: PlanOutputArgs,
    /// The operator's name, for plan, audit and ledger. They also have the operator's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

impl RestoreArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let draft = ClosingPlan {
            kind: ClosingKind::Restore,
            reason: &self.reason,
            by: self.by.as_deref(),
            output: (&self.output, "restore.json"),
            yes: self.yes,
            source: None,
            prefix: self.prefix.as_deref(),
            selection: self.conditions.selection()?,
        };
        close::run(context, draft).await
    }
}
