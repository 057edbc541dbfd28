//! `apply`: sending again what a plan says, carefully.

mod output;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::error::with_causes;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use genesys_replay_cli::app;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::apply::{
    Apply as Run, ApplyError, ArchiveLetters, Drift, Ending, History, Letters, Options,
    ParkingLetters, Sender, Summary, ToQueue, ToTarget, drift,
};
use genesys_replay_cli::operator::plan::{Item, Plan, Source, Standing};
use genesys_replay_lambda::app as wiring;
use tokio_util::sync::CancellationToken;

use super::plan::dead_letters;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files::{self, AuditFile};
use crate::global_arguments::Output;
use crate::{interrupt, terminal};

/// How many of a list are named.
const MAX_NAMED: usize = 10;

/// Send again what a plan says: in waves that grow only while they go well. Does nothing without --yes.
///
/// Each dead letter is followed to its end in the ledger, and everything is written down in an audit file beside the
/// plan. It can be stopped at any time with Ctrl-C and gone on with: nothing is delivered twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # See what would happen:
  genesys-replay apply plan.json --function replay
  # Do it: one first, then two, four, eight ... as long as less than a tenth of each wave fails:
  genesys-replay apply plan.json --function replay --yes
  # Go on after Ctrl-C, or after what went wrong was repaired:
  genesys-replay apply plan.json --function replay --yes --resume")]
pub(crate) struct Apply {
    /// The plan.
    plan: PathBuf,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Go on with a plan that was begun.
    #[arg(long)]
    resume: bool,
    /// Where to send: to the queue that the function drains, or straight to the target, from here and with your own
    /// permissions.
    #[arg(long, value_name = "PLACE", default_value = "queue")]
    to: Place,
    /// The most dead letters a second.
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate)]
    rate: f64,
    /// The size of the first wave.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    canary: u32,
    /// How much larger each wave is than the one before.
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = ramp)]
    ramp: f64,
    /// Stop when this share of a wave has failed, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    abort_at: f64,
    /// How long a wave is followed before it counts as stuck, such as 15m.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Who applies it.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
}

/// Where dead letters are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    Queue,
    Target,
}

