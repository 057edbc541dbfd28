//! A plan that discards or restores, and the result of its run, for people and for programs.

use genesys_replay_cli::operator::close::CloseSummary;
use genesys_replay_cli::operator::plan::Plan;
use serde_json::{Value, json};

use crate::commands::apply::named;
use crate::commands::plan::{self, dead_letters};
use crate::terminal::one_line;

/// Returns a new plan for people.
pub(super) fn plan(plan: &Plan, verb: &str, place: &str) -> String {
    let count = plan.content.items.len();
    let file = if count > 0 { format!(", in {place}") } else { String::new() };
    format!("{}: {} to {verb}{file}\n{}", plan.id, dead_letters(count), plan::summary(plan))
}

/// Returns a new plan for programs.
pub(super) fn plan_json(plan: &Plan, named: &str) -> Value {
    json!({
        "plan": named,
        "id": plan.id,
        "hash": plan.hash,
        "kind": plan.content.kind,
        "items": plan.content.items.len(),
        "left_out": plan.content.left_out,
        "applied": false,
    })
}

/// Returns the preview of a run for people.
pub(super) fn preview(plan: &Plan, past: &str, begun: usize) -> String {
    let content = &plan.content;
    format!(
        "{} by {}, {}: {}\n{}would be {past}: {}; in an earlier run: {begun}\n",
        one_line(&plan.id),
        one_line(&content.created_by),
        one_line(&content.created_at),
        one_line(&content.reason),
        plan::summary(plan),
        content.items.len(),
    )
}

/// Returns the preview of a run for programs.
pub(super) fn preview_json(plan: &Plan, begun: usize) -> Value {
    let content = &plan.content;
    json!({
        "plan": plan.id,
        "kind": content.kind,
        "items": content.items.len(),
        "begun": begun,
        "applied": false,
    })
}

/// Returns the result of a run for people.
pub(super) fn summary(plan: &Plan, past: &str, summary: &CloseSummary, audit: &str) -> String {
    let reasons = |list: &[(String, String)]| -> Vec<String> {
        list.iter().map(|(key, why)| format!("{key}: {why}")).collect()
    };
    let mut lines = vec![
        format!("{}: {}", one_line(&plan.id), ending(summary)),
        format!("{:7} {past}", summary.closed),
    ];
    for (what, list) in [
        (
            "not changed, because their ledger items have changed since the plan was made"
                .to_owned(),
            summary.changed.clone(),
        ),
        (format!("not {past}"), reasons(&summary.not_closed)),
        (format!("{past}, but the original stays"), reasons(&summary.still_in_source)),
    ] {
        lines.extend(named(&what, &list));
    }
    if summary.left > 0 {
        lines.push(format!("{:7} remaining", summary.left));
    }
    lines.push(format!("audit: {}\n", one_line(audit)));
    lines.join("\n")
}

/// Returns the result of a run for programs.
pub(super) fn summary_json(plan: &Plan, summary: &CloseSummary, audit: &str) -> Value {
    let reasons = |list: &[(String, String)]| -> Vec<Value> {
        let reason = |(key, reason): &(_, _)| json!({ "key": key, "reason": reason });
        list.iter().map(reason).collect()
    };
    json!({
        "plan": plan.id,
        "kind": plan.content.kind,
        "ending": ending(summary),
        "closed": summary.closed,
        "changed": summary.changed,
        "not_closed": reasons(&summary.not_closed),
        "still_in_source": reasons(&summary.still_in_source),
        "left": summary.left,
        "left_out": plan.content.left_out,
        "audit": audit,
        "applied": true,
    })
}

const fn ending(summary: &CloseSummary) -> &'static str {
    if summary.interrupted { "interrupted" } else { "done" }
}
