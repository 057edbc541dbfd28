//! `apply`: sends the dead letters of a plan again, in waves.

pub(super) mod checks;
mod output;

use std::ops::Bound::{Excluded, Included};
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use genesys_replay::error::with_causes;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::apply::{
    Apply, ApplyError, ArchiveSource, DeadLetterSource, DirectSender, History, Options,
    QueueSender, QueueSource, Sender, StopReason, Summary, add_reasons,
};
use genesys_replay_cli::operator::plan::{Plan, PlanKind, PlanSource};
use genesys_replay_cli::operator::queue_reading::QueueReading;
use genesys_replay_lambda::app as wiring;
use tokio_util::sync::CancellationToken;

use super::close::ClosingRun;
use super::plan::dead_letters;
use super::queue_receives;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::plan_place::{PlanJournal, PlanPlace};
use crate::terminal;
pub(super) use output::{MAX_NAMED, named};

/// Send the dead letters of a plan again, in waves that grow only while they succeed. Does nothing without --yes.
///
/// The command follows each dead letter in the ledger until it is settled, and writes every step to an audit
/// beside the plan. Stop with Ctrl-C at any time and continue with --resume: nothing is delivered twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Print a preview:
  genesys-replay apply plan-20261201030123 --function replay
  # Send one dead letter, then two, four, eight ... while less than a tenth of each wave fails:
  genesys-replay apply plan-20261201030123 --function replay --yes
  # Resume after Ctrl-C, or after the cause of the failures is repaired:
  genesys-replay apply plan-20261201030123 --function replay --yes --resume
  # A plan in a file:
  genesys-replay apply plan.json --function replay --yes")]
pub(crate) struct ApplyArgs {
    /// The plan: a file, or the id of a shared plan. The begin of the id is enough.
    plan: PathBuf,
    /// Send; otherwise only print a preview.
    #[arg(long)]
    yes: bool,
    /// Resume a partially applied plan.
    #[arg(long)]
    resume: bool,
    /// The destination: the queue that the function drains, or the target itself. For the target, this process delivers
    /// with your own permissions.
    #[arg(long, value_name = "PLACE", default_value = "queue")]
    to: DestinationArg,
    /// The maximum number of dead letters per second.
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate)]
    rate: f64,
    /// The size of the first wave.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    canary: u32,
    /// The growth factor from one wave to the next.
    #[arg(long, value_name = "FACTOR", default_value = "2", value_parser = ramp)]
    ramp: f64,
    /// Stop when this share of a wave has failed, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    abort_at: f64,
    /// The time to follow a wave before the wave counts as stuck, such as 15m.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Read the queue of a plan although messages that are not in the plan reach their last receive.
    #[arg(long)]
    force: bool,
    /// The reason of this run, if it is not that of the plan; for audit and ledger.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// The operator's name, for audit and ledger. They also have the operator's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

/// The destinations of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DestinationArg {
    Queue,
    Target,
}

/// The audit of a run, and its writer.
struct RunAudit {
    journal: PlanJournal,
    history: History,
    by: String,
}

