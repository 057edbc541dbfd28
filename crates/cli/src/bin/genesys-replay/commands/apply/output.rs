//! What `apply` says of a plan and of a run.

use std::path::Path;

use genesys_replay_cli::operator::apply::{Options, Summary};
use genesys_replay_cli::operator::plan::Plan;
use serde_json::{Value, json};

use crate::commands::plan;

/// How many of a list are named.
const MAX_NAMED: usize = 10;

/// What would happen.
pub(super) fn prospect(plan: &Plan, to: &str, begun: usize, options: &Options) -> String {
    let content = &plan.content;
    format!(
        "{} by {}, {}: {}\n{}would be sent {to}, {} of them edited, {begun} begun before\n\
         at most {} a second, in waves: {}, then each {} times the one before, until {} % of one fail\n",
        plan.id,
        content.created_by,
        content.created_at,
        content.reason,
        plan::summary(plan),
        edited(plan),
        options.rate,
        options.canary,
        options.ramp,
        options.abort_at * 100.0,
    )
}

/// The same for programs.
pub(super) fn prospect_json(plan: &Plan, to: &str, begun: usize) -> String {
    json!({
        "plan": plan.id,
        "items": plan.content.items.len(),
        "edited": edited(plan),
        "begun": begun,
        "to": to,
        "applied": false,
    })
    .to_string()
}

/// What a run has come to.
pub(super) fn summary(plan: &Plan, summary: &Summary, audit: &Path) -> String {
    let outcomes = summary.outcomes.iter().map(|((outcome, code), count)| {
        let code = if code.is_empty() {
            String::new()
        } else {
            format!(" ({code})")
        };
        format!("{count:7} {}{code}", outcome.replace('_', " "))
    });
    let mut lines = vec![format!("{}: {}", plan.id, summary.ending)];
    lines.extend(outcomes);
    if !summary.open.is_empty() {
        let count = summary.open.len();
        lines.push(format!(
            "{count:7} sent and open: the queue goes on with them"
        ));
        lines.extend(named(summary.open.iter().cloned()));
    }
    if !summary.not_sent.is_empty() {
        let reasons = summary
            .not_sent
            .iter()
            .map(|(key, why)| format!("{key}: {why}"));
        lines.push(format!("{:7} not sent", summary.not_sent.len()));
        lines.extend(named(reasons));
    }
    if !summary.doubtful.is_empty() {
        let reasons = summary.doubtful.iter();
        let reasons = reasons.map(|(key, why)| format!("{key}: {why}"));
        let count = summary.doubtful.len();
        lines.push(format!(
            "{count:7} not known to be sent, or open: --resume tries them again"
        ));
        lines.extend(named(reasons));
    }
    if !summary.lingering.is_empty() {
        let count = summary.lingering.len();
        lines.push(format!(
            "{count:7} sent, and still in the parking queue: --resume removes them"
        ));
        lines.extend(named(summary.lingering.iter().cloned()));
    }
    if summary.left > 0 {
        lines.push(format!("{:7} left", summary.left));
    }
    lines.push(format!("audit: {}\n", audit.display()));
    lines.join("\n")
}

/// The same for programs.
pub(super) fn summary_json(plan: &Plan, summary: &Summary, audit: &Path) -> String {
    let outcomes = summary.outcomes.iter().map(|((outcome, code), count)| {
        let code = Some(code).filter(|code| !code.is_empty());
        json!({ "outcome": outcome, "failure_code": code, "count": count })
    });
    let reasons = |list: &[(String, String)]| -> Vec<Value> {
        let pairs = list.iter();
        pairs
            .map(|(key, reason)| json!({ "key": key, "reason": reason }))
            .collect()
    };
    json!({
        "plan": plan.id,
        "ending": summary.ending.to_string(),
        "outcomes": outcomes.collect::<Vec<Value>>(),
        "open": summary.open,
        "not_sent": reasons(&summary.not_sent),
        "doubtful": reasons(&summary.doubtful),
        "lingering": summary.lingering,
        "left": summary.left,
        "audit": audit,
        "applied": true,
    })
    .to_string()
}

fn edited(plan: &Plan) -> usize {
    let items = plan.content.items.iter();
    items.filter(|item| item.edit.is_some()).count()
}

/// The first of a list, and how many more there are.
fn named(list: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = list.len().saturating_sub(MAX_NAMED);
    let mut lines: Vec<String> = list
        .take(MAX_NAMED)
        .map(|it| format!("        {it}"))
        .collect();
    lines.extend((more > 0).then(|| format!("        and {more} more")));
    lines
}
