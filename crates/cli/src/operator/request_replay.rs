//! Asks Genesys Cloud to send failed events again.

use std::collections::HashSet;

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::GenesysError;
use genesys_replay_genesys::GenesysClient;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Progress;
use super::retry::retry_rate_limited;
use crate::genesys::failed_events;

/// The maximum number of ids in one request.
pub const MAX_EVENTS_PER_REQUEST: usize = 100;

/// The result of all requests, so far if it ended early.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayRequestSummary {
    /// The number of ids, each counted once.
    pub ids: u64,
    /// The number of repeated ids, which were left out.
    pub duplicates: u64,
    pub requests: u64,
    /// The number of ids that Genesys Cloud accepted.
    pub accepted: u64,
    pub failed: u64,
    /// The failed ids that Genesys Cloud named, and all ids of a refused request.
    pub failed_ids: Vec<String>,
    /// The requests that Genesys Cloud refused as a whole: number from 1, and error.
    #[serde(skip)]
    pub refused: Vec<(u64, GenesysError)>,
    /// The number of ids without an answer, which are the last ones.
    pub left: u64,
}

/// Returns each id once, in the order of first occurrence, and the counts before the first request.
pub fn plan(ids: Vec<String>) -> (Vec<String>, ReplayRequestSummary) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let all = ids.len();
    let mut seen = HashSet::new();
    let ids = ids.into_iter().filter(|id| seen.insert(id.clone()));
    let ids: Vec<String> = ids.collect();
    let counts = ReplayRequestSummary {
        ids: count(ids.len()),
        duplicates: count(all - ids.len()),
        requests: count(ids.len().div_ceil(MAX_EVENTS_PER_REQUEST)),
        left: count(ids.len()),
        ..ReplayRequestSummary::default()
    };
    (ids, counts)
}

/// Requests the ids of [`plan`], with at most [`MAX_EVENTS_PER_REQUEST`] in each request, and counts the answers.
///
/// A request that Genesys Cloud refuses (400) counts as failed, and the next requests follow. So one id of another
/// subscription spoils only its own request.
///
/// # Errors
/// [`GenesysError`] for an error that concerns every request: credentials, a missing API, an outage of Genesys Cloud. A
/// request whose answer was lost may have been carried out.
pub async fn request_replay(
    client: &GenesysClient,
    subscription: &InteractionId,
    ids: &[String],
    done: &mut ReplayRequestSummary,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), GenesysError> {
    progress.begin("asking Genesys Cloud", Some(done.ids));
    let mut ended = Ok(());
    for (request, ids) in (1..).zip(ids.chunks(MAX_EVENTS_PER_REQUEST)) {
        if stop.is_cancelled() {
            break;
        }
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let call = async || failed_events::request_replay(client, subscription, ids).await;
        match retry_rate_limited(call, progress, stop).await {
            Ok(Some(answer)) => {
                let failed = answer.failed_count.min(count);
                done.accepted += count - failed;
                done.failed += failed;
                done.failed_ids.extend(answer.failed);
            }
            Ok(None) => break,
            Err(cause @ GenesysError::Refused { .. }) => {
                progress.warn(&format!("request {request} of {}: {cause}", done.requests));
                done.failed += count;
                done.failed_ids.extend_from_slice(ids);
                done.refused.push((request, cause));
            }
            Err(cause) => {
                ended = Err(cause);
                break;
            }
        }
        done.left -= count;
        progress.advance(count);
    }
    progress.end();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_requested_once_in_their_order() {
        let ids = ["b", "a", "b", "c", "a"].map(str::to_owned).to_vec();
        let (unique, counts) = plan(ids);
        assert_eq!((&*unique.join(""), counts.duplicates), ("bac", 2));
    }

    #[test]
    fn request_has_at_most_a_hundred_ids() {
        for (ids, requests) in [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)] {
            let ids: Vec<String> = (0..ids).map(|id: u32| id.to_string()).collect();
            assert_eq!(plan(ids).1.requests, requests);
        }
    }
}