impl Apply {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let plan = read(&self.plan)?;
        if let Some(newer) = &plan.superseded_by {
            return Err(UserError::new(
                format!("{} was superseded by {newer}", plan.id),
                "apply that one",
            )
            .into());
        }
        let settings = context.settings().await?;
        let ledger = app::ledger(context.aws().await?, &settings.table);
        let audit = files::audit_of(&self.plan);
        if !self.yes {
            return self.show(context, &plan, &ledger).await;
        }
        let (mut journal, history) = self.open(context, &plan, &ledger).await?;
        let stop = interrupt::listen();
        let by = self.by.clone();
        let run = Start {
            plan: &plan,
            history,
            ledger: &ledger,
            journal: &mut journal,
            options: self.options(),
            by,
            context,
            stop: &stop,
        };
        let aws = context.aws().await?;
        let summary = match self.to {
            Place::Queue => {
                let queue = app::reader(aws, &plan.content.queue_arn).await?;
                let sender = ToQueue {
                    sender: app::sender(aws, queue.url()),
                    name: queue.arn().to_owned(),
                };
                Box::pin(run.from(&plan.content.source, sender)).await
            }
            Place::Target => {
                let settings = context.variables().await?.function()?;
                let function = context.function().await?;
                let sender = ToTarget {
                    replay: wiring::build(settings, aws)?,
                    queue_arn: plan.content.queue_arn.clone(),
                    function_arn: function.map(|it| it.arn.clone()).unwrap_or_default(),
                };
                Box::pin(run.from(&plan.content.source, sender)).await
            }
        };
        let summary = match summary {
            Ok(summary) => summary,
            Err(error) => {
                if files::was_begun(&self.plan) {
                    terminal::say(&format!(
                        "stopped: {} says what was sent; {}",
                        audit.display(),
                        self.go_on(context)
                    ));
                }
                if matches!(error.downcast_ref(), Some(ApplyError::Journal(_))) {
                    terminal::say(&format!("error: {}", with_causes(error.as_ref())));
                    return Ok(ExitStatus::Aborted);
                }
                return Err(error);
            }
        };
        self.report(context, &plan, &summary, &audit)
    }

    /// The audit, if the plan can be applied as it is.
    async fn open(
        &self,
        context: &Context,
        plan: &Plan,
        ledger: &DynamoDbReader,
    ) -> anyhow::Result<(AuditFile, History)> {
        let audit = files::audit_of(&self.plan);
        if self.resume && !files::was_begun(&self.plan) {
            return Err(UserError::new(
                format!("{} was not begun: there is no {}", plan.id, audit.display()),
                "put it back beside the plan; if there never was one, apply it without --resume",
            )
            .into());
        }
        let (journal, history) = AuditFile::open(&audit)?;
        let fits = async {
            self.check_history(plan, &history)?;
            check_place(context, plan).await?;
            check_drift(context, plan, &history, ledger).await
        };
        if let Err(refused) = fits.await {
            // While it is ours: another apply may be about to write to one that says nothing yet.
            files::discard_empty_audit(&self.plan);
            return Err(refused);
        }
        Ok((journal, history))
    }

    /// The command that goes on with this.
    fn go_on(&self, context: &Context) -> String {
        let to = match self.to {
            Place::Queue => "",
            Place::Target => " --to target",
        };
        format!(
            "to go on: genesys-replay apply {} --yes --resume{to}{}",
            self.plan.display(),
            context.common_arguments()
        )
    }

    fn options(&self) -> Options {
        Options {
            rate: self.rate,
            canary: usize::try_from(self.canary).unwrap_or(1),
            ramp: self.ramp,
            abort_at: self.abort_at,
            wait: self.wait,
        }
    }

    fn check_history(&self, plan: &Plan, history: &History) -> Result<(), UserError> {
        match &history.hash {
            Some(hash) if *hash != plan.hash => Err(UserError::new(
                "the audit file beside the plan is of another plan",
                "move it away, or give the plan another name",
            )),
            Some(_) if !self.resume => Err(UserError::new(
                format!("{} was begun before", plan.id),
                "to go on where it stood: --resume",
            )),
            Some(_) => self.check_direction(history),
            None => Ok(()),
        }
    }

    /// What was begun is gone on with in the same direction: both at once could not be followed.
    fn check_direction(&self, history: &History) -> Result<(), UserError> {
        let begun = history.direct.unwrap_or_default();
        if begun == (self.to == Place::Target) {
            return Ok(());
        }
        let (was, remedy) = if begun {
            ("straight to the target", "go on with --to target")
        } else {
            ("to the queue", "go on without --to target")
        };
        Err(UserError::new(format!("it was begun {was}"), remedy))
    }

    /// What would happen.
    async fn show(
        &self,
        context: &Context,
        plan: &Plan,
        ledger: &DynamoDbReader,
    ) -> anyhow::Result<ExitStatus> {
        let audit = files::audit_of(&self.plan);
        let history = if audit.exists() {
            AuditFile::open(&audit)?.1
        } else {
            History::default()
        };
        check_place(context, plan).await?;
        check_drift(context, plan, &history, ledger).await?;
        let count = plan.content.items.len();
        let begun = history.states.len();
        let to = match self.to {
            Place::Queue => format!("to the queue {}", plan.content.queue_arn),
            Place::Target => "straight to their targets, from here".to_owned(),
        };
        terminal::data(&match context.output() {
            Output::Json => output::prospect_json(plan, &to, begun),
            Output::Text => output::prospect(plan, &to, begun, &self.options()),
        })?;
        terminal::say(&format!(
            "nothing was sent. To send {}: --yes",
            dead_letters(count - begun.min(count))
        ));
        Ok(ExitStatus::Success)
    }

    fn report(
        &self,
        context: &Context,
        plan: &Plan,
        summary: &Summary,
        audit: &Path,
    ) -> anyhow::Result<ExitStatus> {
        terminal::data(&match context.output() {
            Output::Json => output::summary_json(plan, summary, audit),
            Output::Text => output::summary(plan, summary, audit),
        })?;
        let go_on = self.go_on(context);
        Ok(match summary.ending {
            Ending::Done => {
                let well = summary.not_sent.is_empty()
                    && summary.doubtful.is_empty()
                    && summary.lingering.is_empty()
                    && summary.open.is_empty()
                    && summary.outcomes.keys().all(|(_, code)| code.is_empty());
                if well {
                    ExitStatus::Success
                } else {
                    ExitStatus::Findings
                }
            }
            Ending::TooManyFailures { .. } => {
                terminal::say(&format!(
                    "repair what makes them fail (genesys-replay explain CODE), then {go_on}"
                ));
                ExitStatus::Aborted
            }
            Ending::Stuck { waiting, .. } => {
                terminal::say(if waiting > 0 {
                    "is the function's event source mapping enabled, and is it the function that the plan was made for? \
                     They are on the queue, and nothing is lost"
                } else {
                    "their attempts have failed for now: the queue brings them again (genesys-replay report)"
                });
                terminal::say(&go_on);
                ExitStatus::Aborted
            }
            Ending::Interrupted => {
                terminal::say(&go_on);
                ExitStatus::Interrupted
            }
        })
    }
}

