//! The event buses that exist.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::http::HttpResponse;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::operation::describe_event_bus::DescribeEventBusError;
use genesys_replay::destination::Arn;
use genesys_replay_aws::clients::MAX_CACHE_ENTRIES;
use lru::LruCache;
use tokio::time::Instant;

/// The time for which a found bus is not checked again.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// The buses that exist, as checked in this execution environment. The check is needed because `PutEvents` to
/// a missing bus returns success.
#[derive(Clone)]
pub struct KnownBuses(Arc<Mutex<LruCache<String, Instant>>>);

impl Default for KnownBuses {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(MAX_CACHE_ENTRIES))))
    }
}

impl KnownBuses {
    /// Checks that a bus exists, unless it was found in the last five minutes. Without the permission to look, the
    /// bus counts as existing.
    ///
    /// # Errors
    /// The bus does not exist, or `EventBridge` did not answer: an event for a missing bus would be lost.
    pub(crate) async fn check(
        &self,
        client: &Client,
        bus: &Arn,
    ) -> Result<(), SdkError<DescribeEventBusError, HttpResponse>> {
        let is_known = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(bus.as_str()).is_some_and(|found| found.elapsed() < CACHE_TTL)
        };
        if is_known {
            return Ok(());
        }
        if let Err(error) = known_as(client, bus).await
            && !is_denied(&error)
        {
            return Err(error);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.put(bus.as_str().to_owned(), Instant::now());
        Ok(())
    }
}

/// Describes a bus and returns the name under which it was found. That is its ARN; with an emulator only its
/// name, which AWS resolves in the caller's own account.
///
/// # Errors
/// The error of `EventBridge`.
pub async fn known_as<'b>(
    client: &Client,
    bus: &'b Arn,
) -> Result<&'b str, SdkError<DescribeEventBusError, HttpResponse>> {
    let arn = bus.as_str();
    let Err(error) = client.describe_event_bus().name(arn).send().await else {
        return Ok(arn);
    };
    if is_missing(&error) {
        let name = bus.resource().trim_start_matches("event-bus/");
        let named = client.describe_event_bus().name(name).send().await;
        if named.is_ok_and(|found| found.arn() == Some(arn)) {
            return Ok(name);
        }
    }
    Err(error)
}

fn is_denied<R>(error: &SdkError<DescribeEventBusError, R>) -> bool {
    let code = error.as_service_error().and_then(|error| error.code());
    matches!(code, Some("AccessDeniedException" | "AccessDenied"))
}

fn is_missing<R>(error: &SdkError<DescribeEventBusError, R>) -> bool {
    error.as_service_error().is_some_and(DescribeEventBusError::is_resource_not_found_exception)
}
