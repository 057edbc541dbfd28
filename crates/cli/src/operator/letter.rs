//! The function's reading of a message.

use genesys_replay::dead_letter::{
    DeadLetter, ParsedMessage, UnreplayableReason, original_failure, parse,
};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::Category;
use genesys_replay::ledger::EventKey;
use genesys_replay::message::Message;

/// The function's reading of a message, made with the function's own code.
#[derive(Clone, Debug)]
pub struct Letter<'m> {
    pub opened: ParsedMessage<'m>,
    /// The category of the first failure.
    pub category: Category,
    pub destination: Destination,
    pub key: EventKey,
}

impl<'m> Letter<'m> {
    /// Reads a message as a function with this target would.
    pub fn of(message: &'m Message, target: &ReplayTarget) -> Self {
        let opened = parse(message);
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

    pub fn event(&self) -> Option<&DeadLetter<'m>> {
        match &self.opened {
            ParsedMessage::DeadLetter(letter) => Some(letter),
            ParsedMessage::Unreplayable(_) => None,
        }
    }

    /// Returns the reason why the message is not an event; `None` for an event.
    pub fn why_not(&self) -> Option<UnreplayableReason> {
        match &self.opened {
            ParsedMessage::DeadLetter(_) => None,
            ParsedMessage::Unreplayable(why) => Some(*why),
        }
    }

    /// Returns the event's id: the key without the target.
    pub fn event_id(&self) -> &str {
        self.key.as_str().split('|').next().unwrap_or_default()
    }

    /// Returns the event's type; `unknown` if the event has none.
    pub fn event_type(&self) -> &str {
        let event = self.event().and_then(|event| event.event_type.as_deref());
        event.unwrap_or("unknown")
    }

    pub fn interaction(&self) -> Option<&str> {
        Some(self.event()?.interaction.as_ref()?.id.as_str())
    }
}
