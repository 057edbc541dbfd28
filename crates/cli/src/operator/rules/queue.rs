//! Checks that `EventBridge` can write to a dead-letter queue.

use std::collections::BTreeSet;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::Arn;
use genesys_replay::queue::MAX_MESSAGE_BYTES;

use super::change::AwsChange;
use super::key_policy::{admits_event_bridge, with_event_bridge};
use super::problem::{RuleFinding, RuleProblem};
use super::queue_policy::{admits, all_sources, with_sources};
use super::resource_policy::Admission;
use crate::deployment::dead_letter_queues::{DeadLetterQueueFacts, KeyFacts, QueueKey};

/// Returns the problems of a queue to which `EventBridge` sends dead letters of these sources: ARNs of rules and buses.
pub(super) fn findings(
    queue: &DeadLetterQueueFacts,
    sources: &BTreeSet<String>,
) -> Vec<RuleFinding> {
    let mut findings = policy(queue, sources);
    findings.extend(queue.key.as_ref().and_then(|key| of_key(queue, key)));
    if queue.max_message_bytes < MAX_MESSAGE_BYTES {
        let problem = RuleProblem::SmallMessages { bytes: queue.max_message_bytes };
        findings.push(RuleFinding { problem, change: Some(AwsChange::message_size(queue)) });
    }
    findings
}

fn policy(queue: &DeadLetterQueueFacts, sources: &BTreeSet<String>) -> Vec<RuleFinding> {
    let (mut refused, mut denied, mut uncertain) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        let source = source.clone();
        match admits(queue.policy.as_deref(), &queue.arn, &source) {
            Admission::Admitted => {}
            Admission::Refused { reason } => refused.push((source, reason)),
            Admission::Denied { reason } | Admission::MaybeDenied { reason } => {
                denied.push((source, reason));
            }
            Admission::MaybeRefused { reason } => uncertain.push((source, reason)),
        }
    }
    let mut findings = Vec::new();
    if let Some((sources, reason)) = unzipped(refused) {
        let change = admitted(queue, &sources);
        findings
            .push(RuleFinding { problem: RuleProblem::PolicyRefuses { sources, reason }, change });
    }
    if let Some((sources, reason)) = unzipped(uncertain) {
        let change = admitted(queue, &sources);
        findings.push(RuleFinding {
            problem: RuleProblem::PolicyUncertain { sources, reason },
            change,
        });
    }
    if let Some((sources, reason)) = unzipped(denied) {
        let problem = RuleProblem::PolicyDenies { sources, reason };
        findings.push(RuleFinding::without_change(problem));
    }
    findings
}

/// Returns the sources, and the reason of the first one; `None` without a source.
fn unzipped(answers: Vec<(String, String)>) -> Option<(Vec<String>, String)> {
    let reason = answers.first()?.1.clone();
    Some((answers.into_iter().map(|(source, _)| source).collect(), reason))
}

/// Returns the change that admits all rules and buses of the sources' accounts and regions.
fn admitted(queue: &DeadLetterQueueFacts, sources: &[String]) -> Option<AwsChange> {
    let arns = sources.iter().filter_map(|source| Arn::parse_trusted(source));
    let patterns: BTreeSet<String> =
        arns.flat_map(|arn| all_sources(arn.partition(), arn.region(), arn.account())).collect();
    let patterns: Vec<String> = patterns.into_iter().collect();
    let policy = with_sources(queue.policy.as_deref(), &queue.arn, &patterns).ok()?;
    Some(AwsChange::queue_policy(queue, &policy, &patterns))
}

fn of_key(queue: &DeadLetterQueueFacts, key: &QueueKey) -> Option<RuleFinding> {
    let name = key.name.clone();
    let facts = match &key.facts {
        Ok(facts) => facts,
        Err(error) if error.kind == AwsErrorKind::NotFound => {
            let problem = RuleProblem::KeyMissing { key: name };
            return Some(RuleFinding { problem, change: Some(AwsChange::keys_of_sqs(queue)) });
        }
        Err(error) => return Some(not_read(error)),
    };
    if facts.is_aws_managed {
        let problem = RuleProblem::KeyOfAws { key: name };
        return Some(RuleFinding { problem, change: Some(AwsChange::keys_of_sqs(queue)) });
    }
    // Not every AWS-compatible endpoint reports a state.
    if !matches!(facts.state.as_str(), "Enabled" | "") {
        let is_deleted_soon = facts.state == "PendingDeletion";
        let is_changeable = is_deleted_soon || facts.state == "Disabled";
        let change = is_changeable.then(|| AwsChange::enable_key(&facts.arn, is_deleted_soon));
        let problem = RuleProblem::KeyNotEnabled { key: name, state: facts.state.clone() };
        return Some(RuleFinding { problem, change });
    }
    of_key_policy(name, facts)
}

fn of_key_policy(key: String, facts: &KeyFacts) -> Option<RuleFinding> {
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(error) => return Some(not_read(error)),
    };
    let change = || {
        let policy = with_event_bridge(Some(policy)).ok()?;
        Some(AwsChange::key_policy(&facts.arn, &policy))
    };
    let (problem, change) = match admits_event_bridge(Some(policy), &facts.arn) {
        Admission::Admitted => return None,
        Admission::Refused { reason } => (RuleProblem::KeyRefuses { key, reason }, change()),
        Admission::MaybeRefused { reason } => (RuleProblem::KeyUncertain { key, reason }, change()),
        Admission::Denied { reason } | Admission::MaybeDenied { reason } => {
            (RuleProblem::KeyDenies { key, reason }, None)
        }
    };
    Some(RuleFinding { problem, change })
}

fn not_read(error: &AwsError) -> RuleFinding {
    RuleFinding::without_change(RuleProblem::NotRead(error.clone()))
}
