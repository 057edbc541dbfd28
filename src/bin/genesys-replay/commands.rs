//! One file per command: its arguments, and what it does with them.

pub(crate) mod apply;
pub(crate) mod completions;
pub(crate) mod diagnose;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod reconcile;
pub(crate) mod replay;
pub(crate) mod report;

use crate::arguments::{Arguments, Command};
use crate::context::Context;
use crate::exit::Ended;

/// Does what the command line asks for.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Ended> {
    let context = Context::new(arguments.common);
    match arguments.command {
        Command::Doctor(command) => command.run(&context).await,
        Command::Diagnose(command) => Box::pin(command.run(&context)).await,
        Command::Plan(command) => command.run(&context).await,
        Command::Edit(command) => command.run(&context).await,
        Command::Apply(command) => Box::pin(command.run(&context)).await,
        Command::Report(command) => command.run(&context).await,
        Command::Reconcile(command) => command.run(&context).await,
        Command::Import(command) => command.run(&context).await,
        Command::Replay(command) => command.run(&context).await,
        Command::Explain(command) => command.run(&context),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
