//! `edit`: makes a new plan with changed bodies.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::apply::{ArchiveSource, DeadLetterSource, QueueSource};
use genesys_replay_cli::operator::plan::{
    Editing, Edits, Plan, PlanItem, PlanKind, PlanSource, Unfit,
};
use genesys_replay_cli::operator::plans::supersede;
use genesys_replay_cli::operator::queue_reading::{QueueReading, ReadInterrupted};
use serde_json::json;

use super::apply::MAX_NAMED;
use super::plan::dead_letters;
use super::plan_output::{PlanOutput, PlanOutputArgs};
use super::queue_receives;
use crate::context::Context;
use crate::exit::{ExitStatus, UserError};
use crate::files;
use crate::files::Replaceable;
use crate::plan_place::PlanPlace;
use crate::terminal::one_line;

/// Make a new plan that changes the bodies of dead letters with a JSON Patch, and show the difference. Sends nothing.
///
/// The original plan is marked as superseded and can no longer be applied. The archive keeps the original messages.
#[derive(Debug, clap::Args)]
#[command(after_help = r#"Examples:
  # patch.json: [{"op":"replace","path":"/detail/eventBody/wrapUpCode","value":"done"}]
  genesys-replay edit plan.json --patch patch.json --reason 'wrong wrap-up code' --out fixed.json
  genesys-replay edit plan.json --patch patch.json --id 8a1b... --reason 'this one only' --out fixed.json"#)]
pub(crate) struct EditArgs {
    /// The plan: a file, or the id of a shared plan.
    plan: PathBuf,
    /// The JSON Patch (RFC 6902) for the body of each message, as in the queue; - is stdin.
    #[arg(long, value_name = "FILE")]
    patch: PathBuf,
    /// Change only the event with this id; may be given several times. The other events stay unchanged.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// The reason, for later readers of the plan.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    output: PlanOutputArgs,
    /// Leave out dead letters that the patch does not fit, instead of refusing the whole edit. The new plan lists them.
    #[arg(long)]
    skip_unfit: bool,
    /// Read the queue of a plan although messages that are not in the plan reach their last receive.
    #[arg(long)]
    force: bool,
    /// Show the difference of every body, not only of the first five.
    #[arg(long)]
    all: bool,
    /// The name of the plan's author. The plan also has the author's AWS identity.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
}

/// The file of an edited plan.
const EDITED_FILE: &str = "plan-edited.json";

/// The maximum number of shown differences without `--all`.
const MAX_DIFFS_SHOWN: usize = 5;

/// Marks a plan as superseded by an edited one.
async fn mark_superseded(
    context: &Context,
    place: &PlanPlace,
    plan: &Plan,
    edited: &Plan,
    by: &str,
) -> anyhow::Result<()> {
    match place {
        PlanPlace::File(path) => {
            files::write_whole(path, Replaceable::Plan, plan.write()?.as_bytes())
        }
        PlanPlace::Shared(shared) => {
            let chain = shared.chain().await?;
            if chain.history.hash.is_some() {
                let what = format!("{} was applied meanwhile", plan.id);
                let remedy = format!("do not apply {}: it has the same events", edited.id);
                Err(UserError::new(what, remedy))?;
            }
            let mut journal = shared.journal(context, &chain, by);
            supersede(&mut journal, by, &edited.id, context.clock.as_ref()).await?;
            Ok(())
        }
    }
}

