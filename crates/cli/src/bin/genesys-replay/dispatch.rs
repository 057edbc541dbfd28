//! Dispatch from the command line to the command.

use clap::CommandFactory;

use crate::arguments::{Arguments, Command};
use crate::commands::genesys_replay::GenesysCommand;
use crate::context::Context;
use crate::exit::ExitStatus;

/// Runs the command that the command line names.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let context = Context::new(arguments.common);
    match arguments.command {
        Command::Setup(command) => Box::pin(command.run(&context)).await,
        Command::Doctor(command) => command.run(&context).await,
        Command::Status(command) => Box::pin(command.run(&context)).await,
        Command::Pause(command) => command.run(&context).await,
        Command::Resume(command) => command.run(&context).await,
        Command::Diagnose(command) => Box::pin(command.run(&context)).await,
        Command::Plan(command) => command.run(&context).await,
        Command::Edit(command) => command.run(&context).await,
        Command::Apply(command) => Box::pin(command.run(&context)).await,
        Command::Plans(command) => Box::pin(command.run(&context)).await,
        Command::History(command) => Box::pin(command.run(&context)).await,
        Command::Trace(command) => Box::pin(command.run(&context)).await,
        Command::Discard(command) => Box::pin(command.run(&context)).await,
        Command::Restore(command) => Box::pin(command.run(&context)).await,
        Command::Report(command) => command.run(&context).await,
        Command::Reconcile(command) => command.run(&context).await,
        Command::Import(command) => command.run(&context).await,
        Command::Genesys(GenesysCommand::Replay(command)) => command.run(&context).await,
        Command::Replay(command) => command.run(&context).await,
        Command::Explain(command) => command.run(&context),
        Command::Completions(command) => command.run(Arguments::command()),
        Command::Man(command) => command.run(Arguments::command()),
    }
}
