//! Asking Genesys Cloud itself to send failed events again.

use std::collections::HashSet;

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::GenesysError;
use tokio_util::sync::CancellationToken;

use super::Progress;
use super::patience::patiently;
use crate::genesys::FailedEvents;

/// The most ids of one request.
pub const MAX_EVENTS_PER_REQUEST: usize = 100;

/// What was asked for, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reinjection {
    /// How many ids there are, each once.
    pub ids: u64,
    /// How many came a second time and were left out.
    pub duplicates: u64,
    /// How many requests they make.
    pub requests: u64,
    /// How many Genesys Cloud has accepted.
    pub accepted: u64,
    /// How many it has not.
    pub failed: u64,
    /// Those of them that it names, and all of a request that it refused.
    pub failed_ids: Vec<String>,
    /// The requests that it refused as a whole, by number from 1, and why.
    pub refused: Vec<(u64, GenesysError)>,
    /// How many were not asked for, since it was stopped.
    pub left: u64,
}

/// Why it ended early, and what was done by then.
#[derive(Debug, thiserror::Error)]
#[error("request {request} of {}: {cause}", done.requests)]
pub struct Broken {
    /// What was done.
    pub done: Box<Reinjection>,
    /// The request that failed, from 1.
    pub request: u64,
    /// Its first id: the ids from there on were not accepted, as far as is known.
    pub first_id: String,
    /// Why.
    pub cause: GenesysError,
}

/// Each id once, in the order in which it came first, and how many came again.
#[must_use]
pub fn each_once(ids: Vec<String>) -> (Vec<String>, u64) {
    let all = ids.len();
    let mut seen = HashSet::new();
    let unique: Vec<String> = ids
        .into_iter()
        .filter(|id| seen.insert(id.clone()))
        .collect();
    let duplicates = u64::try_from(all - unique.len()).unwrap_or(u64::MAX);
    (unique, duplicates)
}

/// What would be asked for.
#[must_use]
pub fn plan(ids: &[String], duplicates: u64) -> Reinjection {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Reinjection {
        ids: count(ids.len()),
        duplicates,
        requests: count(ids.len().div_ceil(MAX_EVENTS_PER_REQUEST)),
        ..Reinjection::default()
    }
}

/// Asks for these ids, which are unique, in requests of at most [`MAX_EVENTS_PER_REQUEST`].
///
/// A request that Genesys Cloud refuses (400) is counted as failed, and the next ones are made: one id of another
/// subscription spoils no more than its own hundred.
///
/// # Errors
/// What concerns every request ends it: credentials, no such API, Genesys Cloud down. A request whose answer is
/// lost may have been carried out.
pub async fn reinject(
    genesys: &impl FailedEvents,
    subscription: &InteractionId,
    ids: &[String],
    duplicates: u64,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<Reinjection, Broken> {
    let mut done = plan(ids, duplicates);
    let mut left = done.ids;
    progress.begin("asking Genesys Cloud", Some(done.ids));
    for (request, ids) in (1..).zip(ids.chunks(MAX_EVENTS_PER_REQUEST)) {
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let call = async || genesys.reinject(subscription, ids).await;
        let answer = if stop.is_cancelled() {
            Ok(None)
        } else {
            patiently(call, progress, stop).await
        };
        match answer {
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
                progress.end();
                done.left = left;
                return Err(Broken {
                    done: Box::new(done),
                    request,
                    first_id: ids.first().cloned().unwrap_or_default(),
                    cause,
                });
            }
        }
        left -= count;
        progress.advance(count);
    }
    progress.end();
    done.left = left;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_asked_for_once_in_the_order_in_which_it_came() {
        let ids = ["b", "a", "b", "c", "a"].map(str::to_owned).to_vec();
        let (unique, duplicates) = each_once(ids);
        assert_eq!((unique.join(""), duplicates), ("bac".to_owned(), 2));
    }

    #[test]
    fn a_hundred_ids_make_one_request_and_one_more_makes_two() {
        for (ids, requests) in [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)] {
            let ids: Vec<String> = (0..ids).map(|id: u32| id.to_string()).collect();
            assert_eq!(plan(&ids, 0).requests, requests);
        }
    }
}
