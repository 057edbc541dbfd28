//! Plans that discard events or restore discarded events: written by `discard` and `restore`, applied by them or by `apply`.

mod output;

use genesys_replay::destination::Redirects;
use genesys_replay::error::with_causes;
use genesys_replay_cli::app;
use genesys_replay_cli::archive::DISCARDED;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::apply::{ApplyError, History, QueueSource};
use genesys_replay_cli::operator::close::{
    AuditLog, Close, CloseSummary, MessageMover, Mover, ObjectMover,
};
use genesys_replay_cli::operator::plan::{
    ClosingKind, Plan, PlanBuilder, PlanContent, PlanContext, PlanSource, Selection,
};
use genesys_replay_cli::operator::queue_reading::QueueReading;
use genesys_replay_settings::ArchiveSettings;
use genesys_replay_version::PROGRAM;
use tokio_util::sync::CancellationToken;

use super::apply::checks;
use super::place_arguments::PlaceArgs;
use super::plan::dead_letters;
use super::plan_output::PlanOutputArgs;
use super::queue_receives;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::global_arguments::Output;
use crate::plan_place::{PlanJournal, PlanPlace};
use crate::terminal;

/// The arguments of a plan that discards or restores.
pub(super) struct ClosingPlan<'a> {
    pub(super) kind: ClosingKind,
    pub(super) reason: &'a str,
    pub(super) by: Option<&'a str>,
    /// The place of the plan, and the name of its file.
    pub(super) output: (&'a PlanOutputArgs, &'static str),
    /// True to apply the plan at once.
    pub(super) yes: bool,
    /// `None` to read the folder of discarded events.
    pub(super) source: Option<&'a PlaceArgs>,
    /// The begin of the former keys of discarded objects; `None` for the function's archive prefix.
    pub(super) prefix: Option<&'a str>,
    pub(super) selection: Selection,
}

/// Returns the verb of a plan: "discard" and "discarded".
const fn words(kind: ClosingKind) -> (&'static str, &'static str) {
    match kind {
        ClosingKind::Discard => ("discard", "discarded"),
        ClosingKind::Restore => ("restore", "restored"),
    }
}

/// Makes a plan and, with `--yes`, applies it.
pub(super) async fn run(context: &Context, draft: ClosingPlan<'_>) -> anyhow::Result<ExitStatus> {
    let (output, file) = draft.output;
    let place = output.place(context, file).await?;
    let by = context.author(draft.by).await?;
    let plan = draft.plan(context, &by).await?;
    let shown = place.shown(&plan);
    let (verb, past) = words(draft.kind);
    let is_empty = plan.content.items.is_empty();
    if !is_empty {
        place.write(&plan).await?;
    }
    let place = place.written(&plan);
    let named = place.argument();
    // A run has its own document, which contains the excluded dead letters too.
    if is_empty || !draft.yes || context.output() == Output::Text {
        context.print(
            || terminal::fitted(&output::plan(&plan, verb, &shown)),
            || output::plan_json(&plan, &named),
        )?;
    }
    if is_empty {
        terminal::say(&format!(
            "nothing to {verb}, and no plan was written; the output lists the reasons"
        ));
        return Ok(ExitStatus::Findings);
    }
    if !draft.yes {
        terminal::say(&format!(
            "nothing was {past}; check the plan, then run: genesys-replay apply {named} --yes{}",
            context.common_arguments()
        ));
        return Ok(ExitStatus::Success);
    }
    let run = ClosingRun { place: &place, plan: &plan, kind: draft.kind, reason: None };
    let force = draft.source.is_some_and(PlaceArgs::is_forced);
    run.apply(context, false, force, &by).await
}

