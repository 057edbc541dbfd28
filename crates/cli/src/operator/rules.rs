//! The way of an event from a rule to the dead-letter queue, and the losses on it: `doctor rules`.
//!
//! The clients read the facts. [`evaluate`] computes the checks from them.

mod change;
pub mod key_policy;
mod problem;
mod queue;
pub mod queue_policy;
mod resource_policy;
mod target;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Arn;

pub use change::AwsChange;
pub use problem::{RuleFinding, RuleProblem};
pub use resource_policy::Admission;
pub use target::OwnDeployment;

use super::Progress;
use super::doctor::Verdict;
use crate::deployment::dead_letter_queues::{DeadLetterQueueFacts, DeadLetterQueueReader};
use crate::deployment::event_rules::{
    BusFacts, BusesAndRules, EventRulesReader, RuleFacts, RuleTargetFacts,
};
use crate::deployment::metrics::MetricsClient;
use crate::deployment::rule_metrics::RuleLosses;

/// The maximum number of queues that are read at once.
const MAX_CONCURRENT_READS: usize = 4;

/// The bus that every account has.
const DEFAULT_BUS: &str = "default";

/// The readers of the facts.
pub struct RuleReaders {
    pub rules: EventRulesReader,
    pub queues: DeadLetterQueueReader,
    pub metrics: MetricsClient,
}

/// The losses of rules by bus and name.
type LossesByRule = BTreeMap<(String, String), RuleLosses>;

/// The facts about rules and their dead-letter queues.
#[derive(Clone, Debug, Default)]
pub struct RuleDeliveryFacts {
    pub read: BusesAndRules,
    /// The dead-letter queues of enabled rules, by ARN.
    pub queues: BTreeMap<String, Result<DeadLetterQueueFacts, AwsError>>,
    /// The losses of enabled rules; `None` without enabled rules.
    pub losses: Option<Result<LossesByRule, AwsError>>,
    /// The partner event sources without a bus; `None` if only one bus is checked.
    pub pending_sources: Option<Result<Vec<String>, AwsError>>,
}

/// The checked part of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckedPart {
    /// The account and region with its buses and metrics.
    Account,
    Bus {
        bus: String,
    },
    PartnerSource {
        source: String,
    },
    Rule {
        bus: String,
        rule: String,
    },
    Target {
        bus: String,
        rule: String,
        target: String,
        arn: String,
        queue: Option<String>,
    },
    Queue {
        arn: String,
    },
}

/// The check of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCheck {
    pub part: CheckedPart,
    pub findings: Vec<RuleFinding>,
}

impl RuleCheck {
    fn of(part: CheckedPart, findings: Vec<RuleFinding>) -> Self {
        Self { part, findings }
    }

    fn unread(part: CheckedPart, error: &AwsError) -> Self {
        let problem = RuleProblem::NotRead(error.clone());
        Self::of(part, vec![RuleFinding::without_change(problem)])
    }

    /// Returns the worst verdict of the findings; [`Verdict::Ok`] without findings.
    pub fn verdict(&self) -> Verdict {
        let order = [Verdict::Error, Verdict::Warning, Verdict::Skipped];
        let mut verdicts = order.into_iter();
        let has =
            |verdict: &Verdict| self.findings.iter().any(|it| it.problem.verdict() == *verdict);
        verdicts.find(has).unwrap_or(Verdict::Ok)
    }
}

