//! Analytics queries for conversations by id.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError};
use genesys_replay_genesys::GenesysClient;
use genesys_replay_genesys::answer::unreadable_body;
use genesys_replay_genesys::body::parse_object;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::endpoint;

/// The maximum number of conversations in one query.
pub const MAX_CONVERSATIONS_PER_QUERY: usize = 50;

/// The maximum number of conversations that Genesys Cloud puts on one page.
const MAX_PAGE_CONVERSATIONS: u32 = 100;

/// A conversation without personal data: no names, no addresses, no attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    pub conversation_id: String,
    /// As Genesys Cloud writes it.
    pub conversation_start: Option<String>,
    pub conversation_end: Option<String>,
    /// The media types of the sessions, such as `voice`: each once, in alphabetical order.
    pub media_types: Vec<String>,
    /// The number of participants of each purpose, such as `agent`.
    pub participants: BTreeMap<String, u32>,
}

/// One page of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationPage {
    pub conversations: Vec<Conversation>,
    /// On all pages, if Genesys Cloud reports it.
    pub total: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub struct ConversationQuery<'a> {
    /// The ids of the conversations: at most [`MAX_CONVERSATIONS_PER_QUERY`], each once.
    pub ids: &'a [InteractionId],
    pub from: Timestamp,
    /// The end of the interval. Genesys Cloud accepts at most 31 days.
    pub until: Timestamp,
}

/// The analytics calls that an operator needs.
pub trait Conversations: Send + Sync {
    /// Returns one page of conversations, numbered from 1. Pages after the last one are empty. Changes nothing.
    ///
    /// # Errors
    /// [`GenesysError::RateLimited`] and [`GenesysError::LocallyRateLimited`] contain the delay before the next call.
    fn page(
        &self,
        query: ConversationQuery<'_>,
        number: u32,
    ) -> impl Future<Output = Result<ConversationPage, GenesysError>> + Send;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnalyticsAnswer {
    /// Absent on an empty page.
    #[serde(default)]
    conversations: Vec<AnalyticsConversation>,
    total_hits: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnalyticsConversation {
    conversation_id: String,
    conversation_start: Option<String>,
    conversation_end: Option<String>,
    #[serde(default)]
    participants: Vec<AnalyticsParticipant>,
}

#[derive(Deserialize)]
struct AnalyticsParticipant {
    purpose: Option<String>,
    #[serde(default)]
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    media_type: Option<String>,
}

impl From<AnalyticsConversation> for Conversation {
    fn from(answer: AnalyticsConversation) -> Self {
        let mut media = BTreeSet::new();
        let mut participants = BTreeMap::new();
        for participant in answer.participants {
            let purpose = participant.purpose.unwrap_or_else(|| "unknown".to_owned());
            *participants.entry(purpose).or_default() += 1;
            let sessions = participant.sessions.into_iter();
            media.extend(sessions.filter_map(|session| session.media_type));
        }
        Self {
            conversation_id: answer.conversation_id,
            conversation_start: answer.conversation_start,
            conversation_end: answer.conversation_end,
            media_types: media.into_iter().collect(),
            participants,
        }
    }
}

fn question(query: ConversationQuery<'_>, number: u32) -> String {
    let predicates = query.ids.iter().map(|id| {
        json!({
            "type": "dimension",
            "dimension": "conversationId",
            "operator": "matches",
            "value": id.as_str(),
        })
    });
    json!({
        "interval": format!("{}/{}", query.from, query.until),
        "order": "asc",
        "orderBy": "conversationStart",
        "conversationFilters": [{ "type": "or", "predicates": predicates.collect::<Vec<_>>() }],
        "paging": { "pageSize": MAX_PAGE_CONVERSATIONS, "pageNumber": number },
    })
    .to_string()
}

fn read(body: &[u8]) -> Option<ConversationPage> {
    let answer: AnalyticsAnswer = parse_object(body)?;
    let conversations = answer.conversations.into_iter();
    Some(ConversationPage {
        conversations: conversations.map(Conversation::from).collect(),
        total: answer.total_hits,
    })
}

impl Conversations for GenesysClient {
    async fn page(
        &self,
        query: ConversationQuery<'_>,
        number: u32,
    ) -> Result<ConversationPage, GenesysError> {
        let url = endpoint(self, "api/v2/analytics/conversations/details/query");
        let call = Call::Analytics;
        let body = self.call(call, Method::POST, url, Some(question(query, number))).await?;
        read(&body).ok_or(unreadable_body(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_is_read_without_personal_data() {
        let body = br#"{"conversations":[{"conversationId":"c-1","conversationStart":"2026-07-25T17:00:00.000Z",
            "conversationEnd":"2026-07-25T17:20:00.000Z","originatingDirection":"inbound","participants":[
            {"participantId":"p-1","participantName":"Marta Muster","purpose":"customer","sessions":[
                {"mediaType":"voice","ani":"tel:+4930123456","remoteNameDisplayable":"Marta"}]},
            {"purpose":"agent","userId":"u-1","sessions":[{"mediaType":"voice"},{"mediaType":"callback"}]},
            {"purpose":"agent"},{}]}],"totalHits":1}"#;
        let page = read(body);
        let shown = page.as_ref().map(|page| json!(page.conversations[0]));
        assert_eq!(
            shown,
            Some(json!({
                "conversationId": "c-1",
                "conversationStart": "2026-07-25T17:00:00.000Z",
                "conversationEnd": "2026-07-25T17:20:00.000Z",
                "mediaTypes": ["callback", "voice"],
                "participants": { "agent": 2, "customer": 1, "unknown": 1 },
            }))
        );
        assert_eq!(page.and_then(|page| page.total), Some(1));
    }

    #[test]
    fn empty_page_has_no_conversations() {
        assert_eq!(
            read(br#"{"totalHits":0}"#),
            Some(ConversationPage { conversations: Vec::new(), total: Some(0) })
        );
        assert_eq!(read(b"{}"), Some(ConversationPage::default()));
        for body in ["", "[]", "<html>", r#"{"conversations":{}}"#] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