impl ClosingPlan<'_> {
    async fn plan(&self, context: &Context, by: &str) -> anyhow::Result<Plan> {
        let settings = context.settings().await?;
        let archive = archive(settings.archive.as_ref())?;
        let queue = context.queue().await?;
        let aws = context.aws().await?;
        let ledger = app::ledger(aws, &settings.table);
        let about = PlanContext {
            target: &settings.target,
            redirects: &Redirects::NONE,
            queue_arn: queue.arn(),
            remember: settings.remember,
            rules: settings.limits.rules(true),
        };
        let now = context.clock.now();
        let mut builder =
            PlanBuilder::new(&ledger, about, &self.selection, now).to(self.kind.into());
        let source = if let Some(source) = self.source {
            source.collect(context, &mut builder, &queue, settings.archive.clone()).await?
        } else {
            let former = self.prefix.unwrap_or(&archive.prefix);
            let former = former.strip_prefix(DISCARDED).unwrap_or(former);
            let (bucket, prefix) = (archive.bucket.clone(), format!("{DISCARDED}{former}"));
            let reader = app::archive(aws, &bucket);
            builder.collect_from_archive(&reader, &prefix, &context.progress).await?;
            PlanSource::Archive { bucket, prefix }
        };
        if let PlanSource::Archive { bucket, prefix } = &source {
            self.add_other_objects(context, &mut builder, (bucket, prefix), archive).await?;
        }
        let (items, left_out) = builder.finish().await?;
        Ok(Plan::of(PlanContent {
            created_at: now.to_string(),
            created_by: by.to_owned(),
            written_by: Some(PROGRAM.to_owned()),
            reason: self.reason.to_owned(),
            kind: self.kind.into(),
            edit_of: None,
            source,
            queue_arn: queue.arn().to_owned(),
            selection: self.selection.clone(),
            items,
            left_out,
        }))
    }
}

impl ClosingPlan<'_> {
    /// Adds the other objects of the chosen events, because the ledger has one item for all of them.
    async fn add_other_objects(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        (bucket, read): (&str, &str),
        archive: &ArchiveSettings,
    ) -> anyhow::Result<()> {
        let whole = match self.kind {
            ClosingKind::Discard => archive.prefix.clone(),
            ClosingKind::Restore => format!("{DISCARDED}{}", archive.prefix),
        };
        let reader = app::archive(context.aws().await?, bucket);
        let elsewhere = Some(read).filter(|read| !read.starts_with(&whole));
        let mut others = 0;
        for prefix in [Some(whole.as_str()), elsewhere].into_iter().flatten() {
            others += builder.add_other_objects(&reader, prefix, &context.progress).await?;
        }
        if others > 0 {
            let (_, past) = words(self.kind);
            terminal::say(&format!(
                "other objects of these events, which are {past} with them: {others}"
            ));
        }
        Ok(())
    }
}

/// Returns the archive, if discarded events can be kept beside it.
fn archive(archive: Option<&ArchiveSettings>) -> Result<&ArchiveSettings, UserError> {
    let archive = archive.ok_or_else(|| {
        UserError::new(
            "the function has no archive, where discarded events are kept",
            "set ARCHIVE_BUCKET (parameter ArchiveBucket)",
        )
    })?;
    if archive.prefix.starts_with(DISCARDED) {
        let what =
            format!("the archive's prefix {} is in the folder of discarded events", archive.prefix);
        let remedy = format!("set an ARCHIVE_PREFIX that does not begin with {DISCARDED}");
        return Err(UserError::new(what, remedy));
    }
    Ok(archive)
}

/// A plan that was read from its place.
pub(super) struct ClosingRun<'a> {
    pub(super) place: &'a PlanPlace,
    pub(super) plan: &'a Plan,
    pub(super) kind: ClosingKind,
    /// The reason of this run, if it is not that of the plan.
    pub(super) reason: Option<&'a str>,
}

