//! Messages that the command puts on the queue that the function drains.

use genesys_replay::dead_letter::{EventId, ParsedMessage, parse};
use genesys_replay::digest;
use genesys_replay::message::{Message, resent};
use genesys_replay::queue::NewMessage;

/// The maximum number of attributes of an SQS message.
const MAX_ATTRIBUTES: usize = 10;

/// The attributes that a message goes without if SQS would reject it with them, in this order.
const NOTE: [&str; 2] = [resent::REASON, resent::BY];

/// Returns a message without the operator and the reason; `None` if it has neither.
pub(crate) fn without_note(message: &NewMessage) -> Option<NewMessage> {
    let mut shorter = message.clone();
    shorter.attributes.retain(|(name, _)| !NOTE.contains(&name.as_ref()));
    (shorter.attributes.len() < message.attributes.len()).then_some(shorter)
}

/// The error for a message with this many attributes, which SQS would reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} message attributes, with those of the plan, are too many, because SQS accepts {MAX_ATTRIBUTES}: apply with --to target delivers the event without a queue"
)]
pub(crate) struct TooManyAttributes(pub(crate) usize);

/// Returns a message with this body and these attributes. SQS rejects empty attributes, so they are left out. On a FIFO
/// queue, the message is in its own group or that of its interaction, and `identity` distinguishes it from other messages.
pub(crate) fn new_message(
    message: &Message,
    identity: &str,
) -> Result<NewMessage, TooManyAttributes> {
    let attributes = message.typed_attributes().into_iter();
    let mut attributes: Vec<_> = attributes
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned().into(), value))
        .collect();
    for note in NOTE {
        if attributes.len() > MAX_ATTRIBUTES {
            attributes.retain(|(name, _)| name != note);
        }
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(TooManyAttributes(attributes.len()));
    }
    let interaction = match parse(message) {
        ParsedMessage::DeadLetter(letter) => letter.interaction.map(|it| it.id.to_string()),
        ParsedMessage::Unreplayable(_) => None,
    };
    let deduplication = digest::hexadecimal(identity);
    Ok(NewMessage {
        body: message.body.clone(),
        attributes,
        group: message.group.clone().or(interaction).unwrap_or_else(|| deduplication.clone()),
        deduplication,
    })
}

/// Gives a message of an operator replay the id that an older version gave its event, if `event_id` is another id than
/// that of the message. The function then continues the ledger item of that version.
pub(crate) fn keep_former_id(message: &mut Message, event_id: &str) {
    let ParsedMessage::DeadLetter(dead_letter) = parse(message) else {
        return;
    };
    let id = dead_letter.event_id.as_ref().map_or(message.id.as_str(), EventId::as_str);
    if id != event_id {
        message.attributes.insert(resent::FORMER_ID.to_owned(), event_id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genesys_replay::message::MessageId;

    fn message(body: &str, attributes: usize) -> Option<Message> {
        let mut message = Message::new(MessageId::new("m-1")?, body.to_owned());
        let named = (0..attributes).map(|number| (format!("a{number}"), "x".to_owned()));
        message.attributes = named.chain([("empty".to_owned(), String::new())]).collect();
        Some(message)
    }

    #[test]
    fn group_is_the_interaction_or_the_identity() {
        for (body, expected) in [
            (r#"{"interactionId":"c-1"}"#, "c-1".to_owned()),
            ("no event", digest::hexadecimal("e-1")),
        ] {
            let made = message(body, 10).map(|it| new_message(&it, "e-1"));
            let made = made.and_then(Result::ok);
            let group = made.as_ref().map(|it| (&*it.group, it.attributes.len()));
            assert_eq!(group, Some((&*expected, 10)), "{body}");
            let deduplication = made.map(|it| it.deduplication);
            assert_eq!(deduplication, Some(digest::hexadecimal("e-1")));
        }
    }

    #[test]
    fn operator_and_reason_are_left_out_when_attributes_are_too_many() {
        let count = |others: usize| {
            let mut message = message("no event", others)?;
            for name in [resent::PLAN, resent::BY, resent::REASON] {
                message.attributes.insert(name.to_owned(), "x".to_owned());
            }
            let made = new_message(&message, "e-1").ok()?;
            let has = |wanted: &str| made.attributes.iter().any(|(name, _)| name == wanted);
            Some([resent::PLAN, resent::BY, resent::REASON].map(has))
        };
        assert_eq!(count(7), Some([true, true, true]));
        assert_eq!(count(8), Some([true, true, false]));
        assert_eq!(count(9), Some([true, false, false]));
        assert_eq!(count(10), None, "a plan's id is not left out");
    }

    #[test]
    fn message_with_eleven_attributes_is_refused() {
        let made = message("no event", 11).map(|it| new_message(&it, "e-1").err());
        assert_eq!(made, Some(Some(TooManyAttributes(11))));
    }
}
