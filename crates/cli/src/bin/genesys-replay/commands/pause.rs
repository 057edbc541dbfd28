//! `pause` and `resume`: stop and start the draining of the queue.

use std::time::Duration;

use genesys_replay_cli::app;
use genesys_replay_cli::deployment::source_mapping::MappingState;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::pause::{ChangeNote, Changed, DrainChange, change};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::terminal::{self, one_line};

/// The maximum time to wait for the state of the event source mapping.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The message after a pause, because a deployment resets the mapping.
const LASTING_STOP: &str = "a deployment that changes the event source mapping enables it again; \
    the lasting stop is the parameter ReplayEnabled=false";

/// The message after a resume, because a deployment resets the mapping.
const LASTING_START: &str = "if the function was deployed with ReplayEnabled=false, deploy with \
    ReplayEnabled=true too: a deployment that changes the event source mapping disables it again";

/// Stop the draining: disable the function's event source mapping. Does nothing without --yes.
///
/// Batches in flight end. Other messages wait in the queue, and their receive counts do not change. The retention
/// continues. The reason is kept in tags of the event source mapping, and status shows it. A deployment can enable
/// the mapping again; the lasting stop is the parameter ReplayEnabled=false.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay pause --function genesys-replay --reason 'CRM outage, INC-4711'          # prints the change
  genesys-replay pause --function genesys-replay --reason 'CRM outage, INC-4711' --yes

Exit code 1: Lambda accepted the change, but the event source mapping is not Disabled after a minute.")]
pub(crate) struct PauseArgs {
    /// The reason, for colleagues: letters, digits, spaces and _.:/=+-@.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Start the draining: enable the function's event source mapping. Does nothing without --yes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  genesys-replay resume --function genesys-replay --yes
  genesys-replay resume --function genesys-replay --reason 'CRM repaired' --yes

Exit code 1: Lambda accepted the change, but the event source mapping is not Enabled after a minute.")]
pub(crate) struct ResumeArgs {
    /// The reason, for colleagues: letters, digits, spaces and _.:/=+-@.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// Change the event source mapping; otherwise only print the change.
    #[arg(long)]
    yes: bool,
    /// Your name, for colleagues.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
}

impl PauseArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        self.change.run(context, DrainChange::Pause, &self.reason).await
    }
}

impl ResumeArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.change.run(context, DrainChange::Resume, reason).await
    }
}

impl ChangeArgs {
    async fn run(
        &self,
        context: &Context,
        kind: DrainChange,
        reason: &str,
    ) -> anyhow::Result<ExitStatus> {
        let (function, mapping) = context.source_mapping().await?;
        let note = ChangeNote::new(kind, reason, &self.by, context.clock.now());
        let (before, queue) = (mapping.state, mapping.queue_name());
        let named =
            format!("the event source mapping {} from {queue} to {}", mapping.uuid, function.name);
        let json = |state: MappingState, is_applied: bool, is_recorded: bool| -> Value {
            json!({
                "function": function.name,
                "queue": mapping.queue_arn,
                "mapping": mapping.uuid,
                "change": kind.as_str(),
                "reason": note.reason,
                "by": note.by,
                "at": note.at.map(|at| at.to_string()),
                "before": before.as_str(),
                "state": state.as_str(),
                "recorded": is_recorded,
                "applied": is_applied,
            })
        };
        let verb = match kind {
            DrainChange::Pause => "disable",
            DrainChange::Resume => "enable",
        };
        if kind.is_made(before) {
            let text = format!("{named} is already {}", before.as_str());
            context.print(|| terminal::fitted(&line(&text)), || json(before, false, false))?;
            terminal::say("nothing was changed");
            return Ok(ExitStatus::Success);
        }
        if before == MappingState::Deleting {
            let what = format!("{named} is about to be deleted");
            Err(UserError::new(what, "deploy the function again, with template.yaml"))?;
        }
        if !self.yes {
            let text = format!("would {verb} {named}, which is {}", before.as_str());
            context.print(|| terminal::fitted(&line(&text)), || json(before, false, false))?;
            terminal::say("nothing was changed: add --yes");
            return Ok(ExitStatus::Success);
        }
        let client = app::source_mappings(context.aws().await?);
        let wanted = kind.wanted().as_str();
        let waiting = format!("waiting until the event source mapping is {wanted}");
        context.progress.begin(&waiting, None);
        let changed = change(&client, mapping, &note, MAX_WAIT).await;
        context.progress.end();
        let Changed { state, unrecorded, unobserved } = changed?;
        if let Some(error) = &unrecorded {
            let kept = "the change was made, but status cannot show its reason";
            context.progress.warn(&format!("{error}: {kept}"));
        }
        let text = format!("{named} is {}", state.as_str());
        context
            .print(|| terminal::fitted(&line(&text)), || json(state, true, unrecorded.is_none()))?;
        terminal::say(match kind {
            DrainChange::Pause => LASTING_STOP,
            DrainChange::Resume => LASTING_START,
        });
        if state == kind.wanted() {
            return Ok(ExitStatus::Success);
        }
        let why = unobserved.map_or_else(
            || format!("not {wanted} after {} s", MAX_WAIT.as_secs()),
            |error| error.to_string(),
        );
        let check = format!("genesys-replay status{}", context.common_arguments());
        context.progress.warn(&format!("{why}; the change continues: {check}"));
        Ok(ExitStatus::Findings)
    }
}

/// Returns one printable line.
fn line(text: &str) -> String {
    one_line(text) + "\n"
}

/// Refuses a reason of which nothing can be kept in a tag.
fn reason(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_alphanumeric) {
        Ok(text.to_owned())
    } else {
        Err("must have a letter or a digit".to_owned())
    }
}
