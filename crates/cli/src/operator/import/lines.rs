//! Reads failed events from a text: a JSON array, an object with `entities`, or JSON lines.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use genesys_replay::archive::Document;

use super::event::Unusable;
use super::queue_message;
use super::source::{ImportItem, SourceEntry};

/// The maximum length of a line, in bytes: no message needs more, even if every byte is escaped.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// The maximum length of a text that is one document, in bytes. JSON lines may have any length.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// Some programs begin a file with these bytes.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The first bytes of a text in UTF-16, as PowerShell writes it.
const UTF_16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// The maximum number of lines, so that an input without an end ends with an error.
const MAX_LINES: u64 = 10_000_000;

/// A list of events: a page of the API's answer, the messages of a queue, or the records of a saved Lambda event or of a
/// diagnosis.
#[derive(Deserialize)]
struct EventPage<'t> {
    #[serde(borrow, alias = "Messages", alias = "Records", alias = "records")]
    entities: Vec<&'t RawValue>,
}

/// The members that only a single event has.
const PAYLOADS: [&str; 4] = ["payload", "original_payload", "originalPayload", "replayPayload"];

/// Returns the events of a list; `None` for any other text. An event may have a member with the name of a list.
fn page(text: &str) -> Option<Vec<&RawValue>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    let EventPage { entities } = serde_json::from_str(text).ok()?;
    (!has_payload(text)).then_some(entities)
}

fn has_payload(text: &str) -> bool {
    let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
    members.is_some_and(|members| PAYLOADS.iter().any(|name| members.contains_key(*name)))
}

/// Passes all entries of a text to `found`, until `found` returns `false`.
pub fn read_all(
    text: &mut impl BufRead,
    found: &mut dyn FnMut(SourceEntry) -> bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_first = true;
    for number in 1_u64.. {
        line.clear();
        // One byte more than permitted, to detect a line that is too long.
        let mut limited = text.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        if limited.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if number > MAX_LINES {
            return Err(invalid(format!("it has more than {MAX_LINES} lines; import it in parts")));
        }
        if is_first && UTF_16_MARKS.iter().any(|mark| line.starts_with(mark)) {
            return Err(invalid(
                "it is UTF-16: convert it with iconv -f UTF-16 -t UTF-8".to_owned(),
            ));
        }
        // Also in the middle, where two files were joined.
        if line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        let begun = line.trim_ascii();
        if begun.is_empty() {
            continue;
        }
        if is_first && is_beginning_of_document(begun) {
            return read_document(line, text, found);
        }
        is_first = false;
        if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
            let skipped = text.by_ref().take(MAX_DOCUMENT_BYTES as u64).skip_until(b'\n')?;
            if skipped == MAX_DOCUMENT_BYTES {
                let limit = MAX_LINE_BYTES + MAX_DOCUMENT_BYTES;
                return Err(invalid(format!("line {number} has more than {limit} bytes")));
            }
        }
        if !read_line(&line, &format!("line {number}"), found) {
            break;
        }
    }
    Ok(())
}

/// Returns true for the first line of a document: a list, or an object that goes on in the next line.
fn is_beginning_of_document(line: &[u8]) -> bool {
    let is_complete = line.ends_with(b"}") || line.ends_with(b"},");
    let is_open =
        line.ends_with(b"{") || line.ends_with(b"[") || line.ends_with(b",") && !is_complete;
    line.starts_with(b"[") || line.starts_with(b"{") && is_open
}

/// Passes on one line: a failed event, or a page of them. Returns `false` if `found` did.
fn read_line(line: &[u8], place: &str, found: &mut dyn FnMut(SourceEntry) -> bool) -> bool {
    let item = match std::str::from_utf8(line).map(str::trim) {
        _ if line.len() > MAX_LINE_BYTES => foreign("too long for a failed event"),
        Err(_) => foreign("not UTF-8 text"),
        Ok(text) => {
            if let Some(entities) = page(text) {
                return pass_all(1, &entities, &format!("{place}, event"), found);
            }
            match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => item(text),
                Err(error) => foreign(&format!("not JSON (column {})", error.column())),
            }
        }
    };
    let place = place.to_owned();
    found(SourceEntry { place, item })
}

