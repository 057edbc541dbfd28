//! The message attributes in an archived object. A text is its value; a binary value is an object with its data type.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::message::{Message, TypedAttribute, TypedValue};

/// The value of an archived attribute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum StoredAttribute {
    Text(String),
    Binary {
        data_type: String,
        /// The base64 of the value.
        binary_value: String,
    },
}

/// Returns all attributes of a message.
pub(super) fn stored_attributes(message: &Message) -> BTreeMap<&str, StoredAttribute> {
    let stored = message.typed_attributes().into_iter().map(|(name, attribute)| {
        let TypedAttribute { data_type, value } = attribute;
        let stored = match value {
            TypedValue::Text(text) => StoredAttribute::Text(text),
            TypedValue::Binary(bytes) => {
                StoredAttribute::Binary { data_type, binary_value: BASE64_STANDARD.encode(bytes) }
            }
        };
        (name, stored)
    });
    stored.collect()
}

/// Returns the data types of texts that are not `String`, such as `Number`.
pub(super) fn attribute_types(message: &Message) -> BTreeMap<&str, &str> {
    let typed = message.typed.iter().filter_map(|(name, attribute)| match attribute.value {
        TypedValue::Text(_) => Some((name.as_str(), attribute.data_type.as_str())),
        TypedValue::Binary(_) => None,
    });
    typed.collect()
}

/// Adds archived attributes to a message. Returns `None` if a binary value is not base64.
pub(super) fn restore(
    message: &mut Message,
    attributes: &BTreeMap<String, StoredAttribute>,
    types: &BTreeMap<String, String>,
) -> Option<()> {
    let restored = attributes.iter().map(|(name, stored)| {
        Some(match stored {
            StoredAttribute::Text(text) => {
                let data_type = types.get(name).map_or("String", String::as_str);
                (name.as_str(), data_type.to_owned(), Some(text.clone()), None)
            }
            StoredAttribute::Binary { data_type, binary_value } => {
                let bytes = BASE64_STANDARD.decode(binary_value).ok()?;
                (name.as_str(), data_type.clone(), None, Some(bytes))
            }
        })
    });
    message.add_attributes(restored.collect::<Option<Vec<_>>>()?);
    Some(())
}