/// A run, but for where its dead letters are and go.
struct Start<'a> {
    plan: &'a Plan,
    history: History,
    ledger: &'a DynamoDbReader,
    journal: &'a mut AuditFile,
    options: Options,
    by: String,
    context: &'a Context,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    async fn from(self, source: &Source, sender: impl Sender) -> anyhow::Result<Summary> {
        let aws = self.context.aws().await?;
        match source {
            Source::Archive { bucket, .. } => {
                let reader = app::archive(aws, bucket);
                self.run(ArchiveLetters(&reader), sender).await
            }
            Source::Parking { queue_arn } => {
                let parking = app::reader(aws, queue_arn).await?;
                self.run(ParkingLetters::new(parking), sender).await
            }
        }
    }

    async fn run(self, letters: impl Letters, sender: impl Sender) -> anyhow::Result<Summary> {
        let run = Run {
            plan: self.plan,
            history: self.history,
            ledger: self.ledger,
            letters,
            sender,
            journal: self.journal,
            options: self.options,
            by: self.by,
            clock: self.context.clock.as_ref(),
            stop: self.stop,
            progress: &self.context.progress,
            target: &self.context.settings().await?.target,
        };
        run.run().await.map_err(|error| match error {
            // As itself, so that its remedy is found.
            ApplyError::Aws(error) => error.into(),
            ApplyError::Journal(_) => error.into(),
        })
    }
}

/// Reads a plan file.
pub(super) fn read(path: &Path) -> anyhow::Result<Plan> {
    Plan::read(&files::read(path)?).map_err(|fault| {
        UserError::new(
            format!("{} cannot be used: {fault}", path.display()),
            "make a new plan: genesys-replay plan",
        )
        .into()
    })
}

/// Whether the settings still mean the plan's queue and targets.
async fn check_place(context: &Context, plan: &Plan) -> anyhow::Result<()> {
    if context.queue_name().is_some() || context.function_name().is_some() {
        let queue = context.queue().await?;
        if queue.arn() != plan.content.queue_arn {
            return Err(UserError::new(
                format!(
                    "the plan is for the queue {}, not for {}",
                    plan.content.queue_arn,
                    queue.arn()
                ),
                "name the plan's queue or function, or make a new plan",
            )
            .into());
        }
    }
    if let ReplayTarget::Fixed(target) = context.settings().await?.target {
        let elsewhere = |item: &&Item| item.target_key() != target.key_part();
        if let Some(item) = plan.content.items.iter().find(elsewhere) {
            return Err(UserError::new(
                format!(
                    "{} was planned for {}, and would go to {target} now",
                    item.event_id(),
                    item.target
                ),
                "set REPLAY_TARGET as it was (or name the function), or make a new plan",
            )
            .into());
        }
    }
    Ok(())
}

async fn check_drift(
    context: &Context,
    plan: &Plan,
    history: &History,
    ledger: &DynamoDbReader,
) -> anyhow::Result<()> {
    let drifted = drift(plan, history, ledger, &context.progress).await?;
    if drifted.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = drifted.iter().take(MAX_NAMED).map(drift_line).collect();
    Err(UserError::new(
        format!(
            "{} of {} have moved on since the plan was made:\n  {}",
            drifted.len(),
            dead_letters(plan.content.items.len()),
            shown.join("\n  ")
        ),
        "make a new plan; what was delivered in the meantime is left out then",
    )
    .into())
}

fn drift_line(drift: &Drift) -> String {
    let standing = |it: &Option<Standing>| match it {
        None => "unknown to the ledger".to_owned(),
        Some(it) => format!("{} after {} attempts", it.status, it.attempts),
    };
    format!(
        "{}: {}, now {}",
        drift.shown,
        standing(&drift.planned),
        standing(&drift.now)
    )
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is a number")?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("it is a number".to_owned())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = number(text)?;
    if (0.01..=1_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!(
            "it is from 0.01 to 1000; SQS gets {MAX_BATCH_ENTRIES} in a call"
        ))
    }
}

fn ramp(text: &str) -> Result<f64, String> {
    let ramp = number(text)?;
    if (1.0..=100.0).contains(&ramp) {
        Ok(ramp)
    } else {
        Err("it is from 1 to 100".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = number(text)?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("it is above 0 and at most 1".to_owned())
    }
}
