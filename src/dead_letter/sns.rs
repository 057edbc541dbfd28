//! Events that came through an SNS topic.

use super::json::Body;
use super::{Envelope, ParsedMessage, UnreplayableReason, open_envelope};

/// The maximum number of nested notifications. Real systems do not chain more topics.
const DEEPEST: u8 = 3;

/// Parses the content of a notification. The attributes of the queue's message are ignored, because they do
/// not describe this content.
pub(super) fn open_notification<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let notification = envelope.body.object()?;
    if notification.string("Type")? != "Notification" || !notification.has("TopicArn") {
        return None;
    }
    let text = notification.string("Message")?;
    if envelope.depth >= DEEPEST {
        return Some(ParsedMessage::Unreplayable(UnreplayableReason::NestedTooDeep));
    }
    let inner = Envelope {
        text: &text,
        body: Body::read(&text),
        message: envelope.message,
        depth: envelope.depth + 1,
    };
    Some(match open_envelope(&inner) {
        ParsedMessage::DeadLetter(dead_letter) => dead_letter.into_owned().into(),
        ParsedMessage::Unreplayable(why) => ParsedMessage::Unreplayable(why),
    })
}
