//! Messages whose sender stored the payload in S3: the body of the extended client is a pointer.

use std::fmt;

use serde::Deserialize;

use super::{Envelope, ParsedMessage, UnreplayableReason};
use crate::text::without_bom;

/// The ends of the class names that mark a pointer. The packages differ by the version of the client.
const POINTERS: [&str; 2] = [".PayloadS3Pointer", ".MessageS3Pointer"];

/// The maximum length of a bucket name or key that is shown, in characters: S3 limits keys to 1,024 bytes.
const MAX_SHOWN_CHARS: usize = 1024;

/// The place of a payload in S3.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PayloadPointer {
    /// The bucket's name.
    #[serde(rename = "s3BucketName")]
    pub bucket: String,
    /// The object's key.
    #[serde(rename = "s3Key")]
    pub key: String,
}

impl fmt::Display for PayloadPointer {
    /// Writes the address of the object. Control characters are replaced, because the sender chose the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| -> String {
            let characters = text.chars().take(MAX_SHOWN_CHARS);
            characters.map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
        };
        write!(f, "s3://{}/{}", shown(&self.bucket), shown(&self.key))
    }
}

/// Recognises the pointer of an extended client, with any attributes.
pub(super) fn open_pointer<'m>(envelope: &Envelope<'m>) -> Option<ParsedMessage<'m>> {
    let text = without_bom(envelope.text);
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let (class, pointer): (String, PayloadPointer) = serde_json::from_str(text).ok()?;
    POINTERS
        .iter()
        .any(|name| class.ends_with(name))
        .then_some(ParsedMessage::Unreplayable(UnreplayableReason::Offloaded(pointer)))
}
