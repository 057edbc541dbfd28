//! `diagnose`: examines the dead letters in the queue.

mod json_report;
mod payload_folder;
mod text;

use std::io;
use std::path::PathBuf;

use genesys_replay::error::with_causes;
use genesys_replay_cli::app;
use genesys_replay_cli::deployment::functions::DeployedFunction;
use genesys_replay_cli::deployment::source_mapping::MappingState;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::diagnose::report::Rows;
use genesys_replay_cli::operator::diagnose::{
    Diagnose, DiagnoseError, DiagnoseOptions, Diagnosis, DiagnosisEnd, MessageFinding, Sink,
};
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_genesys::GenesysClient;
use tokio_util::sync::CancellationToken;

use super::selection_arguments::SelectionArgs;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files::Replaceable;
use crate::global_arguments::Output;
use crate::interrupt::{self, RELEASING};
use crate::{files, terminal};
use json_report::JsonReport;
use payload_folder::PayloadFolder;

/// Examine the dead letters in the queue without removing any: cause, ledger status and remedy.
///
/// The command receives every message once, holds it until the end, and then makes it visible again. This costs one
/// receive of each message. SQS moves a message without receives left to the parking queue, so the command refuses
/// before that, unless --force is given. While the function's event source mapping is enabled, the function receives
/// messages too, but not those that the command holds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay diagnose --function genesys-replay
  genesys-replay diagnose --function genesys-replay --correlate --html dead-letters.html
  genesys-replay diagnose --function genesys-replay --parking --out parked.json
  genesys-replay diagnose --queue genesys-dlq --limit 50 --save payloads
      # then: curl -H 'Content-Type: application/json' -d @payloads/FILE https://your-target

