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
const BEFORE: Duration = Duration::from_secs(24 * 3_600);

/// The maximum interval that analytics accepts.
const MAX_INTERVAL: Duration = Duration::from_secs(31 * 24 * 3_600);

/// The maximum number of pages of one query, because a faulty server may never end.
const MAX_PAGES: u32 = 20;

/// The maximum wait of one query for the rate limit, all its delays together.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(300);

/// The delay if Genesys Cloud does not name one.
const WAIT: Duration = Duration::from_secs(5);

/// The counts of interactions that were looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Correlation {
    /// The number of interactions that analytics returned, counted once for each query.
    pub found: u64,
    /// The number of interactions that analytics did not return.
    pub missing: u64,
    /// The number of interactions without a successful query.
    pub not_asked: u64,
}

/// Looks up the conversations of one batch of messages after another.
pub(super) struct Correlating<'a, C> {
    conversations: &'a C,
    clock: &'a dyn Clock,
    progress: &'a dyn Progress,
    pub(super) counts: Correlation,
    /// True after an error that an operator has to repair, because further queries would fail in the same way.
    hopeless: bool,
}

impl<'a, C: Conversations> Correlating<'a, C> {
    pub(super) fn new(
        conversations: &'a C,
        clock: &'a dyn Clock,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            conversations,
            clock,
            progress,
            counts: Correlation::default(),
            hopeless: false,
        }
    }

    /// Returns the conversations with these ids. `oldest` is the time of the first event.
    pub(super) async fn find(
        &mut self,
        interactions: BTreeSet<&str>,
        oldest: Option<Timestamp>,
    ) -> BTreeMap<String, Conversation> {
        let ids: Vec<InteractionId> = interactions
            .into_iter()
            .filter_map(InteractionId::new)
            .collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(MAX_CONVERSATIONS_PER_QUERY) {
            let asked = ids.len() as u64;
            if self.hopeless {
                self.counts.not_asked += asked;
                continue;
            }
            match self.ask(ids, oldest).await {
                Ok(known) => {
                    self.counts.found += known.len() as u64;
                    self.counts.missing += asked - known.len() as u64;
                    found.extend(known);
                }
                Err(error) => {
                    self.counts.not_asked += asked;
                    self.hopeless = error.disposition() == Disposition::Operator;
                    let code = error.failure_code();
                    let rest = if self.hopeless {
                        "; the others are not asked for"
                    } else {
                        ""
                    };
                    self.progress.warn(&format!(
                        "interactions that were not looked up in analytics: {asked}; {error} (genesys-replay explain {code}){rest}"
                    ));
                }
            }
        }
        found
    }

    /// Returns the conversations with these ids and no others, from all pages.
    async fn ask(
        &self,
        ids: &[InteractionId],
        oldest: Option<Timestamp>,
    ) -> Result<BTreeMap<String, Conversation>, GenesysError> {
        let until = self.clock.now();
        let query = ConversationQuery {
            ids,
            from: beginning(oldest, until),
            until,
        };
        let (mut known, mut hits) = (BTreeMap::new(), 0);
        let mut patience = MAX_SEARCH_TIME;
        for number in 1..=MAX_PAGES {
            let page = self.page(query, number, &mut patience).await?;
            let is_empty = page.conversations.is_empty();
            hits += page.conversations.len() as u64;
            let asked_for =
                |it: &Conversation| ids.iter().any(|id| id.as_str() == it.conversation_id);
            let wanted = page.conversations.into_iter().filter(asked_for);
            known.extend(wanted.map(|it| (it.conversation_id.clone(), it)));
            if is_empty || page.total.is_some_and(|total| hits >= total) {
                break;
            }
        }
        Ok(known)
    }

    /// Returns one page, after as many delays as the rate limit requires and `patience` allows.
    async fn page(
        &self,
        query: ConversationQuery<'_>,
        number: u32,
        patience: &mut Duration,
    ) -> Result<ConversationPage, GenesysError> {
        loop {
            let error = match self.conversations.page(query, number).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let wait = match &error {
                GenesysError::RateLimited { after, .. } => after.unwrap_or(WAIT),
                GenesysError::LocallyRateLimited { after, .. } => *after,
                GenesysError::NotFound
                | GenesysError::Refused { .. }
                | GenesysError::Conflict { .. }
                | GenesysError::Forbidden { .. }
                | GenesysError::Unavailable { .. }
                | GenesysError::Credentials { .. }
                | GenesysError::NoCredentials(_) => return Err(error),
            };
            // A delay of zero would repeat the query without end.
            let wait = wait.max(Duration::from_secs(1));
            match patience.checked_sub(wait) {
                Some(rest) => *patience = rest,
                None => return Err(error),
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// Returns the start of the interval: a day before the oldest event, within the maximum of analytics.
fn beginning(oldest: Option<Timestamp>, until: Timestamp) -> Timestamp {
    let back = |from: Timestamp, by: Duration| {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(from.as_millis().saturating_sub(millis))
    };
    let oldest = oldest.unwrap_or(until).min(until);
    back(oldest, BEFORE).max(back(until, MAX_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_begins_a_day_before_the_oldest_event_and_is_a_month_at_most() {
        let until = Timestamp::parse("2026-11-22T12:00:00Z");
        let from = |oldest: &str| {
            let until = until?;
            Some(beginning(Timestamp::parse(oldest), until).to_string())
        };
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(
            from("2026-11-20T06:00:00Z"),
            expected("2026-11-19T06:00:00Z")
        );
        assert_eq!(
            from("2020-01-01T00:00:00Z"),
            expected("2026-10-22T12:00:00Z")
        );
        assert_eq!(
            from("2030-01-01T00:00:00Z"),
            expected("2026-11-21T12:00:00Z")
        );
        assert_eq!(from("never"), expected("2026-11-21T12:00:00Z"));
    }
}
