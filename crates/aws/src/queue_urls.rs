//! The URL of a queue by its ARN.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use genesys_replay::destination::Arn;

/// Asks SQS once for each queue: how a URL is made differs by partition and endpoint.
#[derive(Clone)]
pub struct QueueUrls {
    client: Client,
    known: Arc<Mutex<HashMap<String, String>>>,
}

impl QueueUrls {
    /// Asks this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Arc::default(),
        }
    }

    /// The URL of a queue.
    ///
    /// # Errors
    /// As SQS says.
    pub async fn of(
        &self,
        queue: &Arn,
    ) -> Result<String, SdkError<GetQueueUrlError, HttpResponse>> {
        let known = |urls: &Self| {
            let known = urls.known.lock().unwrap_or_else(PoisonError::into_inner);
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
            .insert(queue.as_str().to_owned(), url.clone());
        Ok(url)
    }
}
