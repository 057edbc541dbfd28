//! Queue URLs by ARN.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use genesys_replay::destination::Arn;
use lru::LruCache;

use crate::clients::MAX_CACHE_ENTRIES;

/// Resolves queue URLs with one SQS call per queue. URLs are not built from the ARN, because their form
/// depends on partition and endpoint.
#[derive(Clone)]
pub struct QueueUrls {
    client: Client,
    known: Arc<Mutex<LruCache<String, String>>>,
}

impl QueueUrls {
    /// Creates a resolver that uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::new(Mutex::new(LruCache::new(MAX_CACHE_ENTRIES))) }
    }

    /// Returns the URL of a queue.
    ///
    /// # Errors
    /// The error of SQS.
    pub async fn of(
        &self,
        queue: &Arn,
    ) -> Result<String, SdkError<GetQueueUrlError, HttpResponse>> {
        let known = |urls: &Self| {
            let mut known = urls.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(queue.as_str()).cloned()
        };
        if let Some(url) = known(self) {
            return Ok(url);
        }
        let answer = self
            .client
            .get_queue_url()
            .queue_name(queue.resource())
            .queue_owner_aws_account_id(queue.account())
            .send()
            .await?;
        let url = answer.queue_url.unwrap_or_default();
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(queue.as_str().to_owned(), url.clone());
        Ok(url)
    }
}
