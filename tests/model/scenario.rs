//! What a model is made of: how many of everything, and which mistake, if one is wanted.

use std::time::Duration;

use genesys_fakes::{Clocks, Flaw, Rules};

/// As the template has it.
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

/// The bounds of a model. Within them it does everything that can be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) clocks: Clocks,
    pub(crate) messages: Messages,
    /// Whether there is an archive.
    pub(crate) archive: bool,
    /// Whether the messages may once wait for thirteen days.
    pub(crate) days: bool,
    /// How often a worker dies or is cut off, at any moment.
    pub(crate) deaths: u8,
    /// How often a call gets no answer, whether it acts or not.
    pub(crate) losses: u8,
    /// How often the queue hands a message out again while it should stay away.
    pub(crate) early: u8,
    /// How many failure records of accepted deliveries come, of any of them.
    pub(crate) failures: u8,
    /// Accepted deliveries of which each may fail later.
    pub(crate) max_rounds: u32,
    /// Attempts within one delivery.
    pub(crate) tries: u8,
    /// A failed attempt at this receive is the last one.
    pub(crate) last_receive: u8,
    /// What comes back after so many receives is parked.
    pub(crate) most_receives: u8,
    pub(crate) rules: Rules,
    pub(crate) mistake: Option<Mistake>,
}

/// What carries the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    One,
    Two,
    /// Two, of which an operator has sent the second.
    SecondSentAgain,
}

impl Messages {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::SecondSentAgain => 2,
        }
    }

    /// Whether an operator has sent this one.
    pub(crate) fn is_sent_again(self, index: usize) -> bool {
        self == Self::SecondSentAgain && index == 1
    }
}

/// A deliberate mistake in what a worker does, to see that the model finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Messages are deleted before they are handled.
    AcknowledgesFirst,
    /// What is given up is acknowledged before it is archived.
    ArchivesLast,
    /// The ledger is down: go on all the same.
    GoesOnWithoutClaim,
    /// Another attempt begins without the ledger.
    CountsNoRetry,
    /// A lease ends before its invocation.
    LeaseEndsEarly,
    /// What is cut off is given back, even when the target has accepted it.
    GivesBackAccepted,
    /// A failure record of a delivered event is a duplicate.
    IgnoresLaterFailures,
    /// Every failure record is about the delivery that the item has.
    ComparesNoDeliveries,
}

impl Mistake {
    pub(crate) const ALL: [Self; 8] = [
        Self::AcknowledgesFirst,
        Self::ArchivesLast,
        Self::GoesOnWithoutClaim,
        Self::CountsNoRetry,
        Self::LeaseEndsEarly,
        Self::GivesBackAccepted,
        Self::IgnoresLaterFailures,
        Self::ComparesNoDeliveries,
    ];
}

impl Scenario {
    /// One message, clocks that can be trusted, one death and one lost answer.
    pub(crate) const fn ordinary() -> Self {
        Self {
            clocks: Clocks::Near,
            messages: Messages::One,
            archive: true,
            days: false,
            deaths: 1,
            losses: 1,
            early: 0,
            failures: 0,
            max_rounds: 2,
            tries: 2,
            last_receive: 2,
            most_receives: 4,
            rules: Rules::new(REMEMBER),
            mistake: None,
        }
    }

    /// Enough for every mistake to show, and no more: so that the way to it is easy to read.
    pub(crate) const fn telling(clocks: Clocks) -> Self {
        Self {
            clocks,
            days: true,
            losses: 0,
            early: 1,
            ..Self::ordinary()
        }
    }

    /// A target that accepts and fails later, once, with so many rounds and one death.
    pub(crate) const fn failing_later(max_rounds: u32) -> Self {
        Self {
            losses: 0,
            failures: 1,
            max_rounds,
            tries: 1,
            last_receive: 2,
            most_receives: 3,
            ..Self::ordinary()
        }
    }

    pub(crate) const fn flawed(self, flaw: Flaw) -> Self {
        let rules = self.rules.flawed(flaw);
        Self { rules, ..self }
    }

    pub(crate) fn errs(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}
