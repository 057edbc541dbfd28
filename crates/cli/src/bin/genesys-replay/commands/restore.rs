//! `restore`: takes a discard back.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use genesys_replay_cli::operator::plan::ClosingKind;

use super::close::{self, ClosingPlan};
use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::ExitStatus;

/// Return discarded events to the archive, so that plan selects them again. Writes only a plan without --yes.
///
/// Delivers nothing. An event whose ledger item has expired gets no new item.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Print the selected events and write restore.json:
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
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "restore.json")]
    out: PathBuf,
    /// The operator's name, for plan, audit and ledger.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
}

impl RestoreArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let draft = ClosingPlan {
            kind: ClosingKind::Restore,
            reason: &self.reason,
            by: &self.by,
            out: &self.out,
            yes: self.yes,
            source: None,
            prefix: self.prefix.as_deref(),
            selection: self.conditions.selection()?,
        };
        close::run(context, draft).await
    }
}
