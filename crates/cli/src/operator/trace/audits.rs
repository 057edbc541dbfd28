//! The part of a trace that audit files have.

use genesys_replay::clock::Timestamp;

use super::{AuditText, EventTrace, TracePlace, TraceSubject};
use crate::operator::apply::{AuditEntry, AuditEvent};
use crate::operator::close::CHANGED;

impl EventTrace {
    /// Finds the event of the message, if a plan has sent it.
    pub fn find_message_in_audits(&mut self, audits: &[AuditText]) {
        let TraceSubject::Message(wanted) = self.subject.clone() else {
            return;
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
            let (mut read, mut plan) = (0, String::new());
            for entry in entries(audit) {
                read += 1;
                if let AuditEvent::Begun { plan: id, by, .. } = &entry.event {
                    plan = format!("{id} by {by}");
                }
                if let Some((key, what)) = step(&entry.event, &plan) {
                    self.add_step(key, &entry.at, what);
                }
            }
            self.searched_in(TracePlace::Audit, &audit.name, read, audit.problem.clone());
        }
    }

    fn add_step(&mut self, key: &str, at: &str, what: String) {
        let (event_id, _) = key.split_once('|').unwrap_or((key, ""));
        if !self.ids.contains(event_id) {
            return;
        }
        // The key has the whole URL of a target, and an event only the part for people.
        let known = |name: &&String| key.starts_with(name.as_str());
        let name = self.events.keys().filter(known).max_by_key(|name| name.len()).cloned();
        let event = match name.and_then(|name| self.events.get_mut(&name)) {
            Some(event) => event,
            None => self.event(event_id, ""),
        };
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
