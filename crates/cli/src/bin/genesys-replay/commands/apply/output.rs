//! A plan before a run and the result of a run, for people and for programs.

use genesys_replay_cli::operator::apply::{Options, ReplayFailure, Summary};
use genesys_replay_cli::operator::plan::Plan;
use serde_json::{Value, json};

use crate::commands::plan;
use crate::terminal::one_line;

/// The maximum number of named entries of a list.
pub(in crate::commands) const MAX_NAMED: usize = 10;

/// Returns the preview of a run for people.
pub(super) fn preview(plan: &Plan, to: &str, begun: usize, options: &Options) -> String {
    let content = &plan.content;
    let to = one_line(to);
    format!(
        "{} by {}, {}: {}\n{}would be sent {to}; edited: {}, in an earlier run: {begun}\n\
         at most {} per second; the first wave has {}, each next wave {} times as many, until {} % of a wave fail\n",
        one_line(&plan.id),
        one_line(&content.created_by),
        one_line(&content.created_at),
        one_line(&content.reason),
        plan::summary(plan),
        edited(plan),
        options.rate,
        options.canary,
        options.ramp,
        options.abort_at * 100.0,
    )
}

/// Returns the preview of a run for programs.
pub(super) fn preview_json(plan: &Plan, to: &str, begun: usize) -> Value {
    json!({
        "plan": plan.id,
        "items": plan.content.items.len(),
        "edited": edited(plan),
        "begun": begun,
        "to": to,
        "applied": false,
    })
}

/// Returns the result of a run for people.
pub(super) fn summary(plan: &Plan, summary: &Summary, audit: &str) -> String {
    let mut lines = vec![format!("{}: {}", one_line(&plan.id), summary.stop_reason)];
    lines.extend(summary.outcomes.iter().map(|((outcome, code), count)| {
        let code = Some(code).filter(|code| !code.is_empty());
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        format!("{count:7} {}", one_line(&format!("{}{code}", outcome.replace('_', " "))))
    }));
    lines.extend(summary.failures.iter().map(failure));
    let reasons = |list: &[(String, String)]| -> Vec<String> {
        list.iter().map(|(key, why)| format!("{key}: {why}")).collect()
    };
    for (what, list) in [
        ("sent and open: the queue delivers them again", summary.open.clone()),
        (
            "left out: changed, or received by the function, since the plan was made",
            reasons(&summary.left_out),
        ),
        ("not sent", reasons(&summary.not_sent)),
        ("not confirmed as sent, or open: --resume sends them again", reasons(&summary.doubtful)),
        ("sent, but still in their queue: --resume removes them", summary.still_in_source.clone()),
    ] {
        lines.extend(named(what, &list));
    }
    if summary.left > 0 {
        lines.push(format!("{:7} remaining", summary.left));
    }
    lines.push(format!("audit: {}\n", one_line(audit)));
    lines.join("\n")
}

/// Returns the number of dead letters and the first of them, one a line; nothing for an empty list.
pub(in crate::commands) fn named(what: &str, list: &[String]) -> Vec<String> {
    if list.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{:7} {what}", list.len())];
    lines.extend(list.iter().take(MAX_NAMED).map(|it| format!("        {}", one_line(it))));
    let more = list.len().saturating_sub(MAX_NAMED);
    lines.extend((more > 0).then(|| format!("        and {more} more")));
    lines
}

/// Returns one line about a dead letter that was not delivered: event, target, code, the target's answer and the page.
fn failure(failure: &ReplayFailure) -> String {
    let what = match failure.outcome {
        "deferred" => "deferred",
        _ => "failed",
    };
    let what = match failure.wave {
        0 => format!("{what} since the earlier run"),
        1 => format!("canary {what}"),
        wave => format!("{what} in wave {wave}"),
    };
    let code = if failure.code.is_empty() { "the code is not known" } else { &failure.code };
    let reason = failure.reason.as_ref().map(|reason| {
        let at = reason.archived_at.map(|at| format!(", archived at {at}")).unwrap_or_default();
        format!(", {}{at}", reason.text)
    });
    let page = match failure.code.as_str() {
        "" => String::new(),
        code => format!(" (genesys-replay explain {code})"),
    };
    let (event, target) = (failure.event_id(), failure.target());
    one_line(&format!("{what}: {event} at {target}: {code}{}{page}", reason.unwrap_or_default()))
}

fn failure_json(failure: &ReplayFailure) -> Value {
    let code = Some(&failure.code).filter(|code| !code.is_empty());
    let reason = failure.reason.as_ref();
    json!({
        "key": failure.shown,
        "wave": failure.wave,
        "outcome": failure.outcome,
        "failure_code": code,
        "reason": reason.map(|reason| &reason.text),
        "archived_at": reason.and_then(|it| it.archived_at).map(|at| at.to_string()),
    })
}

/// Returns the result of a run for programs.
pub(super) fn summary_json(plan: &Plan, summary: &Summary, audit: &str) -> Value {
    let outcomes = summary.outcomes.iter().map(|((outcome, code), count)| {
        let code = Some(code).filter(|code| !code.is_empty());
        json!({ "outcome": outcome, "failure_code": code, "count": count })
    });
    let reasons = |list: &[(String, String)]| -> Vec<Value> {
        let reason = |(key, reason): &(_, _)| json!({ "key": key, "reason": reason });
        list.iter().map(reason).collect()
    };
    json!({
        "plan": plan.id,
        "ending": summary.stop_reason.to_string(),
        "outcomes": outcomes.collect::<Vec<Value>>(),
        "open": summary.open,
        "left_out": reasons(&summary.left_out),
        "not_sent": reasons(&summary.not_sent),
        "doubtful": reasons(&summary.doubtful),
        "lingering": summary.still_in_source,
        "left": summary.left,
        "failures": summary.failures.iter().map(failure_json).collect::<Vec<Value>>(),
        "audit": audit,
        "applied": true,
    })
}

fn edited(plan: &Plan) -> usize {
    let items = plan.content.items.iter();
    items.filter(|item| item.edit.is_some()).count()
}
