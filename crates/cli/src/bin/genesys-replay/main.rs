//! The operator's command: examines the dead-letter queue, and replays events by a plan.
//!
//! Data goes to stdout, messages to stderr. One file per command; the use cases are in the library's `operator`.

mod arguments;
mod audit_file;
mod commands;
mod context;
mod cursor_file;
mod dispatch;
mod exit;
mod files;
mod global_arguments;
mod interrupt;
mod plan_place;
mod table;
mod terminal;
mod time_argument;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(dispatch::run(arguments)),
        Err(error) => Err(error.into()),
    };
    exit::code(ended)
}
