//! Checks one target of a rule.

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::{Arn, Destination, ReplayTarget};
use serde_json::{Value, json};

use super::change::AwsChange;
use super::problem::{MIN_EVENT_AGE_SECONDS, RuleFinding, RuleProblem};
use crate::deployment::dead_letter_queues::DeadLetterQueueFacts;
use crate::deployment::event_rules::{RuleFacts, RuleTargetFacts};

/// The retry policy of a target without one.
const DEFAULT_RETRIES: u64 = 185;
const DEFAULT_EVENT_AGE_SECONDS: u64 = 86_400;

/// The known part of the replay function's deployment.
#[derive(Clone, Debug, Default)]
pub struct OwnDeployment {
    /// The ARNs of the queues that the function drains, the preferred one first. Empty if they are not known.
    pub queues: Vec<String>,
    /// The ARN of the function, to which a delivery would loop.
    pub function: Option<String>,
    /// The setting `REPLAY_TARGET`, if the settings are known.
    pub target: Option<ReplayTarget>,
}

impl OwnDeployment {
    /// Returns the queue that a rule can use as its dead-letter queue.
    pub(super) fn queue_for(&self, rule: &RuleFacts) -> Option<&str> {
        let rule = Arn::parse_trusted(&rule.arn)?;
        let is_usable = |queue: &&String| {
            let queue = Arn::parse_trusted(queue);
            queue.is_some_and(|queue| queue.region() == rule.region() && !queue.is_fifo())
        };
        self.queues.iter().find(is_usable).map(String::as_str)
    }

    fn drains(&self, queue: &str) -> bool {
        self.queues.iter().any(|own| own == queue)
    }
}

/// Returns the problems of a target. `queue` is the answer for its dead-letter queue, if it was read.
pub(super) fn findings(
    rule: &RuleFacts,
    target: &RuleTargetFacts,
    queue: Option<&Result<DeadLetterQueueFacts, AwsError>>,
    own: &OwnDeployment,
) -> Vec<RuleFinding> {
    let of_queue = queue_problem(rule, target, queue, own);
    let of_retry = retry_problem(target);
    let mut definition = target.definition.clone();
    let usable = own.queue_for(rule).filter(|own| target.dead_letter_queue.as_deref() != Some(own));
    if let (Some(_), Some(usable)) = (&of_queue, usable) {
        definition["DeadLetterConfig"] = json!({ "Arn": usable });
    }
    if of_retry.is_some() {
        repair_retry(&mut definition);
    }
    // One change for both problems, because a second one would undo the first.
    let change = AwsChange::put_target(rule, target, &definition);
    let mut findings = Vec::new();
    findings.extend(of_queue.map(|problem| {
        let change = match (&problem, usable) {
            (RuleProblem::QueueInOtherAccount { .. }, _) => None,
            (_, Some(_)) => Some(change.clone()),
            (RuleProblem::QueueMissing { queue }, None) if is_here(rule, queue) => {
                Some(AwsChange::create_queue(Arn::resource_of(queue)))
            }
            (_, None) => None,
        };
        RuleFinding { problem, change }
    }));
    findings.extend(of_retry.map(|problem| RuleFinding { problem, change: Some(change) }));
    findings.extend(destination_problem(target, own).map(RuleFinding::without_change));
    findings
}

fn queue_problem(
    rule: &RuleFacts,
    target: &RuleTargetFacts,
    answer: Option<&Result<DeadLetterQueueFacts, AwsError>>,
    own: &OwnDeployment,
) -> Option<RuleProblem> {
    let Some(queue) = target.dead_letter_queue.clone() else {
        return Some(RuleProblem::NoDeadLetterQueue);
    };
    let (of_rule, of_queue) = (Arn::parse_trusted(&rule.arn), Arn::parse_trusted(&queue));
    let is_other =
        |part: fn(&Arn) -> &str| of_rule.as_ref().map(part) != of_queue.as_ref().map(part);
    if is_other(Arn::region) {
        return Some(RuleProblem::QueueInOtherRegion { queue });
    }
    let is_fifo = |arn: &Arn| arn.is_fifo();
    if of_queue.as_ref().is_some_and(is_fifo) {
        return Some(RuleProblem::FifoQueue { queue });
    }
    match answer {
        Some(Err(_)) if is_other(Arn::account) => Some(RuleProblem::QueueInOtherAccount { queue }),
        Some(Err(error)) if error.kind == AwsErrorKind::NotFound => {
            Some(RuleProblem::QueueMissing { queue })
        }
        Some(_) | None if own.queues.is_empty() || own.drains(&queue) => None,
        Some(_) | None => Some(RuleProblem::OtherDeadLetterQueue { queue }),
    }
}

/// Returns true for a queue of the rule's account.
fn is_here(rule: &RuleFacts, queue: &str) -> bool {
    let account = |arn| Arn::parse_trusted(arn).map(|arn| arn.account().to_owned());
    account(&rule.arn) == account(queue)
}

fn retry_problem(target: &RuleTargetFacts) -> Option<RuleProblem> {
    let (retries, age_seconds) = (target.max_retries, target.max_event_age_seconds);
    let is_short = retries == Some(0) || age_seconds.is_some_and(|age| age < MIN_EVENT_AGE_SECONDS);
    is_short.then_some(RuleProblem::ShortRetry { retries, age_seconds })
}

fn repair_retry(definition: &mut Value) {
    let policy = &mut definition["RetryPolicy"];
    if policy["MaximumRetryAttempts"].as_u64() == Some(0) {
        policy["MaximumRetryAttempts"] = json!(DEFAULT_RETRIES);
    }
    if policy["MaximumEventAgeInSeconds"].as_u64().is_some_and(|age| age < MIN_EVENT_AGE_SECONDS) {
        policy["MaximumEventAgeInSeconds"] = json!(DEFAULT_EVENT_AGE_SECONDS);
    }
}

/// Returns the reason why the function archives the dead letters of the target. A fixed target replaces every target.
fn destination_problem(target: &RuleTargetFacts, own: &OwnDeployment) -> Option<RuleProblem> {
    let looping: Vec<&str> = own.queues.iter().chain(&own.function).map(String::as_str).collect();
    let destination = match &own.target {
        Some(ReplayTarget::Fixed(_)) => return None,
        Some(original @ ReplayTarget::Original(_)) => {
            original.destination(Some(&target.arn), &looping)
        }
        None => Destination::of_arn(&target.arn),
    };
    let arn = target.arn.clone();
    match destination {
        Destination::Unsupported(_) | Destination::TooLong(_) => {
            Some(RuleProblem::UnsupportedTarget { arn })
        }
        Destination::NotAllowed(_) | Destination::Looping(_) => {
            Some(RuleProblem::TargetNotAllowed { arn })
        }
        Destination::None
        | Destination::Http(_)
        | Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::EventBus(_)
        | Destination::Kinesis(_)
        | Destination::Firehose(_)
        | Destination::LogGroup(_)
        | Destination::ApiDestination(_)
        | Destination::ApiGateway(_)
        | Destination::CustomBus(_)
        | Destination::Missing => None,
    }
}
