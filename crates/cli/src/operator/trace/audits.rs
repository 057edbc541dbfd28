//! The part of a trace that audit files have.

use genesys_replay::clock::Timestamp;

use super::{AuditText, EventTrace, TracePlace, TraceSubject};
use crate::operator::apply::{AuditEntry, AuditEvent};
use crate::operator::close::CHANGED;
use crate::operator::plan::shown_target;

impl EventTrace {
    /// Finds the event of the message, if a plan has sent it.
    pub fn find_message_in_audits(&mut self, audits: &[AuditText]) {
        let wanted = match &self.subject {
            TraceSubject::Message(wanted) | TraceSubject::Any(wanted) => wanted.clone(),
            TraceSubject::Interaction(_) | TraceSubject::Event(_) => return,
        };
        for entry in audits.iter().flat_map(entries) {
            if let AuditEvent::Sent { key, message_id } = entry.event
                && message_id == wanted
            {
                let event_id = key.split('|').next().unwrap_or_default();
                self.ids.insert(event_id.to_owned());
            }
        }
    }

    /// Searches the audits for the events that were found elsewhere.
    pub fn search_audits(&mut self, audits: &[AuditText]) {
        for audit in audits {
            let (mut read, mut plan, mut reason) = (0, String::new(), None);
            for entry in entries(audit) {
                read += 1;
                if let AuditEvent::Begun { plan: id, by, reason: of_run, .. } = &entry.event {
                    plan = format!("{id} by {by}");
                    reason = of_run.as_ref().or(audit.plan_reason.as_ref()).cloned();
                }
                if let Some((key, mut what)) = step(&entry.event, &plan) {
                    if let (AuditEvent::Closed { .. }, Some(reason)) = (&entry.event, &reason) {
                        what = format!("{what}: {reason}");
                    }
                    self.add_step(key, &entry.at, what);
                }
            }
            // A run that died may have left an incomplete last line.
            let lines = audit.text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let unreadable = (lines.count() as u64).saturating_sub(read);
            let problem = audit.problem.clone().or_else(|| {
                (unreadable > 0).then(|| format!("lines that are not of an audit: {unreadable}"))
            });
            self.searched_in(TracePlace::Audit, &audit.name, read, problem);
        }
    }

    fn add_step(&mut self, key: &str, at: &str, what: String) {
        let (event_id, target) = key.split_once('|').unwrap_or((key, ""));
        if !self.ids.contains(event_id) {
            return;
        }
        // The key has the whole URL of a target, and an event only the part for people.
        let event = self.event(event_id, &shown_target(target));
        event.add(Timestamp::parse(at), TracePlace::Audit, what);
    }
}

/// Returns the readable entries of an audit.
fn entries(audit: &AuditText) -> impl Iterator<Item = AuditEntry> {
    audit.text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// Returns the event's key and the step in words; `None` for steps that are not about one event.
pub(crate) fn step<'e>(event: &'e AuditEvent, plan: &str) -> Option<(&'e str, String)> {
    match event {
        AuditEvent::Sent { key, message_id } => {
            Some((key, format!("sent again by {plan}, as message {message_id}")))
        }
        AuditEvent::NotSent { key, reason } => Some((key, format!("not sent by {plan}: {reason}"))),
        AuditEvent::Doubtful { key, reason } => {
            Some((key, format!("may have been sent by {plan}: {reason}")))
        }
        AuditEvent::Outcome { key, outcome, failure_code } => {
            let code = failure_code.as_deref().map(|it| format!(" {it}")).unwrap_or_default();
            Some((key, format!("outcome of {plan}: {outcome}{code}")))
        }
        AuditEvent::Closed { key, outcome, .. } if outcome == CHANGED => {
            Some((key, format!("not changed by {plan}: its ledger item has changed")))
        }
        AuditEvent::Closed { key, outcome, .. } => Some((key, format!("{outcome} by {plan}"))),
        AuditEvent::NotClosed { key, reason, .. } => {
            Some((key, format!("not changed by {plan}: {reason}")))
        }
        AuditEvent::StepBegun { .. }
        | AuditEvent::StepDone { .. }
        | AuditEvent::Begun { .. }
        | AuditEvent::Wave { .. }
        | AuditEvent::Sending { .. }
        | AuditEvent::LeftQueue { .. }
        | AuditEvent::LeftParking { .. }
        | AuditEvent::Ended { .. }
        | AuditEvent::Part(_)
        | AuditEvent::TakenOver { .. }
        | AuditEvent::Aborted { .. }
        | AuditEvent::Superseded { .. } => None,
    }
}