impl ClosingRun<'_> {
    /// Prints a preview.
    pub(super) async fn preview(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let history = self.place.history().await?;
        let (plan, begun) = (self.plan, history.states.len());
        let (verb, past) = words(self.kind);
        if history.hash.is_none() {
            checks::queue(context, plan).await?;
            checks::ledger(context, plan, &history).await?;
        }
        context.print(
            || terminal::fitted(&output::preview(plan, past, begun)),
            || output::preview_json(plan, begun),
        )?;
        let left = dead_letters(plan.content.items.len().saturating_sub(begun));
        terminal::say(&format!("nothing was {past}; add --yes to {verb} {left}"));
        Ok(ExitStatus::Success)
    }

    /// Applies the plan, or resumes it.
    pub(super) async fn apply(
        &self,
        context: &Context,
        resume: bool,
        force: bool,
        by: &str,
    ) -> anyhow::Result<ExitStatus> {
        let (place, plan) = (self.place, self.plan);
        let audit = place.audit();
        checks::resume(place, plan, resume).await?;
        let (journal, history) = place.open(context, by).await?;
        let fits = async {
            checks::history(plan, &history, resume, false)?;
            checks::queue(context, plan).await?;
            // A resumed run compares each event by itself, because it must finish the begun ones.
            if history.hash.is_none() {
                checks::ledger(context, plan, &history).await?;
            }
            anyhow::Ok(())
        };
        if let Err(refused) = fits.await {
            journal.discard_if_new();
            return Err(refused);
        }
        let hint = format!(
            "to resume: genesys-replay apply {} --yes --resume{}",
            place.argument(),
            context.common_arguments()
        );
        let (_, past) = words(self.kind);
        let error = match Box::pin(self.move_events(context, (journal, history), force, by)).await {
            Ok(summary) => {
                context.print(
                    || terminal::fitted(&output::summary(plan, past, &summary, &audit)),
                    || output::summary_json(plan, &summary, &audit),
                )?;
                if !summary.is_well() {
                    terminal::say(&hint);
                }
                return Ok(if summary.interrupted {
                    ExitStatus::Interrupted
                } else {
                    ExitStatus::of_findings(!summary.is_well())
                });
            }
            Err(error) => error,
        };
        if place.was_begun().await.unwrap_or(true) {
            terminal::say(&format!("stopped: {audit} lists the steps; {hint}"));
        }
        if error.downcast_ref().is_some_and(ApplyError::is_about_audit) {
            terminal::say(&format!("error: {}", with_causes(error.as_ref())));
            if let PlanPlace::Shared(shared) = place {
                let (id, common) = (&shared.id, context.common_arguments());
                terminal::say(&format!("  hint: genesys-replay plans show {id}{common}"));
            }
            return Ok(ExitStatus::Aborted);
        }
        Err(error)
    }

    async fn move_events(
        &self,
        context: &Context,
        audit: (PlanJournal, History),
        force: bool,
        by: &str,
    ) -> anyhow::Result<CloseSummary> {
        let aws = context.aws().await?;
        match &self.plan.content.source {
            PlanSource::Archive { bucket, .. } => {
                let archive = app::archive_writer(aws, bucket);
                let mover = ObjectMover { archive: &archive, kind: self.kind };
                let stop = context.interrupts.listen();
                self.close(context, audit, (mover, stop.stop()), (bucket, by)).await
            }
            PlanSource::Queue { queue_arn } | PlanSource::Parking { queue_arn } => {
                let settings = context.settings().await?;
                let ArchiveSettings { bucket, prefix } = archive(settings.archive.as_ref())?;
                let archive = app::archive_writer(aws, bucket);
                let (queue, progress) = (app::reader(aws, queue_arn).await?, &context.progress);
                let reading = match QueueReading::open(&queue, force, progress).await {
                    Ok(reading) => reading,
                    Err(error) => {
                        audit.0.discard_if_new();
                        return Err(queue_receives::not_read(error));
                    }
                };
                let stop = context.interrupts.listen();
                let mut source = QueueSource::new(&reading, self.plan, stop.stop(), progress);
                let closing = async {
                    if let Err(error) = source.prepare().await {
                        audit.0.discard_if_new();
                        return Err(queue_receives::not_completed(error));
                    }
                    let reason = self.reason.unwrap_or(&self.plan.content.reason);
                    let clock = context.clock.as_ref();
                    let mover = MessageMover::new(source, &archive, prefix, reason, clock);
                    self.close(context, audit, (mover, stop.stop()), (bucket, by)).await
                };
                let closed = Box::pin(reading.keep(closing)).await;
                queue_receives::report(&reading);
                closed
            }
        }
    }

    async fn close(
        &self,
        context: &Context,
        (mut journal, history): (PlanJournal, History),
        (mover, stop): (impl Mover + Sync, &CancellationToken),
        (bucket, by): (&str, &str),
    ) -> anyhow::Result<CloseSummary> {
        let settings = context.settings().await?;
        let aws = context.aws().await?;
        let run = Close {
            plan: self.plan,
            kind: self.kind,
            history,
            ledger: &app::ledger(aws, &settings.table),
            writer: &app::ledger_writer(aws, &settings.table, settings.remember),
            mover,
            journal: AuditLog::new(&mut journal),
            by: by.to_owned(),
            reason: self.reason.map(str::to_owned),
            to: format!("s3://{bucket}"),
            clock: context.clock.as_ref(),
            stop,
            progress: &context.progress,
        };
        run.run().await.map_err(|error| match error {
            // Unwrapped, so that its remedy is found.
            ApplyError::Aws(error) => error.into(),
            ApplyError::Receives(refusal) => queue_receives::refused(&refusal),
            ApplyError::Journal(_) | ApplyError::Flush(_) => error.into(),
        })
    }
}
