//! Reads failed events from a text: a JSON array, an object with `entities`, or JSON lines.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Unusable;
use super::source::{Found, What};

/// The maximum length of a line, in bytes: no message needs more, even if every byte is escaped.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// The maximum length of a text that is one document, in bytes. JSON lines may have any length.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// One page of the API's answer.
#[derive(Deserialize)]
struct Listing<'t> {
    #[serde(borrow)]
    entities: Vec<&'t RawValue>,
}

/// Passes all entries of a text to `found`, until `found` returns `false`.
///
/// # Errors
/// [`io::Error`] if the text cannot be read further.
pub fn read_all(text: &mut impl BufRead, found: &mut dyn FnMut(Found) -> bool) -> io::Result<()> {
    let mut number: u64 = 0;
    let mut first = Vec::new();
    while first.trim_ascii().is_empty() {
        first.clear();
        number += 1;
        if !read_line(text, &mut first)? {
            return Ok(());
        }
    }
    // A text that begins with `[`, or with a line of only `{`, is one document over many lines.
    let begun = first.trim_ascii();
    let is_document = begun.starts_with(b"[") || begun == b"{";
    if is_document {
        return read_document(first, text, found);
    }
    loop {
        if !first.trim_ascii().is_empty() && !hand_on(&first, number, found) {
            return Ok(());
        }
        first.clear();
        number += 1;
        if !read_line(text, &mut first)? {
            return Ok(());
        }
    }
}

/// Reads one line with its end. Keeps of a longer line only enough to detect the length. Returns `false` at the end.
fn read_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let mut any = false;
    loop {
        let chunk = text.fill_buf()?;
        if chunk.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(chunk.len(), |at| at + 1);
        if line.len() <= MAX_LINE_BYTES {
            line.extend_from_slice(chunk.get(..length).unwrap_or_default());
        }
        text.consume(length);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Passes on one line: a failed event, or a page of them. Returns `false` if `found` did.
fn hand_on(line: &[u8], number: u64, found: &mut dyn FnMut(Found) -> bool) -> bool {
    let place = format!("line {number}");
    let unusable = |why: &str| What::Unusable(Unusable::Foreign(why.to_owned()));
    if line.len() > MAX_LINE_BYTES {
        return found(Found {
            place,
            what: unusable("it is too long for a failed event"),
        });
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return found(Found {
            place,
            what: unusable("it is not UTF-8 text"),
        });
    };
    let text = text.trim();
    if let Ok(Listing { entities }) = serde_json::from_str(text) {
        return entities.iter().enumerate().all(|(index, event)| {
            let place = format!("{place}, event {}", index + 1);
            found(Found {
                place,
                what: What::Failed(event.get().to_owned()),
            })
        });
    }
    let what = match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => What::Failed(text.to_owned()),
        Err(error) => unusable(&format!("it is not JSON (column {})", error.column())),
    };
    found(Found { place, what })
}

fn read_document(
    mut document: Vec<u8>,
    rest: &mut impl BufRead,
    found: &mut dyn FnMut(Found) -> bool,
) -> io::Result<()> {
    let most =
        u64::try_from(MAX_DOCUMENT_BYTES - document.len().min(MAX_DOCUMENT_BYTES)).unwrap_or(0);
    rest.take(most + 1).read_to_end(&mut document)?;
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(invalid(format!(
            "it is one JSON document of more than {MAX_DOCUMENT_BYTES} bytes; write one event a line"
        )));
    }
    let text = std::str::from_utf8(&document).map_err(|error| invalid(error.to_string()))?;
    let events: Vec<&RawValue> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::from_str(text).map(|Listing { entities }| entities)
    }
    .or_else(|error| match serde_json::from_str::<&RawValue>(text) {
        // One failed event, written over many lines.
        Ok(one) if one.get().starts_with('{') => Ok(vec![one]),
        Ok(_) | Err(_) => Err(invalid(format!("it is no JSON: {error}"))),
    })?;
    for (index, event) in events.iter().enumerate() {
        let found_on = found(Found {
            place: format!("event {}", index + 1),
            what: What::Failed(event.get().to_owned()),
        });
        if !found_on {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        let mut keep = |found: Found| {
            all.push(match found.what {
                What::Failed(text) => format!("{}: {text}", found.place),
                What::Archived(document) => format!("{}: {}", found.place, document.event_id),
                What::Unusable(why) => format!("{}: {why}", found.place),
            });
            true
        };
        // In small pieces, as from a pipe.
        let mut text = io::BufReader::with_capacity(3, text);
        if let Err(error) = read_all(&mut text, &mut keep) {
            all.push(error.to_string());
        }
        all
    }

    #[test]
    fn every_form_of_a_list_is_read() {
        for text in [
            "[{\"id\":1}, {\"id\":2}]",
            "\n [\n{\"id\":1},\n{\"id\":2}\n]\n",
            "{\n\"total\": 2, \"entities\": [{\"id\":1},{\"id\":2}]}",
        ] {
            let expected = ["event 1: {\"id\":1}", "event 2: {\"id\":2}"];
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        let lines = read(b"{\"id\":1}\r\n\n{\"id\":2}");
        assert_eq!(lines, ["line 1: {\"id\":1}", "line 3: {\"id\":2}"]);
        let pages = read(b"{\"entities\":[{\"id\":1},{\"id\":2}]}\n{\"entities\":[]}\n");
        assert_eq!(
            pages,
            ["line 1, event 1: {\"id\":1}", "line 1, event 2: {\"id\":2}"]
        );
        assert_eq!(read(b"{\n\"id\": 1\n}"), ["event 1: {\n\"id\": 1\n}"]);
        assert_eq!(read(b" \n\n"), [""; 0]);
    }

    #[test]
    fn a_line_that_cannot_be_read_does_not_stop_the_rest() {
        let mut text = b"{\"id\":1}\n{\"half\":\n\xff\xfe\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE_BYTES + 5]);
        text.extend(b"\n{\"id\":5}\n");
        assert_eq!(
            read(&text),
            [
                "line 1: {\"id\":1}",
                "line 2: it is not JSON (column 8)",
                "line 3: it is not UTF-8 text",
                "line 4: it is too long for a failed event",
                "line 5: {\"id\":5}",
            ]
        );
    }

    #[test]
    fn a_document_that_is_none_says_where() {
        let said = read(b"[{\"id\":1},\n{]");
        assert!(said.iter().any(|line| line.contains("line 2")), "{said:?}");
    }
}