Exit code 0: there are no dead letters; 1: there are dead letters. The file of records contains payloads, which may
contain personal data. Only you can read the file.")]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
pub(crate) struct DiagnoseArgs {
    /// Examine the parking queue instead, to which the redrive policy moves messages after too many receives.
    #[arg(long)]
    parking: bool,
    /// The maximum number of messages to examine.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Continue although messages reach their last receive.
    #[arg(long)]
    force: bool,
    /// Look up the interactions in Genesys Cloud's analytics; the OAuth client needs analytics:conversationDetail:view.
    #[arg(long)]
    correlate: bool,
    #[command(flatten)]
    selection: SelectionArgs,
    /// The file of records.
    #[arg(long, value_name = "FILE", default_value = "eventbridge_diagnostics.json")]
    out: PathBuf,
    /// Write a page for the browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show payloads on the page; they may contain personal data.
    #[arg(long, requires = "html")]
    payloads: bool,
    /// Write each payload to its own file in this folder, which must be empty or new.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

impl DiagnoseArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let selection = self.selection.selection()?;
        // Open all files before anything is received, so that no receive is wasted.
        let mut outputs = Outputs {
            records: JsonReport::begin(&self.out, context.clock.now())?,
            saved: self.save.as_deref().map(PayloadFolder::begin).transpose()?,
            rows: self.html.as_ref().map(|_| Rows::new(self.payloads)),
        };
        let page = self.html.as_deref();
        let page = page.map(|path| files::draft(path, Replaceable::Page)).transpose()?;
        let variables = context.variables().await?;
        let settings = context.settings().await?;
        let aws = context.aws().await?;
        let analytics = if self.correlate {
            Some(app::genesys_cloud(variables.genesys()?, aws)?)
        } else {
            None
        };
        let reader = self.reader(context).await?;
        let use_case = Diagnose::<_, _, GenesysClient> {
            reader: &reader,
            ledger: &app::ledger(aws, &settings.table),
            conversations: analytics.as_ref(),
            clock: context.clock.as_ref(),
            progress: &context.progress,
        };
        let options = DiagnoseOptions {
            target: &settings.target,
            rules: settings.limits.rules(settings.archive.is_some()),
            selection: &selection,
            now: context.clock.now(),
            limit: self.limit,
            force: self.force,
        };
        if !self.parking
            && let Some(warning) = also_receives(context.function().await?, reader.arn())
        {
            context.progress.warn(&warning);
        }
        let stop = CancellationToken::new();
        let diagnosis = tokio::select! {
            diagnosed = use_case.run(options, &mut outputs, stop.cancelled()) => diagnosed.map_err(refusal)?,
            () = interrupt::twice(&stop, RELEASING) => {
                terminal::say("interrupted twice: messages that are still invisible become visible within two minutes, or within the run time of the command; nothing was written");
                return Ok(ExitStatus::Interrupted);
            }
        };
        if diagnosis.end == DiagnosisEnd::Interrupted {
            terminal::say(&format!(
                "interrupted after {} messages: {} were made visible again, nothing was written",
                diagnosis.total, diagnosis.released.visible
            ));
            return Ok(ExitStatus::Interrupted);
        }
        self.finish(context, outputs, page, &diagnosis)
    }

    async fn reader(&self, context: &Context) -> anyhow::Result<SqsReader> {
        let reader = context.queue().await?;
        if !self.parking {
            return Ok(reader);
        }
        let facts = reader.facts().await?;
        let Some(redrive) = &facts.redrive else {
            Err(UserError::new(
                format!("the queue {} has no parking queue", facts.name()),
                "omit --parking, or give the queue a redrive policy",
            ))?
        };
        let parking = app::reader(context.aws().await?, &redrive.parking_arn).await?;
        Ok(parking.parking_queue_of(&facts.arn))
    }

    fn finish(
        &self,
        context: &Context,
        outputs: Outputs,
        page: Option<tempfile::NamedTempFile>,
        diagnosis: &Diagnosis,
    ) -> anyhow::Result<ExitStatus> {
        for cost in [diagnosis.cost.shown(), diagnosis.cost.last_receives()].into_iter().flatten() {
            terminal::say(&cost);
        }
        outputs.records.finish(diagnosis.total)?;
        terminal::say(&format!("the records: {}", self.out.display()));
        if let Some(saved) = outputs.saved {
            let (files, folder) = saved.finish()?;
            terminal::say(&format!("{files} payloads: {}", folder.display()));
        }
        if let (Some(draft), Some(path), Some(rows)) = (page, &self.html, outputs.rows) {
            files::finish(
                draft,
                path,
                Replaceable::Page,
                diagnosis.page(rows).render().as_bytes(),
            )?;
            terminal::say(&format!("the page: {}", path.display()));
        }
        match context.output() {
            Output::Text => terminal::data(&text::of(diagnosis))?,
            Output::Json => terminal::json(&serde_json::to_string_pretty(&diagnosis.summary())?)?,
        }
        Ok(match diagnosis.total {
            0 => ExitStatus::Success,
            1.. => ExitStatus::Findings,
        })
    }
}

/// The consumers of findings. None of their files appears before the end.
struct Outputs {
    records: JsonReport,
    saved: Option<PayloadFolder>,
    rows: Option<Rows>,
}

impl Sink for Outputs {
    fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()> {
        self.records.put(finding)?;
        if let Some(saved) = &mut self.saved {
            saved.put(finding)?;
        }
        self.rows.as_mut().map_or(Ok(()), |rows| rows.put(finding))
    }
}

/// Returns the warning that the function receives messages from the queue too.
fn also_receives(function: Option<&DeployedFunction>, queue_arn: &str) -> Option<String> {
    let Some(function) = function else {
        return Some("the function also receives messages from the queue, unless its event source mapping is disabled".to_owned());
    };
    let mapping = function.mappings.iter().find(|it| it.queue_arn == queue_arn)?;
    (mapping.state != MappingState::Disabled).then(|| {
        let state = mapping.state.as_str();
        format!("the event source mapping is {state}, so the function {} also receives messages from the queue", function.name)
    })
}

fn refusal(error: DiagnoseError) -> anyhow::Error {
    let what = with_causes(&error);
    let remedy = match error {
        DiagnoseError::Aws(error) => return error.into(),
        DiagnoseError::Receives(refusal) => refusal.remedy("--parking"),
        DiagnoseError::Io(_) => {
            "make room on the disk, or name another folder (--out, --save)".to_owned()
        }
    };
    UserError::new(what, remedy).into()
}
