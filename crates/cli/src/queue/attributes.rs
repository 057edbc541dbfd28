//! The attributes of a queue, by SQS's own names.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use genesys_replay::aws::AwsError;

use crate::calls::answered;

/// Reads and changes the attributes of queues.
#[derive(Clone, Debug)]
pub struct QueueAttributes {
    pub(crate) sqs: Client,
}

impl QueueAttributes {
    /// Returns all attributes of a queue.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn read(&self, url: &str) -> Result<BTreeMap<String, String>, AwsError> {
        let operation = format!("reading the attributes of {url} (sqs:GetQueueAttributes)");
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = call.attribute_names(QueueAttributeName::All);
        let found = answered(&operation, call.send()).await?.attributes.unwrap_or_default();
        Ok(found.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }

    /// Changes these attributes. The others keep their values.
    ///
    /// # Errors
    /// [`AwsError`]: nothing was changed.
    pub async fn set(&self, url: &str, values: &BTreeMap<String, String>) -> Result<(), AwsError> {
        let operation = format!("changing the attributes of {url} (sqs:SetQueueAttributes)");
        let values = values
            .iter()
            .map(|(name, value)| (QueueAttributeName::from(name.as_str()), value.clone()));
        let call = self.sqs.set_queue_attributes().queue_url(url);
        answered(&operation, call.set_attributes(Some(values.collect())).send()).await.map(drop)
    }
}
