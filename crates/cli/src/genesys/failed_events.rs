//! The failed events of the legacy sample API: one call lists them, the other requests that Genesys Cloud sends them again.
//!
//! No SDK of Genesys Cloud has these two calls. An answer 404 means that the API does not exist.

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError};
use genesys_replay_genesys::GenesysClient;
use genesys_replay_genesys::answer::unreadable_body;
use genesys_replay_genesys::body::parse_object;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::endpoint;

const BASE_PATH: &str = "api/v2/analytics/event-bridge";

/// The start of a page of failed events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageStart {
    /// The number of events before the page.
    Offset(u64),
    /// The query members that the previous page names.
    Query(Vec<(String, String)>),
}

/// One page of a subscription's failed events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedPage {
    /// The events, each as the text of a JSON value. An empty list means that all events were read.
    pub(crate) events: Vec<String>,
    /// The start of the next page; `None` after the last page.
    pub(crate) next: Option<PageStart>,
}

/// The result of a request to send events again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayAnswer {
    /// The event ids that the answer names as failed.
    pub(crate) failed: Vec<String>,
    /// The number of failed events in the answer, named or not.
    pub(crate) failed_count: u64,
}

/// Reads at most `limit` failed events of a subscription; changes nothing.
///
/// # Errors
/// [`GenesysError::NotFound`] if the subscription or the API does not exist.
pub(crate) async fn page(
    client: &GenesysClient,
    subscription: &InteractionId,
    start: &PageStart,
    limit: u32,
) -> Result<FailedPage, GenesysError> {
    let path = format!("{BASE_PATH}/failed-events/{}", subscription.as_str());
    let url = at_page(endpoint(client, &path), start, limit);
    let call = Call::FailedEvents;
    let body = client.call(call, Method::GET, url, None).await?;
    read_page(&body, start).ok_or(unreadable_body(call))
}

/// Asks Genesys Cloud to send these events again. The caller passes at most 100 ids, each once.
///
/// # Errors
/// [`GenesysError::Refused`]: Genesys Cloud accepted none of the events. [`GenesysError::Unavailable`]: Genesys Cloud
/// may have accepted them.
pub(crate) async fn request_replay(
    client: &GenesysClient,
    subscription: &InteractionId,
    event_ids: &[String],
) -> Result<ReplayAnswer, GenesysError> {
    let body = json!({ "subscriptionId": subscription.as_str(), "eventIds": event_ids });
    let url = endpoint(client, &format!("{BASE_PATH}/replay"));
    let call = client.call(Call::Reinject, Method::POST, url, Some(body.to_string()));
    Ok(read_replay_answer(&call.await?))
}

fn at_page(mut url: Url, start: &PageStart, limit: u32) -> Url {
    let mut query = url.query_pairs_mut();
    match start {
        PageStart::Offset(offset) => {
            query.append_pair("limit", &limit.to_string());
            query.append_pair("offset", &offset.to_string());
        }
        PageStart::Query(members) => {
            if !members.iter().any(|(name, _)| name == "limit") {
                query.append_pair("limit", &limit.to_string());
            }
            query.extend_pairs(members);
        }
    }
    drop(query);
    url
}

/// The answer to a GET, with every known link to the next page.
#[derive(Deserialize)]
struct FailedEventsAnswer {
    entities: Option<Vec<Box<RawValue>>>,
    next_page: Option<Value>,
    #[serde(rename = "nextPage")]
    next_page_too: Option<Value>,
    #[serde(rename = "nextUri")]
    next_uri: Option<Value>,
    cursor: Option<Value>,
}

/// Returns `None` if the answer is not a list.
fn read_page(body: &[u8], start: &PageStart) -> Option<FailedPage> {
    let listing: FailedEventsAnswer = parse_object(body)?;
    let events = listing.entities.unwrap_or_default().into_iter();
    let events: Vec<String> = events.map(|event| event.get().to_owned()).collect();
    let said = [&listing.next_page, &listing.next_page_too, &listing.next_uri, &listing.cursor];
    let said = said.into_iter();
    let said = said.flatten().find_map(|next| next_query(next.as_str()?));
    let next = match (said, start) {
        _ if events.is_empty() => None,
        (Some(query), _) => Some(PageStart::Query(query)),
        // A page may hold fewer events than the limit. Advance by the number of received events: a skipped event would
        // be lost, a repeated event is detected.
        (None, PageStart::Offset(offset)) => {
            let more = u64::try_from(events.len()).unwrap_or(u64::MAX);
            Some(PageStart::Offset(offset.saturating_add(more)))
        }
        (None, PageStart::Query(_)) => None,
    };
    Some(FailedPage { events, next })
}

