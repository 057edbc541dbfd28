//! The choice of the dead-letter queue.

use std::collections::{BTreeMap, BTreeSet};

use genesys_replay::destination::{Arn, Destination};

/// A target of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetOfRule {
    pub rule: String,
    /// True if the bus or the pattern of the rule is that of Genesys Cloud.
    pub is_genesys: bool,
    pub target: String,
    /// The ARN of the target's dead-letter queue.
    pub dead_letter_queue: Option<String>,
    /// The ARNs under which `EventBridge` sends its dead letters.
    pub sources: Vec<String>,
}

/// A queue that is the dead-letter queue of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCandidate {
    pub arn: String,
    /// The names of the rules.
    pub rules: BTreeSet<String>,
    /// True if an event of Genesys Cloud may be among its dead letters.
    pub is_genesys: bool,
}

/// The queue of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueueChoice {
    Existing {
        arn: String,
    },
    /// The stack creates the queue.
    Created,
}

/// The reason why no queue is chosen: several queues fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeveralQueues(pub Vec<QueueCandidate>);

/// Returns the dead-letter queues of the rules in this account and region, those of Genesys Cloud first.
pub(super) fn candidates(targets: &[TargetOfRule]) -> Vec<QueueCandidate> {
    let mut found: BTreeMap<&str, QueueCandidate> = BTreeMap::new();
    for target in targets {
        let Some(arn) = target.dead_letter_queue.as_deref() else {
            continue;
        };
        let candidate = found.entry(arn).or_default();
        arn.clone_into(&mut candidate.arn);
        candidate.rules.insert(target.rule.clone());
        candidate.is_genesys |= target.is_genesys;
    }
    let mut candidates: Vec<QueueCandidate> = found.into_values().collect();
    candidates.sort_by_key(|candidate| !candidate.is_genesys);
    candidates
}

/// Chooses the queue: the only one of Genesys Cloud, else the only one; a new queue without a candidate.
///
/// # Errors
/// [`SeveralQueues`], those of Genesys Cloud if there are several.
pub(super) fn choose(candidates: &[QueueCandidate]) -> Result<QueueChoice, SeveralQueues> {
    let of_genesys = candidates.iter().filter(|candidate| candidate.is_genesys);
    let of_genesys: Vec<&QueueCandidate> = of_genesys.collect();
    let fitting = if of_genesys.is_empty() { candidates.iter().collect() } else { of_genesys };
    match fitting.as_slice() {
        [] => Ok(QueueChoice::Created),
        [one] => Ok(QueueChoice::Existing { arn: one.arn.clone() }),
        several => Err(SeveralQueues(several.iter().map(|it| (*it).clone()).collect())),
    }
}

/// The targets that the dead letters of a queue may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DerivedTargets {
    /// The ARNs of targets that the function can deliver to.
    pub deliverable: BTreeSet<String>,
    /// The ARNs of other targets.
    pub unsupported: BTreeSet<String>,
}

impl DerivedTargets {
    /// Derives the targets from the rules of a queue. For a queue that the stack creates, from the rules of Genesys Cloud
    /// that do not have a dead-letter queue.
    pub(super) fn of(targets: &[TargetOfRule], queue: &QueueChoice) -> Self {
        let mut derived = Self::default();
        let chosen = targets.iter().filter(|target| match queue {
            QueueChoice::Existing { arn } => target.dead_letter_queue.as_ref() == Some(arn),
            QueueChoice::Created => target.is_genesys && target.dead_letter_queue.is_none(),
        });
        for target in chosen {
            let set = if is_deliverable(&target.target) {
                &mut derived.deliverable
            } else {
                &mut derived.unsupported
            };
            set.insert(target.target.clone());
        }
        derived
    }

    /// Returns the names of the API destinations, whose connections the function must be allowed to read.
    pub(super) fn api_destinations(&self) -> impl Iterator<Item = String> {
        let arns = self.deliverable.iter().filter_map(|arn| Arn::parse(arn));
        arns.filter_map(|arn| arn.api_destination().map(str::to_owned))
    }
}

/// Returns true if the function can deliver to a target with this ARN.
fn is_deliverable(arn: &str) -> bool {
    match Destination::of_arn(arn) {
        Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::Kinesis(_)
        | Destination::Firehose(_)
        | Destination::LogGroup(_)
        | Destination::EventBus(_)
        | Destination::CustomBus(_)
        | Destination::ApiDestination(_)
        | Destination::ApiGateway(_)
        | Destination::Http(_) => true,
        Destination::None
        | Destination::Unsupported(_)
        | Destination::NotAllowed(_)
        | Destination::Looping(_)
        | Destination::TooLong(_)
        | Destination::Missing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(rule: &str, is_genesys: bool, target: &str, queue: Option<&str>) -> TargetOfRule {
        TargetOfRule {
            rule: rule.to_owned(),
            is_genesys,
            target: format!("arn:aws:{target}"),
            dead_letter_queue: queue.map(str::to_owned),
            sources: Vec::new(),
        }
    }

    const CRM: &str = "lambda:eu-central-1:271828182845:function:crm";
    const BATCH: &str = "batch:eu-central-1:271828182845:job-queue/nightly";

    #[test]
    fn queue_of_genesys_cloud_is_chosen_before_others() {
        let mut targets = vec![target("billing", false, CRM, Some("q-billing"))];
        let chosen = |targets: &[TargetOfRule]| choose(&candidates(targets));
        let existing = |arn: &str| Ok(QueueChoice::Existing { arn: arn.to_owned() });
        assert_eq!(chosen(&[]), Ok(QueueChoice::Created));
        assert_eq!(chosen(&[target("crm", true, CRM, None)]), Ok(QueueChoice::Created));
        assert_eq!(chosen(&targets), existing("q-billing"));
        targets.push(target("crm", true, CRM, Some("q-genesys")));
        targets.push(target("audit", true, CRM, Some("q-genesys")));
        assert_eq!(chosen(&targets), existing("q-genesys"));
        targets.push(target("other", true, CRM, Some("q-other")));
        let several = chosen(&targets).err().map(|SeveralQueues(found)| found).unwrap_or_default();
        let names: Vec<_> = several.iter().map(|it| (it.arn.as_str(), it.rules.len())).collect();
        assert_eq!(names, [("q-genesys", 2), ("q-other", 1)]);
    }

    #[test]
    fn targets_are_those_of_the_rules_of_the_queue() {
        let targets = [
            target("crm", true, CRM, Some("q")),
            target("crm", true, BATCH, Some("q")),
            target("new", true, "sqs:eu-central-1:271828182845:new", None),
            target("billing", false, "sqs:eu-central-1:271828182845:billing", Some("q-billing")),
            target("cron", false, "sqs:eu-central-1:271828182845:cron", None),
        ];
        let derived = DerivedTargets::of(&targets, &QueueChoice::Existing { arn: "q".to_owned() });
        assert_eq!(derived.deliverable, BTreeSet::from([format!("arn:aws:{CRM}")]));
        assert_eq!(derived.unsupported, BTreeSet::from([format!("arn:aws:{BATCH}")]));
        let derived = DerivedTargets::of(&targets, &QueueChoice::Created);
        let new = "arn:aws:sqs:eu-central-1:271828182845:new".to_owned();
        assert_eq!(derived.deliverable, BTreeSet::from([new]));
    }
}
