//! The function's reading of a message.

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{
    DeadLetter, ParsedMessage, UnreplayableReason, original_failure, parse,
};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::failure::Category;
use genesys_replay::ledger::{EventKey, ItemState};
use genesys_replay::message::Message;
use genesys_replay::replay::decision::{MessageFacts, Prediction, Rules};

/// The function's reading of a message, made with the function's own code.
#[derive(Clone, Debug)]
pub struct ClassifiedMessage<'m> {
    pub message: &'m Message,
    pub parsed: ParsedMessage<'m>,
    /// The category of the first failure.
    pub category: Category,
    pub destination: Destination,
    pub key: EventKey,
}

impl<'m> ClassifiedMessage<'m> {
    /// Reads a message as a function with this target would.
    pub fn of(message: &'m Message, target: &ReplayTarget) -> Self {
        let parsed = parse(message);
        let (failure, event_id, destination) = match &parsed {
            ParsedMessage::Unreplayable(_) => {
                (original_failure(message), None, Destination::Missing)
            }
            ParsedMessage::DeadLetter(dead_letter) => {
                let failure = &dead_letter.failure;
                let own: Vec<&str> = message.queue_arn.as_deref().into_iter().collect();
                let destination = target.destination(failure.target_arn.as_deref(), &own);
                (failure.clone(), dead_letter.event_id.as_ref(), destination)
            }
        };
        Self {
            category: failure.category(),
            key: EventKey::new(event_id, &message.id, &destination),
            message,
            destination,
            parsed,
        }
    }

    pub fn event(&self) -> Option<&DeadLetter<'m>> {
        match &self.parsed {
            ParsedMessage::DeadLetter(dead_letter) => Some(dead_letter),
            ParsedMessage::Unreplayable(_) => None,
        }
    }

    /// Returns the reason why the message is not an event; `None` for an event.
    pub fn unreplayable_reason(&self) -> Option<UnreplayableReason> {
        match &self.parsed {
            ParsedMessage::DeadLetter(_) => None,
            ParsedMessage::Unreplayable(why) => Some(why.clone()),
        }
    }

    /// Returns the event's id: the key without the target.
    pub fn event_id(&self) -> &str {
        self.key.event_id()
    }

    /// Returns the event's type; `unknown` if the event has none.
    pub fn event_type(&self) -> &str {
        let event = self.event().and_then(|event| event.event_type.as_deref());
        event.unwrap_or("unknown")
    }

    /// Returns the target that the dead letter names, if it is another one than the destination.
    pub fn original_target(&self) -> Option<&str> {
        let named = self.event()?.failure.original_target();
        named.filter(|named| *named != self.destination.key_part())
    }

    pub fn interaction(&self) -> Option<&str> {
        Some(self.event()?.interaction.as_ref()?.id.as_str())
    }

    /// Predicts the function's next step; `item` is the event's ledger item, if there is one.
    pub fn predict(&self, rules: &Rules, item: Option<&ItemState>, now: Timestamp) -> Prediction {
        match &self.parsed {
            ParsedMessage::Unreplayable(why) => Prediction::archive(why.failure_code()),
            ParsedMessage::DeadLetter(dead_letter) => {
                let facts = MessageFacts {
                    message: self.message,
                    dead_letter,
                    destination: &self.destination,
                    now,
                };
                rules.predict(&facts, item)
            }
        }
    }
}
