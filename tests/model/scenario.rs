//! The bounds of a model, and the injected bug.

use std::time::Duration;

use genesys_fakes::{Clocks, Flaw, Rules};

/// The value of the template.
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

/// The bounds of a model, within which it explores every step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) clocks: Clocks,
    pub(crate) messages: Messages,
    pub(crate) archive: bool,
    /// The messages may wait for thirteen days, once.
    pub(crate) days_may_pass: bool,
    /// The maximum number of crashes and cut-offs.
    pub(crate) crashes: u8,
    /// The maximum number of calls without a response.
    pub(crate) lost_responses: u8,
    /// The maximum number of redeliveries before the visibility timeout.
    pub(crate) early_redeliveries: u8,
    /// The maximum number of failure records.
    pub(crate) late_failures: u8,
    /// The setting `MAX_ROUNDS`.
    pub(crate) max_rounds: u32,
    /// The maximum number of attempts in one delivery.
    pub(crate) max_attempts: u8,
    /// A failed attempt at this receive count is the last one.
    pub(crate) last_receive: u8,
    /// A message that returns with this receive count is parked.
    pub(crate) max_receives: u8,
    pub(crate) rules: Rules,
    pub(crate) worker_bug: Option<WorkerBug>,
}

/// The messages of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    One,
    Two,
    /// Two, the second of them an operator replay.
    SecondSentAgain,
}

impl Messages {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::SecondSentAgain => 2,
        }
    }

    /// Returns whether this message is an operator replay.
    pub(crate) fn is_sent_again(self, index: usize) -> bool {
        self == Self::SecondSentAgain && index == 1
    }
}

/// An injected bug of a worker, to check that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerBug {
    /// Messages are deleted before they are handled.
    AcknowledgesFirst,
    /// A rejected message is acknowledged before it is archived.
    ArchivesLast,
    /// The worker continues without a claim when the ledger is down.
    ContinuesWithoutClaim,
    /// The next attempt begins without a write to the ledger.
    CountsNoRetry,
    /// A lease ends before its invocation.
    LeaseEndsEarly,
    /// A worker that is cut off releases the event, also after the acceptance.
    ReleasesAccepted,
    /// A failure record of a delivered event counts as a duplicate.
    IgnoresLaterFailures,
    /// Every failure record counts as a report on the latest delivery.
    ComparesNoDeliveries,
}

impl WorkerBug {
    pub(crate) const ALL: [Self; 8] = [
        Self::AcknowledgesFirst,
        Self::ArchivesLast,
        Self::ContinuesWithoutClaim,
        Self::CountsNoRetry,
        Self::LeaseEndsEarly,
        Self::ReleasesAccepted,
        Self::IgnoresLaterFailures,
        Self::ComparesNoDeliveries,
    ];
}

impl Scenario {
    /// Returns the bounds of one message, bounded clocks, one crash and one lost response.
    pub(crate) const fn base() -> Self {
        Self {
            clocks: Clocks::Bounded,
            messages: Messages::One,
            archive: true,
            days_may_pass: false,
            crashes: 1,
            lost_responses: 1,
            early_redeliveries: 0,
            late_failures: 0,
            max_rounds: 2,
            max_attempts: 2,
            last_receive: 2,
            max_receives: 4,
            rules: Rules::new(REMEMBER),
            worker_bug: None,
        }
    }

    /// Returns the smallest bounds that show every bug, so that the counterexamples are short.
    pub(crate) const fn minimal(clocks: Clocks) -> Self {
        Self {
            clocks,
            days_may_pass: true,
            lost_responses: 0,
            early_redeliveries: 1,
            ..Self::base()
        }
    }

    /// Returns the bounds of one late failure and one crash.
    pub(crate) const fn failing_later(max_rounds: u32) -> Self {
        Self {
            lost_responses: 0,
            late_failures: 1,
            max_rounds,
            max_attempts: 1,
            last_receive: 2,
            max_receives: 3,
            ..Self::base()
        }
    }

    pub(crate) const fn flawed(self, flaw: Flaw) -> Self {
        let rules = self.rules.flawed(flaw);
        Self { rules, ..self }
    }

    pub(crate) fn has_bug(&self, worker_bug: WorkerBug) -> bool {
        self.worker_bug == Some(worker_bug)
    }
}
