//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::exit::EXIT_CODES;

/// Look at the dead-letter queue of a Genesys Cloud integration, understand it, and replay it on purpose.
///
/// Settings are those of the replay function: name the function with --function, or set the same variables in the
/// environment. Data goes to stdout, talk to stderr.
#[derive(Debug, Parser)]
#[command(name = "genesys-replay", version, after_help = EXIT_CODES, max_term_width = 120)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// The AWS profile.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The AWS region.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Another endpoint for all of AWS, such as a local stack.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The replay function, by name or ARN: its settings and its queue are used.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "GENESYS_REPLAY_FUNCTION"
    )]
    pub(crate) function: Option<String>,
    /// The queue that the function drains, by URL, ARN or name.
    #[arg(long, global = true, value_name = "QUEUE", env = "REPLAY_QUEUE_URL")]
    pub(crate) queue: Option<String>,
    /// How data is written to stdout.
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Doctor(commands::doctor::Doctor),
    Diagnose(commands::diagnose::Diagnose),
    Plan(commands::plan::Plan),
    Edit(commands::edit::Edit),
    Apply(commands::apply::Apply),
    Report(commands::report::Report),
    Reconcile(commands::reconcile::Reconcile),
    Import(commands::import::Import),
    Replay(commands::replay::Replay),
    Explain(commands::explain::Explain),
    Completions(commands::completions::Completions),
    Man(commands::man::ManPages),
}