/// Passes on the events of a list. Returns `false` if `found` did.
fn pass_all(
    first: u64,
    events: &[&RawValue],
    place: &str,
    found: &mut dyn FnMut(SourceEntry) -> bool,
) -> bool {
    (first..).zip(events).all(|(number, event)| {
        found(SourceEntry { place: format!("{place} {number}"), item: item(event.get()) })
    })
}

/// Returns one event of a list: a message of a queue, an archived dead letter, or a failed event.
fn item(text: &str) -> ImportItem {
    if let Some(message) = queue_message::read(text).filter(|_| !has_payload(text)) {
        return message.map_or_else(ImportItem::Unusable, |it| ImportItem::Message(Box::new(it)));
    }
    Document::read(text.as_bytes()).map_or_else(
        |_| ImportItem::Failed(text.to_owned()),
        |document| ImportItem::Archived(Box::new(document)),
    )
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn foreign(why: &str) -> ImportItem {
    ImportItem::Unusable(Unusable::UnknownFormat(why.to_owned()))
}

fn read_document(
    mut document: Vec<u8>,
    rest: &mut impl BufRead,
    found: &mut dyn FnMut(SourceEntry) -> bool,
) -> io::Result<()> {
    let rest_bytes = MAX_DOCUMENT_BYTES.saturating_sub(document.len()) as u64;
    #[expect(clippy::disallowed_methods, reason = "limited by take")]
    rest.take(rest_bytes + 1).read_to_end(&mut document)?;
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(invalid(format!(
            "one JSON document of more than {MAX_DOCUMENT_BYTES} bytes; write one event per line"
        )));
    }
    let text = std::str::from_utf8(&document).map_err(|error| invalid(error.to_string()))?;
    let mut first = 1;
    // Several documents, because a receive call returns at most ten messages and its outputs are appended to one file.
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let document = document.map_err(|error| invalid(format!("not JSON: {error}")))?;
        let events = page(document.get()).unwrap_or_else(|| vec![document]);
        if !pass_all(first, &events, "event", found) {
            break;
        }
        first += u64::try_from(events.len()).unwrap_or(u64::MAX);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        let mut keep = |found: SourceEntry| {
            all.push(match found.item {
                ImportItem::Failed(text) => format!("{}: {text}", found.place),
                ImportItem::Archived(document) => format!("{}: {}", found.place, document.event_id),
                ImportItem::Message(message) => format!("{}: {}", found.place, message.id),
                ImportItem::Unusable(why) => format!("{}: {why}", found.place),
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
    fn failed_events_are_read_from_every_form_of_a_list() {
        for text in [
            "[{\"id\":1}, {\"id\":2}]",
            "\n [\n{\"id\":1},\n{\"id\":2}\n]\n",
            "{\n\"total\": 2, \"entities\": [{\"id\":1},{\"id\":2}]}",
        ] {
            let expected = ["event 1: {\"id\":1}", "event 2: {\"id\":2}"];
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        for marked in ["\u{feff}[{\"id\":1}]", "\u{feff}{\n\"entities\":[{\"id\":1}]}"] {
            assert_eq!(read(marked.as_bytes()), ["event 1: {\"id\":1}"]);
        }
        assert_eq!(read("\u{feff}{\"id\":1}\n".as_bytes()), ["line 1: {\"id\":1}"]);
        let lines = read(b"{\"id\":1}\r\n\n{\"id\":2}");
        assert_eq!(lines, ["line 1: {\"id\":1}", "line 3: {\"id\":2}"]);
        let pages = read(b"{\"entities\":[{\"id\":1},{\"id\":2}]}\n{\"entities\":[]}\n");
        assert_eq!(pages, ["line 1, event 1: {\"id\":1}", "line 1, event 2: {\"id\":2}"]);
        assert_eq!(read(b"{\n\"id\": 1\n}"), ["event 1: {\n\"id\": 1\n}"]);
        assert_eq!(read(b" \n\n"), [""; 0]);
    }

    #[test]
    fn dumps_of_queues_and_diagnoses_are_lists_of_events() {
        for (text, expected) in [
            ("{\n\"Messages\": [{\"MessageId\":\"m-1\",\"Body\":\"b\"}]}", "event 1: m-1"),
            ("{\"Records\":[{\"messageId\":\"m-1\",\"body\":\"b\"}]}", "line 1, event 1: m-1"),
            ("{\"Messages\": [\n{\"MessageId\":\"m-1\",\"Body\":\"b\"}\n]}", "event 1: m-1"),
            (
                "{ \"n\": 1,\n\"Messages\": [{\"MessageId\":\"m-1\",\"Body\":\"b\"}]}",
                "event 1: m-1",
            ),
            ("[{\"MessageId\":\"m-1\",\"Body\":\"b\"}]", "event 1: m-1"),
            ("{\"MessageId\":\"m-1\",\"Body\":\"b\"}", "line 1: m-1"),
            (
                "{\n\"generatedAt\": \"t\",\n\"records\": [{\"replayPayload\":1}]}",
                "event 1: {\"replayPayload\":1}",
            ),
        ] {
            assert_eq!(read(text.as_bytes()), [expected], "{text}");
        }
    }

    #[test]
    fn appended_dumps_are_read_one_after_another() {
        let dump = |id: &str| {
            format!("{{\n  \"Messages\": [{{\"MessageId\":\"{id}\",\"Body\":\"b\"}}]\n}}\n")
        };
        let both = dump("m-1") + &dump("m-2");
        assert_eq!(read(both.as_bytes()), ["event 1: m-1", "event 2: m-2"]);
        let joined = "{\"id\":1}\n\u{feff}{\"id\":2}\n";
        assert_eq!(read(joined.as_bytes()), ["line 1: {\"id\":1}", "line 2: {\"id\":2}"]);
    }

    #[test]
    fn failed_event_with_the_name_of_a_list_is_one_event() {
        let event = r#"{"id":1,"payload":{"a":1},"records":[],"messageId":"m","body":"b"}"#;
        assert_eq!(read(event.as_bytes()), [format!("line 1: {event}")]);
    }

    #[test]
    fn text_in_utf_16_is_refused_with_its_conversion() {
        let said = read(b"\xff\xfe{\x00}\x00");
        assert!(said.iter().any(|line| line.contains("iconv")), "{said:?}");
    }

    #[test]
    fn unreadable_line_does_not_stop_the_others() {
        let mut text = b"{\"id\":1}\n{\"half\":\n\xff\xfe\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE_BYTES + 5]);
        text.extend(b"\n{\"id\":5}\n");
        assert_eq!(
            read(&text),
            [
                "line 1: {\"id\":1}",
                "line 2: not JSON (column 8)",
                "line 3: not UTF-8 text",
                "line 4: too long for a failed event",
                "line 5: {\"id\":5}",
            ]
        );
    }

    #[test]
    fn array_on_one_long_line_is_read() {
        let long = "x".repeat(MAX_LINE_BYTES);
        let found = read(format!("[{{\"id\":\"{long}\"}},{{\"id\":2}}]").as_bytes());
        assert_eq!(found.last().map(String::as_str), Some("event 2: {\"id\":2}"));
    }

    #[test]
    fn invalid_document_error_has_its_position() {
        let said = read(b"[{\"id\":1},\n{]");
        assert!(said.iter().any(|line| line.contains("line 2")), "{said:?}");
    }
}
