//! The note of an operator replay.

use crate::message::{Message, resent};

/// The plan that sent an event again, in the ledger, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayNote<'a> {
    /// The plan's id.
    pub plan: &'a str,
    /// The operator, if known.
    pub by: Option<&'a str>,
    /// The operator's reason, if known.
    pub reason: Option<&'a str>,
}

impl<'a> ReplayNote<'a> {
    /// Returns the note of an operator replay; `None` for other messages.
    #[must_use]
    pub fn of(message: &'a Message) -> Option<Self> {
        Some(Self {
            plan: message.replay_plan()?,
            by: message.attribute(resent::BY),
            reason: message.attribute(resent::REASON),
        })
    }
}