impl EditArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let place = PlanPlace::of(context, &self.plan).await?;
        let mut plan = place.read().await?;
        self.check(&place, &plan).await?;
        let output = match &place {
            PlanPlace::File(_) if !self.output.is_given() => {
                PlanOutput::file(Path::new(EDITED_FILE))?
            }
            PlanPlace::File(_) | PlanPlace::Shared(_) => {
                self.output.place(context, EDITED_FILE).await?
            }
        };
        let editing = Editing::read(&files::read(&self.patch)?).map_err(|error| {
            UserError::new(
                format!("{}: {error}", self.patch.display()),
                "see the example of genesys-replay edit --help",
            )
        })?;
        let aws = context.aws().await?;
        let Bodies { edits, diffs, unfit } = match &plan.content.source {
            PlanSource::Archive { bucket, .. } => {
                let archive = app::archive(aws, bucket);
                self.edits(context, &plan, &editing, ArchiveSource(&archive)).await
            }
            PlanSource::Queue { queue_arn } | PlanSource::Parking { queue_arn } => {
                let (queue, progress) = (app::reader(aws, queue_arn).await?, &context.progress);
                let reading = QueueReading::open(&queue, self.force, progress)
                    .await
                    .map_err(queue_receives::not_read)?;
                let part = context.interrupts.while_reading();
                let mut source = QueueSource::new(&reading, &plan, part.stop(), progress);
                let editing = async {
                    source.prepare().await.map_err(queue_receives::not_completed)?;
                    self.edits(context, &plan, &editing, source).await
                };
                let edited = Box::pin(reading.keep(editing)).await;
                queue_receives::report(&reading);
                edited
            }
        }?;
        let count = edits.len();
        let now = context.clock.now().to_string();
        if count == 0 {
            let what = format!("the patch fits none of {}", dead_letters(unfit.len()));
            let remedy = "nothing was changed; correct the patch";
            Err(UserError::new(what, remedy).with_details(named(&plan, &unfit)))?;
        }
        let by = context.author(self.by.as_deref()).await?;
        let edited = plan.edited(edits, &unfit, now, by.clone(), self.reason.clone());
        output.write(&edited).await?;
        plan.superseded_by = Some(edited.id.clone());
        mark_superseded(context, &place, &plan, &edited, &by).await?;
        let place_shown = output.shown(&edited);
        let argument = output.written(&edited).argument();
        let items = edited.content.items.len();
        context.print(
            || {
                let max = if self.all { diffs.len() } else { MAX_DIFFS_SHOWN };
                let shown = diffs
                    .iter()
                    .take(max)
                    .map(|(key, diff)| format!("{}\n{diff}\n", one_line(key)));
                let more = diffs.len().saturating_sub(max);
                let more = (more > 0).then(|| format!("and {more} more: --all\n"));
                let skipped = (!unfit.is_empty()).then(|| {
                    let lines = named(&plan, &unfit).join("\n  ");
                    format!("left out: {}\n  {lines}\n", dead_letters(unfit.len()))
                });
                format!(
                    "{}{}{}: {}, {count} of them changed, in {}; {} is superseded\n",
                    shown.chain(more).collect::<String>(),
                    skipped.unwrap_or_default(),
                    edited.id,
                    dead_letters(items),
                    place_shown,
                    one_line(&plan.id),
                )
            },
            || {
                let diffs = diffs.iter().map(|(key, diff)| json!({ "key": key, "diff": diff }));
                json!({
                    "plan": argument,
                    "id": edited.id,
                    "hash": edited.hash,
                    "items": items,
                    "edited": count,
                    "left_out": edited.content.left_out,
                    "supersedes": plan.id,
                    "diffs": diffs.collect::<Vec<_>>(),
                })
            },
        )?;
        Ok(ExitStatus::Success)
    }

    async fn check(&self, place: &PlanPlace, plan: &Plan) -> anyhow::Result<()> {
        let id = &plan.id;
        let refused = |what, remedy: &str| Err(UserError::new(what, remedy).into());
        match plan.content.kind {
            PlanKind::Replay => {}
            kind @ (PlanKind::Discard | PlanKind::Restore) => {
                let what =
                    format!("{id} is a plan of kind {}, which sends no bodies", kind.as_str());
                return refused(what, "edit a plan that sends events: genesys-replay plan");
            }
        }
        if let Some(newer) = &plan.superseded_by {
            return refused(format!("{id} was superseded by {newer}"), "edit the newer plan");
        }
        if place.was_begun().await? {
            let remedy = "make a new plan of the remaining dead letters: genesys-replay plan";
            return refused(format!("{id} has an earlier run"), remedy);
        }
        let known: BTreeSet<&str> = plan.content.items.iter().map(PlanItem::event_id).collect();
        match self.id.iter().find(|id| !known.contains(id.as_str())) {
            Some(event) => refused(
                format!("{id} does not contain the event {event}"),
                "the plan lists its event ids",
            ),
            None => Ok(()),
        }
    }

    /// Changes the bodies of the chosen items.
    async fn edits(
        &self,
        context: &Context,
        plan: &Plan,
        editing: &Editing,
        mut source: impl DeadLetterSource,
    ) -> anyhow::Result<Bodies> {
        let target = context.settings().await?.target;
        let items = &plan.content.items;
        let chosen = |id: &str| self.id.is_empty() || self.id.iter().any(|it| it == id);
        let chosen = items.iter().enumerate().filter(|(_, item)| chosen(item.event_id()));
        let mut todo: VecDeque<usize> = chosen.map(|(index, _)| index).collect();
        let mut bodies = Bodies::default();
        let edited = async {
            while !todo.is_empty() {
                let fetched = source.fetch(items, &mut todo, MAX_BATCH_ENTRIES).await;
                let fetched = fetched.map_err(queue_receives::not_read)?;
                if fetched.is_empty() {
                    return Ok(ControlFlow::Break(()));
                }
                for (index, message) in fetched {
                    let item = &items[index];
                    let refused = |why: String, remedy: &str| {
                        UserError::new(format!("{}: {why}", item.shown()), remedy)
                    };
                    let message = message.map_err(|error| {
                        let remedy = "nothing was changed; choose other events with --id";
                        refused(error.to_string(), remedy)
                    })?;
                    match editing.edit(&message, item.edit.as_ref(), &target) {
                        Ok((edit, change)) => {
                            bodies.edits.push((index, edit));
                            bodies.diffs.push((item.shown(), change.diff));
                        }
                        Err(error) if self.skip_unfit && error.is_unfit() => {
                            bodies.unfit.push((index, error));
                        }
                        Err(error) => {
                            let remedy = if error.is_unfit() {
                                "nothing was changed; leave such dead letters out with --skip-unfit, or choose others with --id"
                            } else {
                                "nothing was changed; correct the patch, or choose other events with --id"
                            };
                            Err(refused(error.to_string(), remedy))?;
                        }
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        let edited: anyhow::Result<ControlFlow<()>> = edited.await;
        let released = source.release_unsent().await;
        match edited? {
            ControlFlow::Continue(()) => Ok(bodies),
            ControlFlow::Break(()) => Err(ReadInterrupted { released }.into()),
        }
    }
}

/// Returns a line for each of the first dead letters that the patch does not fit.
fn named(plan: &Plan, unfit: &Unfit) -> Vec<String> {
    let items = &plan.content.items;
    let lines = unfit.iter().take(MAX_NAMED);
    let lines =
        lines.map(|(index, error)| one_line(&format!("{}: {error}", items[*index].shown())));
    let more = unfit.len().saturating_sub(MAX_NAMED);
    lines.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

/// The bodies of the chosen dead letters.
#[derive(Default)]
struct Bodies {
    edits: Edits,
    /// The keys with the differences.
    diffs: Vec<(String, String)>,
    /// The dead letters that the patch does not fit, by index.
    unfit: Unfit,
}