/// Reads the facts of the bus with this name, or of all buses of the account and region. Changes nothing.
///
/// # Errors
/// [`AwsError`] if the buses cannot be read. A missing permission and failures of other calls are facts.
pub async fn read(
    readers: &RuleReaders,
    bus: Option<&str>,
    own: &OwnDeployment,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<RuleDeliveryFacts, AwsError> {
    progress.begin("reading rules", None);
    let facts = Box::pin(facts(readers, bus, own, now, progress)).await;
    progress.end();
    facts
}

async fn facts(
    readers: &RuleReaders,
    bus: Option<&str>,
    own: &OwnDeployment,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<RuleDeliveryFacts, AwsError> {
    let read = match readers.rules.read(bus).await {
        // The default bus has a known name.
        Err(error) if error.kind == AwsErrorKind::Denied && bus.is_none() => {
            let mut read = readers.rules.read(Some(DEFAULT_BUS)).await?;
            read.failures.push(error);
            read
        }
        read => read?,
    };
    progress.rename("reading dead-letter queues and metrics");
    let names: BTreeSet<String> =
        checked_rules(&read).flat_map(|rule| queues_of(rule, own)).collect();
    let queues = stream::iter(names).map(async |arn| {
        let answer = readers.queues.read(&arn).await;
        (arn, answer)
    });
    let queues = queues.buffer_unordered(MAX_CONCURRENT_READS).collect::<BTreeMap<_, _>>();
    let rules: Vec<(&str, &str)> =
        checked_rules(&read).map(|rule| (rule.bus.as_str(), rule.name.as_str())).collect();
    let losses = async {
        if rules.is_empty() {
            return None;
        }
        let losses = readers.metrics.rule_losses(&rules, now).await;
        let names = rules.iter().map(|(bus, rule)| ((*bus).to_owned(), (*rule).to_owned()));
        Some(losses.map(|losses| names.zip(losses).collect()))
    };
    let sources = async {
        match bus {
            Some(_) => None,
            None => Some(readers.rules.sources_without_bus().await),
        }
    };
    let (queues, losses, pending_sources) = tokio::join!(queues, losses, sources);
    Ok(RuleDeliveryFacts { read, queues, losses, pending_sources })
}

/// Returns the rules that are neither disabled nor managed by a service.
fn checked_rules(read: &BusesAndRules) -> impl Iterator<Item = &RuleFacts> {
    read.rules.iter().filter(|rule| rule.is_enabled && rule.managed_by.is_none())
}

/// Returns the dead-letter queues that a rule's targets have, or would have after a change.
fn queues_of(rule: &RuleFacts, own: &OwnDeployment) -> Vec<String> {
    let targets = rule.targets.iter().flatten();
    targets.filter_map(|target| queue_of(rule, target, own).map(str::to_owned)).collect()
}

fn queue_of<'a>(
    rule: &RuleFacts,
    target: &'a RuleTargetFacts,
    own: &'a OwnDeployment,
) -> Option<&'a str> {
    let Some(queue) = target.dead_letter_queue.as_deref() else {
        return own.queue_for(rule);
    };
    let region = |arn| Arn::parse_trusted(arn).map(|arn| arn.region().to_owned());
    (region(queue) == region(&rule.arn)).then_some(queue)
}

/// Returns the checks: an entry for each target and each dead-letter queue, and one for each other part with a finding.
pub fn evaluate(facts: &RuleDeliveryFacts, own: &OwnDeployment) -> Vec<RuleCheck> {
    let mut checks = Vec::new();
    let account = |error: &AwsError| RuleCheck::unread(CheckedPart::Account, error);
    checks.extend(facts.read.failures.iter().map(account));
    if own.queues.is_empty() {
        let finding = RuleFinding::without_change(RuleProblem::OwnQueueUnknown);
        checks.push(RuleCheck::of(CheckedPart::Account, vec![finding]));
    }
    match &facts.pending_sources {
        Some(Ok(sources)) => checks.extend(sources.iter().map(|source| {
            let change = Some(AwsChange::create_bus(source));
            let finding = RuleFinding { problem: RuleProblem::SourceWithoutBus, change };
            let part = CheckedPart::PartnerSource { source: source.clone() };
            RuleCheck::of(part, vec![finding])
        })),
        Some(Err(error)) => checks.push(account(error)),
        None => {}
    }
    if let Some(Err(error)) = &facts.losses {
        let finding = RuleFinding::without_change(RuleProblem::NoMetrics(error.clone()));
        checks.push(RuleCheck::of(CheckedPart::Account, vec![finding]));
    }
    checks.extend(facts.read.buses.iter().filter_map(|bus| check_bus(bus, &facts.read.rules)));
    for rule in &facts.read.rules {
        checks.extend(check_rule(rule, facts));
        if rule.is_enabled && rule.managed_by.is_none() {
            let targets = rule.targets.iter().flatten();
            checks.extend(targets.map(|target| check_target(rule, target, facts, own)));
        }
    }
    checks.extend(check_queues(facts, own));
    checks
}

