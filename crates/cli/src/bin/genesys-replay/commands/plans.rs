//! `plans`: the plans that colleagues share in the bucket of the archive.

mod change;
mod list;
mod show;

use genesys_replay_cli::operator::plans::RunState;

use crate::context::Context;
use crate::exit::ExitStatus;

/// List, show, take over and abort the plans in the bucket of the archive.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  genesys-replay plans list --function replay
  genesys-replay plans show plan-20261201 --function replay
  # A colleague went home in the middle of an apply:
  genesys-replay plans take-over plan-20261201 --function replay --yes
  genesys-replay apply plan-20261201 --function replay --resume --yes")]
pub(crate) enum PlansCommand {
    List(list::PlansListArgs),
    Show(show::PlansShowArgs),
    TakeOver(change::TakeOverArgs),
    Abort(change::AbortArgs),
}

impl PlansCommand {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::TakeOver(command) => command.run(context).await,
            Self::Abort(command) => command.run(context).await,
        }
    }
}

/// Returns a state in words.
fn state_text(state: &RunState) -> String {
    let name = state.as_str();
    match state {
        RunState::New => name.to_owned(),
        RunState::Running(lease) | RunState::TakenOver(lease) => {
            let host = lease.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            let until = if lease.is_over { "held until" } else { "held at least until" };
            let (by, since) = (&lease.by, lease.since);
            format!("{name} by {by}{host} since {since}, {until} {}", lease.until)
        }
        RunState::Ended { by, at, reason } | RunState::Aborted { by, at, reason } => {
            format!("{name} by {by} at {at}: {reason}")
        }
        RunState::Superseded { by, newer } => format!("{name} by {by}: {newer}"),
    }
}

/// Returns the command that continues a plan.
fn next_step(id: &str, state: &RunState, is_settled: bool, common: &str) -> String {
    match state {
        RunState::New => format!("genesys-replay apply {id} --yes{common}"),
        RunState::Ended { .. } if is_settled => "nothing: every dead letter is settled".to_owned(),
        RunState::Ended { .. } | RunState::TakenOver(_) => {
            format!("genesys-replay apply {id} --yes --resume{common}")
        }
        RunState::Running(lease) if lease.is_over => {
            format!("genesys-replay plans take-over {id} --yes{common}")
        }
        RunState::Running(_) => "wait for that process".to_owned(),
        RunState::Aborted { .. } => "make a new plan: genesys-replay plan".to_owned(),
        RunState::Superseded { newer, .. } => format!("genesys-replay plans show {newer}{common}"),
    }
}