/// Returns the query of the next page. Ignores the host of an address, so that the token goes to no other host.
fn next_query(said: &str) -> Option<Vec<(String, String)>> {
    if said.is_empty() {
        return None;
    }
    if let Some((_, query)) = said.split_once('?') {
        let members = form_urlencoded::parse(query.as_bytes()).into_owned();
        return Some(members.collect());
    }
    let is_address = said.starts_with('/') || said.contains("://");
    (!is_address).then(|| vec![("cursor".to_owned(), said.to_owned())])
}

/// Reads the failures in an answer. An answer without failures means that all events were accepted.
fn read_replay_answer(body: &[u8]) -> ReplayAnswer {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return ReplayAnswer::default();
    };
    let id = |item: &Value| {
        let member = || item.get("eventId").or_else(|| item.get("id"));
        let id = item.as_str().or_else(|| member()?.as_str());
        id.map(str::to_owned)
    };
    for name in ["failedEventIds", "failed", "failures", "errors"] {
        let (failed, failed_count) = match members.get(name) {
            Some(Value::Array(items)) if !items.is_empty() => {
                let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
                (items.iter().filter_map(id).collect(), count)
            }
            Some(Value::Number(count)) => (Vec::new(), count.as_u64().unwrap_or(0)),
            Some(_) | None => continue,
        };
        return ReplayAnswer { failed, failed_count };
    }
    ReplayAnswer::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(body: &str, start: &PageStart) -> Option<PageStart> {
        read_page(body.as_bytes(), start)?.next
    }

    #[test]
    fn next_page_begins_after_received_events_or_at_the_link() {
        let at = PageStart::Offset(100);
        let query = |name: &str, value: &str| {
            Some(PageStart::Query(vec![(name.to_owned(), value.to_owned())]))
        };
        let (cursor, offset) = (query("cursor", "abc"), query("offset", "7"));
        for (body, expected) in [
            (r#"{"entities":[{},{}]}"#, Some(PageStart::Offset(102))),
            (r#"{"entities":[{}],"next_page":"abc"}"#, cursor),
            (r#"{"entities":[{}],"nextUri":"https://elsewhere.example/x?offset=7"}"#, offset),
            (
                r#"{"entities":[{}],"nextUri":"/api/v2/x","next_page":""}"#,
                Some(PageStart::Offset(101)),
            ),
            (r#"{"entities":[],"next_page":"abc"}"#, None),
            (r#"{"entities":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(next(body, &at), expected, "{body}");
        }
        let cursor = PageStart::Query(Vec::new());
        assert_eq!(next(r#"{"entities":[{}]}"#, &cursor), None);
    }

    #[test]
    fn failed_events_are_refused_when_not_a_list() {
        for body in ["", "[]", "null", r#"{"entities":7}"#, "<html>"] {
            assert_eq!(read_page(body.as_bytes(), &PageStart::Offset(0)), None);
        }
    }

    #[test]
    fn failed_event_text_is_unchanged() {
        let page = read_page(br#"{"entities":[{"b": 1.0, "a":2 }]}"#, &PageStart::Offset(0));
        let events = page.map(|page| page.events);
        assert_eq!(events, Some(vec![r#"{"b": 1.0, "a":2 }"#.to_owned()]));
    }

    #[test]
    fn failures_are_read_in_every_form_of_the_answer() {
        for (body, count, ids) in [
            ("", 0, &[][..]),
            (r#"{"accepted":3}"#, 0, &[]),
            (r#"{"failed":2}"#, 2, &[]),
            (r#"{"failed":[]}"#, 0, &[]),
            (r#"{"failedEventIds":["a","b"]}"#, 2, &["a", "b"]),
            (r#"{"errors":[{"eventId":"a"},{"id":"b"},7]}"#, 3, &["a", "b"]),
        ] {
            let read = read_replay_answer(body.as_bytes());
            let failed: Vec<&str> = read.failed.iter().map(String::as_str).collect();
            assert_eq!((read.failed_count, &failed[..]), (count, ids), "{body}");
        }
    }
}
