//! The problems on the way of an event from a rule to the dead-letter queue.

use std::fmt;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::Arn;
use genesys_replay::queue::MAX_MESSAGE_BYTES;

use super::change::AwsChange;
use crate::deployment::rule_metrics::{EventSums, LOSSES_WINDOW_DAYS};
use crate::operator::doctor::Verdict;
use crate::operator::remedy::remedy;

/// The minimum of the maximum event age, in seconds. A shorter outage of a target would fill the queue.
pub(super) const MIN_EVENT_AGE_SECONDS: u64 = 300;

/// A problem and the change that removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFinding {
    pub problem: RuleProblem,
    /// `None` if a person has to decide, or the change is not in AWS.
    pub change: Option<AwsChange>,
}

impl RuleFinding {
    pub(super) fn without_change(problem: RuleProblem) -> Self {
        Self { problem, change: None }
    }
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleProblem {
    /// The target has no dead-letter queue.
    NoDeadLetterQueue,
    /// The dead-letter queue is not one that the function drains.
    OtherDeadLetterQueue {
        queue: String,
    },
    /// The dead-letter queue does not exist.
    QueueMissing {
        queue: String,
    },
    /// The dead-letter queue is in another account, and cannot be read.
    QueueInOtherAccount {
        queue: String,
    },
    /// `EventBridge` writes to queues of the rule's region only.
    QueueInOtherRegion {
        queue: String,
    },
    /// `EventBridge` writes to standard queues only.
    FifoQueue {
        queue: String,
    },
    /// Deliveries are retried for a short time, or not at all.
    ShortRetry {
        retries: Option<u64>,
        age_seconds: Option<u64>,
    },
    /// The function cannot deliver to a target of this kind.
    UnsupportedTarget {
        arn: String,
    },
    /// The function may not deliver to the target.
    TargetNotAllowed {
        arn: String,
    },
    /// The rule matches no events.
    DisabledRule,
    /// A service of AWS owns the rule.
    ManagedRule {
        by: String,
    },
    RuleWithoutTarget,
    /// A partner's bus has no enabled rule, so its events go nowhere.
    BusWithoutRule,
    /// Events were not written to the dead-letter queue.
    LostBeforeQueue(EventSums),
    /// Events failed for good without a dead-letter queue.
    LostWithoutQueue(EventSums),
    /// The policy of the queue does not admit these sources.
    PolicyRefuses {
        sources: Vec<String>,
        reason: String,
    },
    /// The policy of the queue denies these sources.
    PolicyDenies {
        sources: Vec<String>,
        reason: String,
    },
    /// It is not certain that the policy of the queue admits these sources.
    PolicyUncertain {
        sources: Vec<String>,
        reason: String,
    },
    /// The queue has a limit below that of `EventBridge`.
    SmallMessages {
        bytes: usize,
    },
    /// The queue is encrypted with a key of AWS, which `EventBridge` cannot use.
    KeyOfAws {
        key: String,
    },
    KeyMissing {
        key: String,
    },
    /// The key cannot be used in its state.
    KeyNotEnabled {
        key: String,
        state: String,
    },
    /// The policy of the key does not admit `EventBridge`.
    KeyRefuses {
        key: String,
        reason: String,
    },
    /// The policy of the key denies `EventBridge`.
    KeyDenies {
        key: String,
        reason: String,
    },
    /// It is not certain that the policy of the key admits `EventBridge`.
    KeyUncertain {
        key: String,
        reason: String,
    },
    /// A partner event source has no bus, so its events go nowhere.
    SourceWithoutBus,
    /// The queue that the function drains is not known.
    OwnQueueUnknown,
    /// A part that was not read.
    NotRead(AwsError),
    /// The metrics were not read.
    NoMetrics(AwsError),
}

impl RuleProblem {
    /// Returns the name of the problem in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDeadLetterQueue => "no_dead_letter_queue",
            Self::OtherDeadLetterQueue { .. } => "other_dead_letter_queue",
            Self::QueueMissing { .. } => "queue_missing",
            Self::QueueInOtherAccount { .. } => "queue_in_other_account",
            Self::QueueInOtherRegion { .. } => "queue_in_other_region",
            Self::FifoQueue { .. } => "fifo_queue",
            Self::ShortRetry { .. } => "short_retry",
            Self::UnsupportedTarget { .. } => "unsupported_target",
            Self::TargetNotAllowed { .. } => "target_not_allowed",
            Self::DisabledRule => "disabled_rule",
            Self::ManagedRule { .. } => "managed_rule",
            Self::RuleWithoutTarget => "rule_without_target",
            Self::BusWithoutRule => "bus_without_rule",
            Self::LostBeforeQueue(_) => "lost_before_queue",
            Self::LostWithoutQueue(_) => "lost_without_queue",
            Self::PolicyRefuses { .. } => "policy_refuses",
            Self::PolicyDenies { .. } => "policy_denies",
            Self::PolicyUncertain { .. } => "policy_uncertain",
            Self::SmallMessages { .. } => "small_messages",
            Self::KeyOfAws { .. } => "key_of_aws",
            Self::KeyMissing { .. } => "key_missing",
            Self::KeyNotEnabled { .. } => "key_not_enabled",
            Self::KeyRefuses { .. } => "key_refuses",
            Self::KeyDenies { .. } => "key_denies",
            Self::KeyUncertain { .. } => "key_uncertain",
            Self::SourceWithoutBus => "source_without_bus",
            Self::OwnQueueUnknown => "own_queue_unknown",
            Self::NotRead(_) => "not_read",
            Self::NoMetrics(_) => "no_metrics",
        }
    }

    /// Returns [`Verdict::Error`] for a problem that loses events.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::NoDeadLetterQueue
            | Self::QueueMissing { .. }
            | Self::QueueInOtherRegion { .. }
            | Self::FifoQueue { .. }
            | Self::PolicyRefuses { .. }
            | Self::PolicyDenies { .. }
            | Self::KeyOfAws { .. }
            | Self::KeyMissing { .. }
            | Self::KeyNotEnabled { .. }
            | Self::KeyRefuses { .. }
            | Self::KeyDenies { .. } => Verdict::Error,
            Self::LostBeforeQueue(sums) | Self::LostWithoutQueue(sums) => {
                // An older loss may be repaired.
                if sums.last_day > 0 { Verdict::Error } else { Verdict::Warning }
            }
            Self::OtherDeadLetterQueue { .. }
            | Self::ShortRetry { .. }
            | Self::UnsupportedTarget { .. }
            | Self::TargetNotAllowed { .. }
            | Self::RuleWithoutTarget
            | Self::BusWithoutRule
            | Self::PolicyUncertain { .. }
            | Self::SmallMessages { .. }
            | Self::KeyUncertain { .. }
            | Self::SourceWithoutBus => Verdict::Warning,
            Self::QueueInOtherAccount { .. }
            | Self::DisabledRule
            | Self::ManagedRule { .. }
            | Self::OwnQueueUnknown
            | Self::NoMetrics(_) => Verdict::Skipped,
            Self::NotRead(error) => match error.kind {
                AwsErrorKind::Denied | AwsErrorKind::Throttled => Verdict::Warning,
                AwsErrorKind::RegionNotConfigured
                | AwsErrorKind::Credentials
                | AwsErrorKind::WrongClock
                | AwsErrorKind::NotFound
                | AwsErrorKind::Unreachable
                | AwsErrorKind::Refused => Verdict::Error,
            },
        }
    }

    /// Returns the next step of a person, in one line that completes "hint: …".
    pub fn hint(&self) -> String {
        let text = match self {
            Self::NoDeadLetterQueue => "give the target the queue that the function drains",
            Self::OtherDeadLetterQueue { .. } => {
                "if its events are to be replayed, give the target the queue that the function drains"
            }
            Self::QueueMissing { .. } => {
                "create the queue, or give the target the queue that the function drains"
            }
            Self::QueueInOtherAccount { .. } => {
                "run doctor rules with credentials of its account: its policy must admit the rule"
            }
            Self::QueueInOtherRegion { .. } | Self::FifoQueue { .. } => {
                "give the target a standard queue of the rule's region: the one that the function drains"
            }
            Self::ShortRetry { .. } => {
                "give the target the default of EventBridge: 185 retries within 24 h"
            }
            Self::UnsupportedTarget { .. } => "genesys-replay explain TARGET_UNSUPPORTED",
            Self::TargetNotAllowed { .. } => {
                "add it to ALLOWED_TARGETS (the parameter AllowedTargets): genesys-replay explain TARGET_NOT_ALLOWED"
            }
            Self::DisabledRule => "no action, if this is intended; else: aws events enable-rule",
            Self::ManagedRule { .. } => "no action: the service manages its targets",
            Self::RuleWithoutTarget => "give the rule a target, or delete it",
            Self::BusWithoutRule => {
                "create a rule, or enable one: until then its events go nowhere"
            }
            Self::LostBeforeQueue(_) => {
                "repair the errors of its queue below; Genesys Cloud does not send lost events again"
            }
            Self::LostWithoutQueue(_) => {
                "give its targets a dead-letter queue; Genesys Cloud does not send lost events again"
            }
            Self::PolicyRefuses { .. } | Self::PolicyUncertain { .. } => {
                "add a statement for the rules and buses of this account; other statements stay"
            }
            Self::PolicyDenies { .. } => "change this statement of the queue's policy by hand",
            Self::SmallMessages { .. } => "raise the limit to the maximum of SQS",
            Self::KeyOfAws { .. } | Self::KeyMissing { .. } => {
                "encrypt the queue with keys of SQS, or with a customer key that admits EventBridge"
            }
            Self::KeyNotEnabled { .. } => "enable the key",
            Self::KeyRefuses { .. } | Self::KeyUncertain { .. } => {
                "add a statement for EventBridge to the policy of the key; other statements stay"
            }
            Self::KeyDenies { .. } => "change this statement of the key's policy by hand",
            Self::SourceWithoutBus => "create its bus, then a rule",
            Self::OwnQueueUnknown => {
                "name the function that drains the queue: --function, or the queue: --queue"
            }
            Self::NotRead(error) | Self::NoMetrics(error) => remedy(error.kind),
        };
        text.to_owned()
    }
}

