//! The command line.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::commands::genesys_replay::{FormerReplayArgs, GenesysCommand};
use crate::commands::plans::PlansCommand;
use crate::exit::EXIT_CODES;
use crate::global_arguments::GlobalArgs;

/// Inspect the dead-letter queue of a Genesys Cloud integration and replay its events.
///
/// Settings are those of the replay function: name the function with --function, or set the same variables in the
/// environment. Data goes to stdout, messages to stderr.
#[derive(Debug, Parser)]
#[command(name = "genesys-replay", version = genesys_replay_version::RELEASE, after_help = EXIT_CODES, max_term_width = 120)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(commands::setup::SetupArgs),
    Doctor(commands::doctor::DoctorArgs),
    Status(commands::status::StatusArgs),
    Pause(commands::pause::PauseArgs),
    Resume(commands::pause::ResumeArgs),
    Diagnose(commands::diagnose::DiagnoseArgs),
    Plan(commands::plan::PlanArgs),
    Edit(commands::edit::EditArgs),
    Apply(commands::apply::ApplyArgs),
    #[command(subcommand)]
    Plans(PlansCommand),
    History(commands::history::HistoryArgs),
    Trace(commands::trace::TraceArgs),
    Discard(commands::discard::DiscardArgs),
    Restore(commands::restore::RestoreArgs),
    Report(commands::report::ReportArgs),
    Reconcile(commands::reconcile::ReconcileArgs),
    Import(commands::import::ImportArgs),
    #[command(subcommand)]
    Genesys(GenesysCommand),
    Replay(FormerReplayArgs),
    Explain(commands::explain::ExplainArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}
