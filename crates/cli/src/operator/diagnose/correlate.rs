//! Looks up the conversations of events in analytics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::failure::Disposition;
use genesys_replay::genesys::GenesysError;
use serde::Serialize;

use crate::genesys::analytics::{
    Conversation, ConversationPage, ConversationQuery, Conversations, MAX_CONVERSATIONS_PER_QUERY,
};
use crate::operator::Progress;

/// The maximum time between the start of a conversation and its event.
const MAX_CONVERSATION_TIME: Duration = Duration::from_secs(24 * 3_600);

/// The maximum interval that analytics accepts.
const MAX_INTERVAL: Duration = Duration::from_secs(31 * 24 * 3_600);

/// The maximum number of pages of one query, because a faulty server may never end.
const MAX_PAGES: u32 = 20;

/// The maximum wait of one query for the rate limit, all its delays together.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(300);

/// The delay if Genesys Cloud does not name one.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Correlation {
    /// The number of interactions that analytics returned, counted once for each query.
    pub found: u64,
    /// The number of interactions that analytics did not return.
    pub missing: u64,
    /// The number of interactions without a successful query.
    pub not_asked: u64,
}

/// Looks up the conversations of one batch of messages after another.
pub(super) struct Correlator<'a, C> {
    pub(super) conversations: &'a C,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a dyn Progress,
    pub(super) counts: Correlation,
    /// True after an error that an operator has to repair, because further queries would fail in the same way.
    pub(super) is_disabled: bool,
}

impl<C: Conversations> Correlator<'_, C> {
    /// Returns the conversations with these ids. `oldest` is the time of the first event.
    pub(super) async fn find(
        &mut self,
        interactions: BTreeSet<&str>,
        oldest: Option<Timestamp>,
    ) -> BTreeMap<String, Conversation> {
        let ids: Vec<InteractionId> =
            interactions.into_iter().filter_map(InteractionId::new).collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(MAX_CONVERSATIONS_PER_QUERY) {
            let count = ids.len() as u64;
            if self.is_disabled {
                self.counts.not_asked += count;
                continue;
            }
            match self.query(ids, oldest).await {
                Ok(known) => {
                    self.counts.found += known.len() as u64;
                    self.counts.missing += count - known.len() as u64;
                    found.extend(known);
                }
                Err(error) => {
                    self.counts.not_asked += count;
                    self.is_disabled = error.disposition() == Disposition::Operator;
                    let code = error.failure_code();
                    let rest = if self.is_disabled { "; the others are not requested" } else { "" };
                    self.progress.warn(&format!(
                        "interactions that were not looked up in analytics: {count}; {error} (genesys-replay explain {code}){rest}"
                    ));
                }
            }
        }
        found
    }

    /// Returns the conversations with these ids and no others, from all pages.
    async fn query(
        &self,
        ids: &[InteractionId],
        oldest: Option<Timestamp>,
    ) -> Result<BTreeMap<String, Conversation>, GenesysError> {
        let until = self.clock.now();
        let from = beginning(oldest, until);
        let query = ConversationQuery { ids, from, until };
        let (mut known, mut hits) = (BTreeMap::new(), 0);
        let mut max_wait = MAX_SEARCH_TIME;
        for number in 1..=MAX_PAGES {
            let page = self.page(query, number, &mut max_wait).await?;
            let is_last = page.conversations.is_empty();
            hits += page.conversations.len() as u64;
            for conversation in page.conversations {
                let id = conversation.conversation_id.clone();
                if ids.iter().any(|it| it.as_str() == id) {
                    known.insert(id, conversation);
                }
            }
            if is_last || page.total.is_some_and(|total| hits >= total) {
                break;
            }
        }
        Ok(known)
    }

    /// Returns one page, after as many delays as the rate limit requires and `max_wait` allows.
    async fn page(
        &self,
        query: ConversationQuery<'_>,
        number: u32,
        max_wait: &mut Duration,
    ) -> Result<ConversationPage, GenesysError> {
        loop {
            let error = match self.conversations.page(query, number).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let wait = if let GenesysError::RateLimited { after, .. } = &error {
                after.unwrap_or(DEFAULT_RETRY_AFTER)
            } else if let GenesysError::LocallyRateLimited { after, .. } = &error {
                *after
            } else {
                return Err(error);
            };
            // A delay of zero would repeat the query without end.
            let wait = wait.max(Duration::from_secs(1));
            let Some(rest) = max_wait.checked_sub(wait) else {
                return Err(error);
            };
            *max_wait = rest;
            tokio::time::sleep(wait).await;
        }
    }
}

/// Returns the start of the interval: a day before the oldest event, within the maximum of analytics.
fn beginning(oldest: Option<Timestamp>, until: Timestamp) -> Timestamp {
    let oldest = oldest.unwrap_or(until).min(until);
    oldest.minus(MAX_CONVERSATION_TIME).max(until.minus(MAX_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_begins_a_day_before_the_event_and_is_limited() {
        let until = Timestamp::from_millis(1_795_348_800_000);
        assert_eq!(until.to_string(), "2026-11-22T12:00:00Z");
        for (oldest, from) in [
            ("2026-11-20T06:00:00Z", "2026-11-19T06:00:00Z"),
            ("2020-01-01T00:00:00Z", "2026-10-22T12:00:00Z"),
            ("2030-01-01T00:00:00Z", "2026-11-21T12:00:00Z"),
            ("never", "2026-11-21T12:00:00Z"),
        ] {
            assert_eq!(beginning(Timestamp::parse(oldest), until).to_string(), from);
        }
    }
}
