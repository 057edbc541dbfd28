//! `history`: the runs of the shared plans, and the steps of one event.

use clap::builder::NonEmptyStringValueParser;
use genesys_replay::clock::Timestamp;
use genesys_replay_cli::operator::plans::{
    Catalog, EventStep, PlanRun, PlansError, RunsFound, StepsFound, event_steps, runs,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::plan_place::{plan_store, plans_error};
use crate::terminal;
use crate::terminal::one_line;
use crate::time_argument::parse_time;

/// Show who replayed, discarded or restored events, when and why: the runs of the shared plans, the newest first.
///
/// The times are those of S3. Plans in files have their audits beside them: trace --audit FILE.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Who replayed yesterday?
  genesys-replay history --function replay --since yesterday --until today
  # Who replayed this event?
  genesys-replay history --function replay --event 8bd2…

Exit code 1: a plan cannot be read, or no plan contains the event of --event.")]
pub(crate) struct HistoryArgs {
    /// Runs that began at this time or later.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "event")]
    since: Option<Timestamp>,
    /// Runs that began before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "event")]
    until: Option<Timestamp>,
    /// The steps of the event with this id instead.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    event: Option<String>,
    /// The maximum number of runs.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl HistoryArgs {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<ExitStatus> {
        let store = plan_store(context).await?;
        let catalog = Catalog::read(&store, "").await.map_err(plans_error)?;
        if let Some(event) = &self.event {
            let found = event_steps(&store, &catalog, event).await;
            let StepsFound { steps, plans, unreadable } = found;
            context.print(
                || match (steps.is_empty(), plans) {
                    (true, 0) => "no shared plan contains the event\n".to_owned(),
                    (true, _) => "the event is in a shared plan, which did not send it\n".to_owned(),
                    (false, _) => terminal::fitted(&steps.iter().map(step_text).collect::<String>()),
                },
                || json!({ "event": event, "plans": plans, "steps": steps, "unreadable": errors(&unreadable) }),
            )?;
            warn(&unreadable);
            return Ok(ExitStatus::of_findings(plans == 0 || !unreadable.is_empty()));
        }
        let RunsFound { mut runs, unreadable } =
            runs(&store, &catalog, self.since, self.until).await;
        let all = runs.len();
        runs.truncate(usize::try_from(self.limit)?);
        context.print(
            || {
                if runs.is_empty() {
                    return "no run of a shared plan in this time\n".to_owned();
                }
                let lines = runs.iter().map(|run| format!("{}\n", run_text(run)));
                terminal::fitted(&lines.collect::<String>())
            },
            || json!({ "runs": runs, "total": all, "unreadable": errors(&unreadable) }),
        )?;
        warn(&unreadable);
        if all > runs.len() {
            terminal::say(&format!("{} earlier runs are not shown: --limit", all - runs.len()));
        }
        Ok(ExitStatus::of_findings(!unreadable.is_empty()))
    }
}

/// Returns a run in two lines: who, what and why; the results.
pub(super) fn run_text(run: &PlanRun) -> String {
    let resumed = if run.resumed { " (resumed)" } else { "" };
    let outcomes = run.outcomes.iter();
    let mut outcomes: Vec<String> =
        outcomes.map(|(outcome, count)| format!("{count} {}", outcome.replace('_', " "))).collect();
    if outcomes.is_empty() {
        outcomes.push("nothing settled".to_owned());
    }
    let ended = run.ended.as_deref().unwrap_or("not ended");
    let first = format!(
        "{}  {}  {}{resumed} by {}: {}",
        run.begun_at,
        run.plan,
        run.kind.as_str(),
        run.by,
        run.reason
    );
    let second = format!("{} of {}; {ended}", outcomes.join(", "), run.items);
    format!("{}\n    {}", one_line(&first), one_line(&second))
}

fn step_text(step: &EventStep) -> String {
    let EventStep { at, plan, kind, by, reason, key, what } = step;
    let first = format!("{at}  {plan}  {} by {by}: {reason}", kind.as_str());
    format!("{}\n    {}\n", one_line(&first), one_line(&format!("{key}: {what}")))
}

fn errors(unreadable: &[(String, PlansError)]) -> Vec<Value> {
    let document = |(id, why): &(String, PlansError)| json!({ "id": id, "error": why.to_string() });
    unreadable.iter().map(document).collect()
}

fn warn(unreadable: &[(String, PlansError)]) {
    for (id, why) in unreadable {
        terminal::say(&format!("warning: {id} cannot be read: {}", one_line(&why.to_string())));
    }
}
