//! Messages of a queue in a file: the output of `aws sqs receive-message`, or a saved event of a Lambda function.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use genesys_replay::clock::Timestamp;
use genesys_replay::message::{Message, MessageId, SOURCE_QUEUE};
use serde::Deserialize;
use serde_json::Value;

use super::event::Unusable;

/// A message in one of the two forms, which differ in the case of their names.
#[derive(Deserialize)]
struct SavedMessage {
    #[serde(rename = "MessageId", alias = "messageId")]
    id: String,
    #[serde(rename = "Body", alias = "body")]
    body: String,
    #[serde(rename = "Attributes", alias = "attributes")]
    system: Option<BTreeMap<String, Value>>,
    #[serde(rename = "MessageAttributes", alias = "messageAttributes")]
    attributes: Option<BTreeMap<String, SavedAttribute>>,
}

#[derive(Deserialize)]
struct SavedAttribute {
    #[serde(rename = "DataType", alias = "dataType")]
    data_type: Option<String>,
    #[serde(rename = "StringValue", alias = "stringValue")]
    text: Option<String>,
    /// In base64.
    #[serde(rename = "BinaryValue", alias = "binaryValue")]
    binary: Option<String>,
}

/// Reads a message with its attributes; `None` if the text is not a message of a queue.
///
/// # Errors
/// [`Unusable`] if its id is empty or a binary attribute is not base64.
pub(super) fn read(text: &str) -> Option<Result<Message, Unusable>> {
    let saved: SavedMessage = serde_json::from_str(text).ok()?;
    Some(restored(saved))
}

fn restored(saved: SavedMessage) -> Result<Message, Unusable> {
    let damaged = |what: &str| Unusable::UnknownFormat(format!("the message has {what}"));
    let id = MessageId::new(saved.id).ok_or_else(|| damaged("an empty id"))?;
    let mut message = Message::new(id, saved.body);
    let system = saved.system.unwrap_or_default();
    let text = |name: &str| {
        let value = system.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    message.sent_at =
        text("SentTimestamp").and_then(|sent| sent.parse().ok()).map(Timestamp::from_millis);
    message.group = text("MessageGroupId");
    for (name, attribute) in saved.attributes.unwrap_or_default() {
        let SavedAttribute { data_type, text, binary } = attribute;
        let decoded = binary.map(|binary| BASE64_STANDARD.decode(binary)).transpose();
        let binary = decoded.map_err(|_| damaged("a binary attribute that is not base64"))?;
        let data_type = data_type.unwrap_or_else(|| "String".to_owned());
        message.add_attributes([(name, data_type, text, binary)]);
    }
    message.attributes.extend(text(SOURCE_QUEUE).map(|arn| (SOURCE_QUEUE.to_owned(), arn)));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_queue_is_read_in_both_forms() {
        for text in [
            r#"{"MessageId":"m-1","Body":"b","MD5OfBody":"x","Attributes":{"SentTimestamp":"7"},"MessageAttributes":{
                "ERROR_CODE":{"StringValue":"TIMEOUT","DataType":"String"},"t":{"BinaryValue":"AAH/","DataType":"Binary"}}}"#,
            r#"{"messageId":"m-1","body":"b","eventSource":"aws:sqs","attributes":{"SentTimestamp":"7"},"messageAttributes":{
                "ERROR_CODE":{"stringValue":"TIMEOUT","stringListValues":[],"dataType":"String"},"t":{"binaryValue":"AAH/","dataType":"Binary"}}}"#,
        ] {
            let message = read(text).and_then(Result::ok);
            let Some(message) = message else { unreachable!("{text}") };
            assert_eq!((message.id.as_str(), &*message.body), ("m-1", "b"));
            assert_eq!(message.sent_at, Some(Timestamp::from_millis(7)));
            assert_eq!(message.attribute("ERROR_CODE"), Some("TIMEOUT"));
            assert_eq!(message.typed.len(), 1);
        }
        for bare in [
            r#"{"MessageId":"m-1","Body":"b"}"#,
            r#"{"MessageId":"m-1","Body":"b","Attributes":null,"MessageAttributes":null}"#,
        ] {
            let bare = read(bare).and_then(Result::ok);
            assert_eq!(bare.map(|message| message.attributes.len()), Some(0));
        }
        let of_a_group = r#"{"MessageId":"m-1","Body":"b","Attributes":{"SentTimestamp":7,"MessageGroupId":"g"}}"#;
        let of_a_group = read(of_a_group).and_then(Result::ok);
        let found = of_a_group.map(|message| (message.sent_at, message.group));
        assert_eq!(found, Some((Some(Timestamp::from_millis(7)), Some("g".to_owned()))));
    }

    #[test]
    fn other_object_is_not_a_message_of_a_queue() {
        for text in ["[]", "{}", r#"{"MessageId":"m-1"}"#, r#"{"Body":"b"}"#, r#"{"id":"e-1"}"#] {
            assert!(read(text).is_none(), "{text}");
        }
        let odd = r#"{"MessageId":"m-1","Body":"b","MessageAttributes":{"t":{"BinaryValue":"*","DataType":"Binary"}}}"#;
        assert!(matches!(read(odd), Some(Err(Unusable::UnknownFormat(_)))));
        assert!(matches!(read(r#"{"MessageId":"","Body":"b"}"#), Some(Err(_))));
    }
}