impl fmt::Display for RuleProblem {
    #[expect(clippy::too_many_lines, reason = "one sentence for each problem")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |arn: &str| Arn::resource_of(arn).to_owned();
        match self {
            Self::NoDeadLetterQueue => {
                f.write_str("no dead-letter queue: events that the target does not accept are lost")
            }
            Self::OtherDeadLetterQueue { queue } => {
                write!(
                    f,
                    "its dead letters go to {}, which the function does not drain",
                    name(queue)
                )
            }
            Self::QueueMissing { queue } => {
                write!(f, "the dead-letter queue {queue} does not exist: dead letters are lost")
            }
            Self::QueueInOtherAccount { queue } => {
                write!(f, "the dead-letter queue {queue} is in another account and cannot be read")
            }
            Self::QueueInOtherRegion { queue } => {
                write!(
                    f,
                    "the dead-letter queue {queue} is in another region: dead letters are lost"
                )
            }
            Self::FifoQueue { queue } => {
                write!(
                    f,
                    "the dead-letter queue {} is a FIFO queue: dead letters are lost",
                    name(queue)
                )
            }
            Self::ShortRetry { retries, age_seconds } => {
                f.write_str("a short outage of the target makes dead letters:")?;
                if *retries == Some(0) {
                    f.write_str(" no retries")?;
                }
                match age_seconds.filter(|age| *age < MIN_EVENT_AGE_SECONDS) {
                    Some(age) => write!(f, " events are retried for {age} s"),
                    None => Ok(()),
                }
            }
            Self::UnsupportedTarget { arn } => {
                write!(f, "{arn} is not a supported target: its dead letters are archived")
            }
            Self::TargetNotAllowed { arn } => {
                write!(f, "ALLOWED_TARGETS does not cover {arn}: its dead letters are archived")
            }
            Self::DisabledRule => f.write_str("the rule is disabled"),
            Self::ManagedRule { by } => write!(f, "the rule is managed by {by}"),
            Self::RuleWithoutTarget => f.write_str("the rule has no target: its events go nowhere"),
            Self::BusWithoutRule => {
                f.write_str("no rule is enabled: the partner's events go nowhere")
            }
            Self::LostBeforeQueue(sums) => {
                write!(f, "{} were lost before the dead-letter queue", counted(*sums))
            }
            Self::LostWithoutQueue(sums) => {
                write!(f, "{} failed, and a target has no dead-letter queue", counted(*sums))
            }
            Self::PolicyRefuses { sources, reason } => {
                write!(f, "the policy does not admit {}: {reason}", listed(sources))
            }
            Self::PolicyDenies { sources, reason } => {
                write!(f, "the policy denies, or may deny, {}: {reason}", listed(sources))
            }
            Self::PolicyUncertain { sources, reason } => {
                write!(f, "it is not certain that the policy admits {}: {reason}", listed(sources))
            }
            Self::SmallMessages { bytes } => {
                write!(
                    f,
                    "messages may have {bytes} bytes, events {MAX_MESSAGE_BYTES}: longer dead letters are lost"
                )
            }
            Self::KeyOfAws { key } => {
                write!(
                    f,
                    "the queue is encrypted with {key}, which EventBridge cannot use: dead letters are lost"
                )
            }
            Self::KeyMissing { key } => {
                write!(f, "the key {key} does not exist: dead letters are lost")
            }
            Self::KeyNotEnabled { key, state } => {
                write!(f, "the key {key} is {state}: dead letters are lost")
            }
            Self::KeyRefuses { key, reason } => {
                write!(f, "the policy of the key {key} does not admit EventBridge: {reason}")
            }
            Self::KeyDenies { key, reason } => {
                write!(f, "the policy of the key {key} denies, or may deny, EventBridge: {reason}")
            }
            Self::KeyUncertain { key, reason } => {
                write!(
                    f,
                    "it is not certain that the policy of the key {key} admits EventBridge: {reason}"
                )
            }
            Self::SourceWithoutBus => {
                f.write_str("the partner event source has no bus: its events go nowhere")
            }
            Self::OwnQueueUnknown => f.write_str("the queue that the function drains is not known"),
            Self::NotRead(error) | Self::NoMetrics(error) => error.fmt(f),
        }
    }
}

fn counted(sums: EventSums) -> String {
    let EventSums { last_day, last_days } = sums;
    format!(
        "{last_days} events of the last {LOSSES_WINDOW_DAYS} days, {last_day} of the last 24 h,"
    )
}

/// The maximum number of sources in a sentence.
const MAX_SHOWN_SOURCES: usize = 3;

fn listed(sources: &[String]) -> String {
    let shown = sources.iter().take(MAX_SHOWN_SOURCES).map(|arn| Arn::resource_of(arn));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match sources.len().saturating_sub(MAX_SHOWN_SOURCES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
