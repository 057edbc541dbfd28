//! `report`: the counts of the ledger's events.

mod show;

use std::path::PathBuf;

use genesys_replay_cli::app;
use genesys_replay_cli::operator::plan::Selection;
use genesys_replay_cli::operator::report;
use genesys_replay_cli::operator::report::ReportScope;

use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files::Replaceable;
use crate::{files, terminal};

/// Count the events by status, category, failure code, target and attempts.
///
/// Reads the whole table, which costs read capacity, and the archived events without a ledger item (malformed messages).
/// The success rate is the share of delivered events among both. Exit code 1: there are findings, which are events that were rejected
/// without an archive (FAILED), events whose worker stopped, or items that this version cannot read (UNKNOWN).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay report --function genesys-replay
  genesys-replay report --since 24h --html report.html
  genesys-replay report --output json | jq .success_rate")]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The number of table segments that are read concurrently.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    segments: u32,
    /// Also write the report as one self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl ReportArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let now = context.clock.now();
        let settings = context.settings().await?;
        let SelectionArgs { since, until, .. } = self.selection;
        // Without its times, because a report compares them with both times of an item.
        let selection = Selection { since: None, until: None, ..self.selection.selection()? };
        let scope = ReportScope {
            segments: self.segments,
            since,
            until,
            selection: &selection,
            target: &settings.target,
            remember: settings.remember,
            now,
        };
        if settings.archive.is_none() && !selection.body.is_empty() {
            Err(UserError::new(
                "the ledger does not have the content of events, and the function has no archive",
                "leave --where out, or compare the messages in the queue: genesys-replay diagnose --where",
            ))?;
        }
        let (aws, table) = (context.aws().await?, settings.table);
        let ledger = app::ledger(aws, &table);
        let archive = settings.archive.map(|it| (app::archive(aws, &it.bucket), it.prefix));
        let archive = archive.as_ref().map(|(reader, prefix)| (reader, prefix.as_str()));
        let report = report::report(&ledger, archive, &scope, &context.progress).await?;
        if let Some(file) = &self.html {
            let page = show::page(&report, &table, &scope).render();
            files::write_whole(file, Replaceable::Page, page.as_bytes())?;
            terminal::say(&format!("written: {}", file.display()));
        }
        let text = || terminal::fitted(&show::text(&report, &table, &scope));
        context.print(text, || show::json(&report, &scope))?;
        Ok(ExitStatus::of_findings(report.has_findings()))
    }
}
