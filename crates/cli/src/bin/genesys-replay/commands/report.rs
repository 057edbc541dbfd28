//! `report`: the counts of the ledger's events.

mod show;

use std::path::PathBuf;

use genesys_replay::clock::Timestamp;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::report;
use genesys_replay_cli::operator::report::ReportScope;

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::files::Replaceable;
use crate::time_argument::parse_time;
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
    /// Only events that were first seen, or whose work ended last, since then: 24h, 7days or an RFC 3339 time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
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
        let (segments, since, remember) = (self.segments, self.since, settings.remember);
        let scope = ReportScope { segments, since, remember, now };
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
