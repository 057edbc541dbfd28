//! What the world of a story is like: everything that is drawn before it begins.

use std::time::Duration;

use genesys_fakes::Clocks;

use crate::chance::Chance;
use crate::late::Late;
use crate::letters::{Kind, Letter};
use crate::trouble::Trouble;

/// How Genesys Cloud is marked, as the setting `RETRY_STATE` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marking {
    Required,
    BestEffort,
    Off,
}

/// What kind of queue it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A standard queue.
    Any,
    /// A FIFO queue: each message group in order.
    Groups,
}

/// Copies of messages that come when all is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stragglers {
    /// None.
    None,
    /// As late as SQS can keep a message, and the table has just been swept of what has expired.
    WhileKept,
    /// Later still, when items have expired and the table has not been swept yet.
    NotYetSwept,
}

/// The world of one story.
#[derive(Debug)]
pub(crate) struct Scene {
    /// One call in so many fails before it acts, and as many lose their answer.
    pub(crate) one_in: u32,
    /// From then on nothing fails any more.
    pub(crate) heals_after: Duration,
    pub(crate) workers: u32,
    /// One receipt in so many ends while its worker is at it.
    pub(crate) early_in: u32,
    /// One invocation in so many is told to stop.
    pub(crate) stops_in: u32,
    /// How long a worker waits at most, in milliseconds, before it asks the queue again; also when a
    /// receipt ends too early.
    pub(crate) pace_ms: u64,
    pub(crate) clocks: Clocks,
    pub(crate) order: Order,
    pub(crate) has_archive: bool,
    pub(crate) marking: Marking,
    /// How many calls Genesys Cloud takes in a minute.
    pub(crate) genesys_quota: u32,
    /// Whether an operator sends again what was archived.
    pub(crate) resends: bool,
    /// Whether messages come once more, much later.
    pub(crate) stragglers: Stragglers,
    pub(crate) letters: Vec<Letter>,
    /// How targets fail after they have accepted.
    pub(crate) late: Late,
    /// What fails for long.
    pub(crate) trouble: Trouble,
}

impl Scene {
    pub(crate) fn drawn(chance: &Chance) -> Self {
        let letters = 0..chance.draw(|rng| rng.u32(1..=6));
        let clocks = if chance.happens(3) {
            Clocks::Wild
        } else {
            Clocks::Near
        };
        // Where leases end too early, workers shall meet.
        let (early_in, pace_ms, stops_in) = match clocks {
            Clocks::Near => (6, 5_000, 10),
            Clocks::Wild => (2, 500, 2),
        };
        let late = Late::drawn(chance, clocks == Clocks::Near);
        let trouble = if late.retention.is_some() {
            Trouble::None
        } else {
            Trouble::drawn(chance)
        };
        Self {
            late,
            trouble,
            one_in: chance.draw(|rng| rng.u32(3..40)),
            // Where messages are kept for hours only, some are still open when they are about to be deleted.
            heals_after: trouble.lasts(chance).unwrap_or_else(|| {
                Duration::from_secs(if late.retention.is_some() {
                    chance.draw(|rng| rng.u64(3_600..14_400))
                } else {
                    chance.draw(|rng| rng.u64(60..3_600))
                })
            }),
            workers: chance.draw(|rng| rng.u32(1..=3)),
            early_in,
            stops_in,
            pace_ms,
            clocks,
            order: if chance.happens(5) {
                Order::Groups
            } else {
                Order::Any
            },
            // Without one, a message that SQS deletes is lost: there is a metric for it.
            has_archive: !chance.happens(6) || late.retention.is_some() || trouble != Trouble::None,
            marking: match chance.draw(|rng| rng.u8(0..10)) {
                0 => Marking::Off,
                1 | 2 => Marking::BestEffort,
                _ => Marking::Required,
            },
            genesys_quota: chance.draw(|rng| rng.u32(10..100)),
            resends: chance.happens(3),
            stragglers: match chance.draw(|rng| rng.u8(0..8)) {
                0 => Stragglers::WhileKept,
                1 => Stragglers::NotYetSwept,
                _ => Stragglers::None,
            },
            letters: letters
                .map(|number| Letter::drawn(chance, number))
                .collect(),
        }
    }

    /// The receives after which a failed attempt is the last one.
    pub(crate) const fn max_receives(&self) -> u32 {
        match self.trouble {
            Trouble::None => 10,
            Trouble::Outage | Trouble::WrongAddress | Trouble::Division => 200,
        }
    }

    /// Whether this event's interaction may not be accessed until the world has healed.
    pub(crate) fn is_denied(&self, conversation: &str) -> bool {
        let allowed = self.letters.last().map(|letter| letter.conversation());
        self.trouble == Trouble::Division && allowed.is_none_or(|it| it != conversation)
    }

    /// By how much a worker's clock is ahead.
    pub(crate) fn skew(&self, chance: &Chance) -> Duration {
        match self.clocks {
            // Below the margin of a lease.
            Clocks::Near => chance.millis(4_000),
            Clocks::Wild => chance.millis(600_000),
        }
    }
}

impl Letter {
    fn drawn(chance: &Chance, number: u32) -> Self {
        let kind = match chance.draw(|rng| rng.u8(0..16)) {
            0 => Kind::Audit,
            1 => Kind::Malformed,
            2 => Kind::Echo,
            3 => Kind::Nameless,
            4 => Kind::Text,
            _ => Kind::Event,
        };
        let group = chance.draw(|rng| rng.u32(0..2));
        Self {
            number,
            kind,
            group,
        }
    }
}
