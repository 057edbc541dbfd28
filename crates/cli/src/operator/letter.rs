//! A message as the function would see it.

use genesys_replay::dead_letter;
use genesys_replay::dead_letter::{
    DeadLetter, ParsedMessage, UnreplayableReason, original_failure,
};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::Category;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::Message;

/// What the function would make of a message: found with the function's own code.
#[derive(Clone, Debug)]
pub struct Letter<'m> {
    /// What it turns out to be.
    pub opened: ParsedMessage<'m>,
    /// Why its first delivery failed.
    pub category: Category,
    /// Where it would go.
    pub destination: Destination,
    /// What the ledger knows the event by.
    pub key: EventKey,
}

impl<'m> Letter<'m> {
    /// Looks at a message as a function with this target would.
    #[must_use]
    pub fn of(message: &'m Message, target: &ReplayTarget) -> Self {
        let opened = dead_letter::parse(message);
        let (failure, event_id, destination) = match &opened {
            ParsedMessage::Unreplayable(_) => {
                (original_failure(message), None, Destination::Missing)
            }
            ParsedMessage::DeadLetter(letter) => {
                let own: Vec<&str> = message.queue_arn.as_deref().into_iter().collect();
                let destination = target.destination(letter.failure.target_arn.as_deref(), &own);
                (
                    letter.failure.clone(),
                    letter.event_id.as_ref(),
                    destination,
                )
            }
        };
        Self {
            category: failure.category(),
            key: EventKey::new(event_id, &message.id, &destination),
            destination,
            opened,
        }
    }

    /// The event in it, if there is one.
    #[must_use]
    pub fn event(&self) -> Option<&DeadLetter<'m>> {
        match &self.opened {
            ParsedMessage::DeadLetter(letter) => Some(letter),
            ParsedMessage::Unreplayable(_) => None,
        }
    }

    /// Why it is no event, if it is none.
    #[must_use]
    pub fn why_not(&self) -> Option<UnreplayableReason> {
        match &self.opened {
            ParsedMessage::DeadLetter(_) => None,
            ParsedMessage::Unreplayable(why) => Some(*why),
        }
    }

    /// The event's id: the key without the target.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.key.as_str().split('|').next().unwrap_or_default()
    }

    /// Its type, `unknown` where it has none.
    #[must_use]
    pub fn event_type(&self) -> &str {
        let event = self.event().and_then(|event| event.event_type.as_deref());
        event.unwrap_or("unknown")
    }

    /// Its interaction, if it has one.
    #[must_use]
    pub fn interaction(&self) -> Option<&str> {
        Some(self.event()?.interaction.as_ref()?.id.as_str())
    }
}
