//! `genesys replay`: requests that Genesys Cloud sends failed events again.

use std::io;
use std::path::PathBuf;

use clap::ValueEnum;
use genesys_replay::genesys::GenesysError;
use genesys_replay_cli::operator::request_replay::{
    MAX_EVENTS_PER_REQUEST, ReplayRequestSummary, plan, request_replay,
};
use serde_json::{Value, json};

use super::import::{genesys, subscription_id};
use super::selection_arguments::read_ids;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::terminal;
use crate::terminal::one_line;

/// Requests to Genesys Cloud itself.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  genesys-replay genesys replay --subscription 3f2a… --ids failed-ids.txt")]
pub(crate) enum GenesysCommand {
    Replay(ReplayArgs),
}

/// The former name of `genesys replay`.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct FormerReplayArgs {
    #[arg(long)]
    via: Via,
    #[command(flatten)]
    replay: ReplayArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Via {
    Genesys,
}

impl FormerReplayArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let Via::Genesys = self.via;
        self.replay.run(context).await
    }
}

/// Request failed events from Genesys Cloud again (legacy sample API).
///
/// Posts to /api/v2/analytics/event-bridge/replay, at most 100 ids in a request, each id once. A refused request is
/// reported, and the next requests follow. Genesys Cloud gives the events new ids, so the ledger does not follow them.
/// Without --yes nothing is requested. To replay dead letters of the queue or the archive, use plan and apply.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay genesys replay --subscription 3f2a… --ids failed-ids.txt
  genesys-replay genesys replay --subscription 3f2a… --ids failed-ids.txt --yes
  genesys-replay genesys replay --subscription 3f2a… --id bb8d0e80 --id c1f0a4d2 --yes")]
pub(crate) struct ReplayArgs {
    /// The subscription of the failed events.
    #[arg(long, value_name = "ID")]
    subscription: String,
    /// An event's id; may be given several times.
    #[arg(long, value_name = "ID", required_unless_present = "ids")]
    id: Vec<String>,
    /// A file with one id per line; - is stdin.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Send the requests; otherwise only print them.
    #[arg(long)]
    yes: bool,
}

impl ReplayArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let subscription = subscription_id(&self.subscription)?;
        let listed = self.ids.as_deref().map(read_ids).transpose()?;
        let mut given = listed.unwrap_or_default();
        given.extend(self.id.iter().cloned());
        given.iter().try_for_each(|id| check(id))?;
        let (ids, mut done) = plan(given);
        if ids.is_empty() {
            Err(UserError::new("no event ids were given", "write one id per line, or use --id"))?;
        }
        if !self.yes {
            done.left = 0;
            self.print(context, &done)?;
            return Ok(ExitStatus::Success);
        }
        terminal::say(
            "warning: Genesys Cloud may give the events new ids, so they are not followed in the ledger",
        );
        let genesys = genesys(context).await?;
        let stop = context.interrupts.listen();
        let progress = &context.progress;
        let ended =
            request_replay(&genesys, &subscription, &ids, &mut done, progress, stop.stop()).await;
        self.print(context, &done)?;
        let first_left = ids.len() - usize::try_from(done.left)?;
        if ended.is_err() {
            let request = first_left / MAX_EVENTS_PER_REQUEST + 1;
            terminal::say(&format!("request {request} of {} failed", done.requests));
        }
        if let Some(id) = ids.get(first_left) {
            terminal::say(&format!(
                "{} accepted, {} without an answer, starting with {id}",
                done.accepted, done.left
            ));
        }
        ended.map_err(error)?;
        Ok(if done.left > 0 {
            ExitStatus::Interrupted
        } else {
            ExitStatus::of_findings(done.failed > 0)
        })
    }

    fn print(&self, context: &Context, done: &ReplayRequestSummary) -> io::Result<()> {
        context.print(|| terminal::fitted(&text(done, self.yes)), || json(done, self.yes))
    }
}

/// Refuses a name or a text in the place of an id.
fn check(id: &str) -> Result<(), UserError> {
    if id.contains(['/', '\\', ' ']) || id.len() > 256 {
        return Err(UserError::new(
            format!("{id:.80} is not an event id"),
            "write one id per line in a file, and name the file with --ids",
        ));
    }
    Ok(())
}

fn error(cause: GenesysError) -> anyhow::Error {
    if cause != GenesysError::NotFound {
        return cause.into();
    }
    UserError::new(
        "Genesys Cloud does not have this subscription, or not this endpoint",
        "check the id; this endpoint only exists in the legacy sample API: use plan and apply, or import, instead",
    )
    .into()
}

fn text(done: &ReplayRequestSummary, yes: bool) -> String {
    let ReplayRequestSummary { ids, duplicates, requests, accepted, failed, .. } = done;
    if !yes {
        return format!(
            "would request {ids} events in {requests} requests ({duplicates} duplicate ids left out)\nnothing was requested: add --yes\n"
        );
    }
    let refused = done.refused.iter();
    let refused = refused.map(|(request, why)| {
        format!("request {request} of {requests}: {}\n", one_line(&why.to_string()))
    });
    let named = done.failed_ids.iter();
    let named = named.map(|id| format!("failed: {}\n", one_line(id)));
    let lines: String = refused.chain(named).collect();
    format!(
        "{accepted} of {ids} events accepted, {failed} failed ({duplicates} duplicate ids left out)\n{lines}"
    )
}

fn json(done: &ReplayRequestSummary, yes: bool) -> Value {
    let refused = done
        .refused
        .iter()
        .map(|(request, why)| json!({ "request": request, "why": why.to_string() }));
    let mut document = json!(done);
    document["dry_run"] = json!(!yes);
    document["refused_requests"] = refused.collect();
    document
}
