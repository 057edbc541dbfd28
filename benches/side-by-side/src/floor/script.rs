//! The requests of a batch as bytes: a token request first, then the requests of each record in order.
//!
//! ```text
//! script  = count × requests           the first are those before all records
//! requests = count × request
//! request = host (1 byte), length (4 bytes, little-endian), bytes
//! count   = 4 bytes, little-endian
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use serde_json::json;

use crate::events::{self, Event, Message};
use crate::upstreams::{CLIENT, Upstreams};

/// The receiver of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// Genesys Cloud and the target.
    Upstream,
    /// The table.
    Table,
}

/// A serialized request.
pub(super) type Request<'s> = (Host, &'s [u8]);

/// Returns the serialized round trips of each message.
pub(crate) fn payload(messages: &[Message], upstreams: &Upstreams) -> Bytes {
    let (id, secret) = CLIENT;
    let credentials = BASE64_STANDARD.encode(format!("{id}:{secret}"));
    let headers = format!(
        "authorization: Basic {credentials}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    );
    let token = request("POST", "/oauth/token", &headers, "grant_type=client_credentials");
    let mut script = Vec::new();
    write_count(&mut script, messages.len() + 1);
    write(&mut script, &[(Host::Upstream, token)]);
    for message in messages {
        write(&mut script, &record(&message.event, upstreams));
    }
    script.into()
}

/// Returns the requests of one record: claim, fetch, mark, deliver, checkpoint, mark, settle.
fn record(event: &Event, upstreams: &Upstreams) -> Vec<(Host, Vec<u8>)> {
    let conversation = event.conversation.as_deref().unwrap_or_default();
    let path = format!("/api/v2/conversations/{conversation}");
    let attributes =
        format!("{path}/participants/{}/attributes", events::participant(conversation));
    let bearer =
        format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", upstreams.token);
    let mark = |status: &str| {
        let mark =
            json!({"attributes": {"system.retryAttempt": "1", "system.retryStatus": status}});
        (Host::Upstream, request("PATCH", &attributes, &bearer, &mark.to_string()))
    };
    let write = |status: &str| {
        (Host::Table, request("POST", "/", TABLE_HEADERS, &update(&event.id, status)))
    };
    vec![
        write("IN_PROGRESS"),
        (Host::Upstream, request("GET", &path, &bearer, "")),
        mark("retrying"),
        (
            Host::Upstream,
            request("POST", "/targets/crm", "content-type: application/json\r\n", &event.body),
        ),
        write("IN_PROGRESS"),
        mark("replay_successful"),
        write("COMPLETED"),
    ]
}

const TABLE_HEADERS: &str =
    "content-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.UpdateItem\r\n";

fn update(event_id: &str, status: &str) -> String {
    json!({
        "TableName": "GenesysRetryIdempotency",
        "Key": {"EventId": {"S": event_id}},
        "UpdateExpression": "SET #Status = :status, #Owner = :owner",
        "ConditionExpression": "attribute_not_exists(EventId) OR #Owner = :owner",
        "ExpressionAttributeNames": {"#Status": "Status", "#Owner": "Owner"},
        "ExpressionAttributeValues": {":status": {"S": status}, ":owner": {"S": "floor"}},
    })
    .to_string()
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

fn write(script: &mut Vec<u8>, requests: &[(Host, Vec<u8>)]) {
    write_count(script, requests.len());
    for (host, bytes) in requests {
        script.push(u8::from(*host == Host::Table));
        write_count(script, bytes.len());
        script.extend_from_slice(bytes);
    }
}

fn write_count(script: &mut Vec<u8>, count: usize) {
    script.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// Parses the output of [`payload`]. `None`: it is invalid.
pub(super) fn read(script: &[u8]) -> Option<Vec<Vec<Request<'_>>>> {
    let mut rest = script;
    let records = read_count(&mut rest)?;
    (0..records)
        .map(|_| {
            let requests = read_count(&mut rest)?;
            (0..requests)
                .map(|_| {
                    let (host, after) = rest.split_first()?;
                    rest = after;
                    let length = read_count(&mut rest)?;
                    let (bytes, after) = rest.split_at_checked(length)?;
                    rest = after;
                    let host = if *host == 0 { Host::Upstream } else { Host::Table };
                    Some((host, bytes))
                })
                .collect()
        })
        .collect()
}

fn read_count(rest: &mut &[u8]) -> Option<usize> {
    let (count, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_read_as_it_was_written() {
        let mut script = Vec::new();
        write_count(&mut script, 2);
        write(&mut script, &[(Host::Upstream, b"a".to_vec())]);
        write(&mut script, &[(Host::Table, b"bc".to_vec()), (Host::Upstream, Vec::new())]);
        let read_back = read(&script);
        let expected: Vec<Vec<Request<'_>>> =
            vec![vec![(Host::Upstream, b"a")], vec![(Host::Table, b"bc"), (Host::Upstream, b"")]];
        assert_eq!(read_back, Some(expected));
        assert_eq!(read(&script[..script.len() - 1]), None, "cut short");
    }
}