/// Returns the check of a bus with a finding.
fn check_bus(bus: &BusFacts, rules: &[RuleFacts]) -> Option<RuleCheck> {
    let mut problems = Vec::new();
    if let Err(error) = &bus.key {
        problems.push(RuleProblem::NotRead(error.clone()));
    }
    let mut own_rules = rules.iter().filter(|rule| rule.bus == bus.name);
    if bus.is_partner && !own_rules.any(|rule| rule.is_enabled) {
        problems.push(RuleProblem::BusWithoutRule);
    }
    let findings: Vec<_> = problems.into_iter().map(RuleFinding::without_change).collect();
    let part = CheckedPart::Bus { bus: bus.name.clone() };
    (!findings.is_empty()).then(|| RuleCheck::of(part, findings))
}

/// Returns the check of a rule with a finding of its own.
fn check_rule(rule: &RuleFacts, facts: &RuleDeliveryFacts) -> Option<RuleCheck> {
    let mut problems = Vec::new();
    if let Some(by) = &rule.managed_by {
        problems.push(RuleProblem::ManagedRule { by: by.clone() });
    } else if !rule.is_enabled {
        problems.push(RuleProblem::DisabledRule);
    } else {
        match &rule.targets {
            Err(error) => problems.push(RuleProblem::NotRead(error.clone())),
            Ok(targets) if targets.is_empty() => problems.push(RuleProblem::RuleWithoutTarget),
            Ok(_) => {}
        }
        let losses = facts.losses.as_ref().and_then(|losses| losses.as_ref().ok());
        let losses = losses.and_then(|it| it.get(&(rule.bus.clone(), rule.name.clone())));
        if let Some(losses) = losses {
            if losses.not_sent_to_queue.last_days > 0 {
                problems.push(RuleProblem::LostBeforeQueue(losses.not_sent_to_queue));
            }
            let mut targets = rule.targets.iter().flatten();
            if losses.failed.last_days > 0 && targets.any(|it| it.dead_letter_queue.is_none()) {
                problems.push(RuleProblem::LostWithoutQueue(losses.failed));
            }
        }
    }
    let findings: Vec<_> = problems.into_iter().map(RuleFinding::without_change).collect();
    let part = CheckedPart::Rule { bus: rule.bus.clone(), rule: rule.name.clone() };
    (!findings.is_empty()).then(|| RuleCheck::of(part, findings))
}

fn check_target(
    rule: &RuleFacts,
    target: &RuleTargetFacts,
    facts: &RuleDeliveryFacts,
    own: &OwnDeployment,
) -> RuleCheck {
    let queue = target.dead_letter_queue.as_ref().and_then(|arn| facts.queues.get(arn));
    let part = CheckedPart::Target {
        bus: rule.bus.clone(),
        rule: rule.name.clone(),
        target: target.id.clone(),
        arn: target.arn.clone(),
        queue: target.dead_letter_queue.clone(),
    };
    RuleCheck::of(part, target::findings(rule, target, queue, own))
}

/// Returns the checks of the queues that exist.
fn check_queues(facts: &RuleDeliveryFacts, own: &OwnDeployment) -> Vec<RuleCheck> {
    let mut sources: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for rule in checked_rules(&facts.read) {
        let bus = facts.read.buses.iter().find(|bus| bus.name == rule.bus);
        for target in rule.targets.iter().flatten() {
            if let Some(queue) = queue_of(rule, target, own) {
                let sources = sources.entry(queue).or_default();
                sources.insert(rule.arn.clone());
                sources.extend(bus.filter(|bus| sends_as_bus(bus)).map(|bus| bus.arn.clone()));
            }
        }
    }
    let checks = facts.queues.iter().filter_map(|(arn, answer)| {
        let part = CheckedPart::Queue { arn: arn.clone() };
        match answer {
            Ok(queue) => {
                let sources = sources.get(arn.as_str()).cloned().unwrap_or_default();
                Some(RuleCheck::of(part, queue::findings(queue, &sources)))
            }
            // A finding of the targets.
            Err(error) if error.kind == AwsErrorKind::NotFound => None,
            Err(error) => Some(RuleCheck::unread(part, error)),
        }
    });
    checks.collect()
}

/// Returns true for a bus that sends dead letters under its own ARN: one with a customer key, or a managed partner bus.
fn sends_as_bus(bus: &BusFacts) -> bool {
    let has_key = matches!(bus.key, Ok(Some(_)));
    !bus.arn.is_empty() && (has_key || (bus.is_partner && bus.managed_by.is_some()))
}

#[cfg(test)]
mod tests;