impl ApplyArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let place = PlanPlace::of(context, &self.plan).await?;
        let plan = place.read().await?;
        if let Some(newer) = &plan.superseded_by {
            let what = format!("{} was superseded by {newer}", plan.id);
            Err(UserError::new(what, "apply the newer plan"))?;
        }
        if let Some(kind) = plan.content.kind.closing() {
            self.refuse_sending_options(plan.content.kind)?;
            let reason = self.reason.as_deref();
            let run = ClosingRun { place: &place, plan: &plan, kind, reason };
            return if self.yes {
                let by = context.author(self.by.as_deref()).await?;
                run.apply(context, self.resume, self.force, &by).await
            } else {
                run.preview(context).await
            };
        }
        let aws = context.aws().await?;
        if self.to == DestinationArg::Queue
            && let Some(refusal) = checks::paused(context, &plan).await?
        {
            if self.yes {
                return Err(refusal.into());
            }
            terminal::say(&format!("warning: {refusal}"));
        }
        if !self.yes {
            return self.preview(context, &place, &plan).await;
        }
        let by = context.author(self.by.as_deref()).await?;
        let (journal, history) = self.open(context, &place, &plan, &by).await?;
        let audit = RunAudit { journal, history, by };
        let summary = match self.to {
            DestinationArg::Queue => {
                let queue = app::reader(aws, &plan.content.queue_arn).await?;
                let (sender, name) = (app::sender(aws, &queue), queue.arn().to_owned());
                let sender = QueueSender { sender, queue, name };
                Box::pin(self.send_from_source(context, &plan, audit, sender)).await
            }
            DestinationArg::Target => {
                let settings = context.variables().await?.function()?;
                let function = context.function().await?;
                let sender = DirectSender {
                    replay: wiring::build(settings, aws)?,
                    queue_arn: plan.content.queue_arn.clone(),
                    function_arn: function.map(|it| it.arn.clone()).unwrap_or_default(),
                };
                Box::pin(self.send_from_source(context, &plan, audit, sender)).await
            }
        };
        let error = match summary {
            Ok(summary) => return self.report(context, &place, &plan, &summary),
            Err(error) => error,
        };
        if place.was_begun().await.unwrap_or(true) {
            let (audit, hint) = (place.audit(), self.resume_hint(context, &place));
            terminal::say(&format!("stopped: {audit} lists the sent dead letters; {hint}"));
        }
        if error.downcast_ref().is_some_and(ApplyError::is_about_audit) {
            terminal::say(&format!("error: {}", with_causes(error.as_ref())));
            if let PlanPlace::Shared(shared) = &place {
                let (id, common) = (&shared.id, context.common_arguments());
                terminal::say(&format!("  hint: genesys-replay plans show {id}{common}"));
            }
            return Ok(ExitStatus::Aborted);
        }
        Err(error)
    }

    /// Refuses the options that only a plan of a replay has.
    fn refuse_sending_options(&self, kind: PlanKind) -> Result<(), UserError> {
        let differs = |value: f64, default: f64| (value - default).abs() > f64::EPSILON;
        let options = self.options();
        let given = [
            ("--to target", self.to == DestinationArg::Target),
            ("--rate", differs(options.rate, 10.0)),
            ("--canary", options.canary != 1),
            ("--ramp", differs(options.ramp, 2.0)),
            ("--abort-at", differs(options.abort_at, 0.1)),
            ("--wait", options.wait != Duration::from_mins(15)),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(UserError::new(
                format!(
                    "{option} is for plans that send events, and this is a plan of kind {}",
                    kind.as_str()
                ),
                "omit the option",
            )),
            None => Ok(()),
        }
    }

    /// Opens the audit, if the plan can be applied unchanged.
    async fn open(
        &self,
        context: &Context,
        place: &PlanPlace,
        plan: &Plan,
        by: &str,
    ) -> anyhow::Result<(PlanJournal, History)> {
        checks::resume(place, plan, self.resume).await?;
        let (journal, history) = place.open(context, by).await?;
        let fits = async {
            let direct = self.to == DestinationArg::Target;
            checks::history(plan, &history, self.resume, direct)?;
            checks::all(context, plan, &history).await
        };
        if let Err(refused) = fits.await {
            // Still locked, because another `apply` may be about to write to it.
            journal.discard_if_new();
            return Err(refused);
        }
        Ok((journal, history))
    }

    async fn send_from_source(
        &self,
        context: &Context,
        plan: &Plan,
        audit: RunAudit,
        sender: impl Sender,
    ) -> anyhow::Result<Summary> {
        let aws = context.aws().await?;
        match &plan.content.source {
            PlanSource::Archive { bucket, .. } => {
                let archive = app::archive(aws, bucket);
                let stop = context.interrupts.listen();
                self.send(context, plan, audit, (ArchiveSource(&archive), stop.stop()), sender)
                    .await
            }
            PlanSource::Queue { queue_arn } | PlanSource::Parking { queue_arn } => {
                let (queue, progress) = (app::reader(aws, queue_arn).await?, &context.progress);
                let reading = match QueueReading::open(&queue, self.force, progress).await {
                    Ok(reading) => reading,
                    Err(error) => {
                        audit.journal.discard_if_new();
                        return Err(queue_receives::not_read(error));
                    }
                };
                let stop = context.interrupts.listen();
                let mut source = QueueSource::new(&reading, plan, stop.stop(), progress);
                let sending = async {
                    if let Err(error) = source.prepare().await {
                        audit.journal.discard_if_new();
                        return Err(queue_receives::not_completed(error));
                    }
                    self.send(context, plan, audit, (source, stop.stop()), sender).await
                };
                let sent = Box::pin(reading.keep(sending)).await;
                queue_receives::report(&reading);
                sent
            }
        }
    }

    async fn send(
        &self,
        context: &Context,
        plan: &Plan,
        RunAudit { mut journal, history, by }: RunAudit,
        (source, stop): (impl DeadLetterSource, &CancellationToken),
        sender: impl Sender,
    ) -> anyhow::Result<Summary> {
        let settings = context.settings().await?;
        let aws = context.aws().await?;
        let ledger = app::ledger(aws, &settings.table);
        let run = Apply {
            plan,
            history,
            target: &settings.target,
            ledger: &ledger,
            source,
            sender,
            journal: &mut journal,
            options: self.options(),
            by,
            reason: self.reason.clone(),
            clock: context.clock.as_ref(),
            stop,
            progress: &context.progress,
        };
        let mut summary = run.run().await.map_err(|error| match error {
            // Unwrapped, so that its remedy is found.
            ApplyError::Aws(error) => anyhow::Error::from(error),
            ApplyError::Receives(refusal) => queue_receives::refused(&refusal),
            ApplyError::Journal(_) | ApplyError::Flush(_) => error.into(),
        })?;
        let archive = settings.archive.as_ref();
        let archive = archive.map(|it| (app::archive(aws, &it.bucket), it.prefix.as_str()));
        let archive = archive.as_ref().map(|(archive, prefix)| (archive, *prefix));
        add_reasons(&mut summary.failures, &ledger, archive).await;
        Ok(summary)
    }

    /// Returns the command that resumes this run.
    fn resume_hint(&self, context: &Context, place: &PlanPlace) -> String {
        let to = match self.to {
            DestinationArg::Queue => "",
            DestinationArg::Target => " --to target",
        };
        format!(
            "to resume: genesys-replay apply {} --yes --resume{to}{}",
            place.argument(),
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

    async fn preview(
        &self,
        context: &Context,
        place: &PlanPlace,
        plan: &Plan,
    ) -> anyhow::Result<ExitStatus> {
        let history = place.history().await?;
        checks::all(context, plan, &history).await?;
        let (count, begun) = (plan.content.items.len(), history.states.len());
        let to = match self.to {
            DestinationArg::Queue => format!("to the queue {}", plan.content.queue_arn),
            DestinationArg::Target => "directly to their targets, from this process".to_owned(),
        };
        context.print(
            || terminal::fitted(&output::preview(plan, &to, begun, &self.options())),
            || output::preview_json(plan, &to, begun),
        )?;
        terminal::say(&format!(
            "nothing was sent; add --yes to send {}",
            dead_letters(count - begun.min(count))
        ));
        Ok(ExitStatus::Success)
    }

    fn report(
        &self,
        context: &Context,
        place: &PlanPlace,
        plan: &Plan,
        summary: &Summary,
    ) -> anyhow::Result<ExitStatus> {
        let audit = place.audit();
        context.print(
            || terminal::fitted(&output::summary(plan, summary, &audit)),
            || output::summary_json(plan, summary, &audit),
        )?;
        let resume_hint = self.resume_hint(context, place);
        Ok(match summary.stop_reason {
            StopReason::Done if summary.is_well() => ExitStatus::Success,
            StopReason::Done => ExitStatus::Findings,
            StopReason::TooManyFailures { .. } => {
                terminal::say(&format!(
                    "repair the cause of the failures (genesys-replay explain CODE); {resume_hint}"
                ));
                ExitStatus::Aborted
            }
            StopReason::Stuck { waiting, .. } => {
                terminal::say(if waiting > 0 {
                    "the dead letters are safe on the queue, but no invocation has claimed them: check that the event source \
                     mapping is enabled, and that the plan was made for this function"
                } else {
                    "the attempts failed, and the queue delivers the dead letters again later (genesys-replay report)"
                });
                terminal::say(&resume_hint);
                ExitStatus::Aborted
            }
            StopReason::Interrupted => {
                terminal::say(&resume_hint);
                ExitStatus::Interrupted
            }
        })
    }
}

/// Returns a number in a range, or `refusal`.
fn number(text: &str, range: impl RangeBounds<f64>, refusal: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number")?;
    match number {
        _ if !number.is_finite() => Err("must be a number".to_owned()),
        _ if range.contains(&number) => Ok(number),
        _ => Err(refusal.to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let refusal =
        format!("must be from 0.01 to 1000; a call to SQS sends at most {MAX_BATCH_ENTRIES}");
    number(text, 0.01..=1_000.0, &refusal)
}

fn ramp(text: &str) -> Result<f64, String> {
    number(text, 1.0..=100.0, "must be from 1 to 100")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, (Excluded(0.0), Included(1.0)), "must be above 0 and at most 1")
}
