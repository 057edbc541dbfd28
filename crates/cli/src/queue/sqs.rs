//! Reads an SQS queue and deletes from it, for an operator.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message as SqsMessage, MessageAttributeValue,
    MessageSystemAttributeName as System, QueueAttributeName as Attribute,
};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Arn;
use genesys_replay::message::{Message, MessageId, SOURCE_QUEUE};
use genesys_replay::queue::{
    MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, Queue, Redrive, VisibilityChange, VisibilityError,
};
use genesys_replay_aws::aws_error;
use genesys_replay_aws::sqs_queue::SqsQueue;

use super::{DeleteError, QueueFacts, QueueReader};

/// The wait time of a receive. A long poll queries all servers of SQS; a short poll queries a few, and may find nothing
/// in a queue that is not empty.
pub(super) const WAIT_SECONDS: i32 = 1;

/// One queue of SQS.
#[derive(Clone)]
pub struct SqsReader {
    client: Client,
    visibility: SqsQueue,
    url: String,
    arn: String,
    /// The ARN of the queue that the function drains: this queue, or the queue whose parking queue this is.
    drained_arn: String,
    max_message_bytes: usize,
}

impl SqsReader {
    /// Finds the queue with this URL, ARN or name.
    ///
    /// # Errors
    /// [`AwsError`]; [`AwsErrorKind::NotFound`](genesys_replay::aws::AwsErrorKind::NotFound) if the queue does not
    /// exist.
    pub async fn find(client: Client, name: &str) -> Result<Self, AwsError> {
        let url = if name.contains("://") {
            name.to_owned()
        } else {
            let arn = Arn::parse_trusted(name);
            let call = client
                .get_queue_url()
                .queue_name(Arn::resource_of(name))
                .set_queue_owner_aws_account_id(arn.map(|arn| arn.account().to_owned()));
            let operation = || format!("finding the queue {name} (sqs:GetQueueUrl)");
            let answer = call.send().await.map_err(|error| aws_error(operation(), &error))?;
            answer.queue_url.ok_or_else(|| AwsError::incomplete(operation(), "URL"))?
        };
        let mut reader = Self {
            visibility: SqsQueue::new(client.clone()),
            client,
            url,
            arn: String::new(),
            drained_arn: String::new(),
            max_message_bytes: MAX_MESSAGE_BYTES,
        };
        let facts = reader.facts().await?;
        reader.arn = facts.arn;
        reader.max_message_bytes = facts.max_message_bytes;
        reader.drained_arn.clone_from(&reader.arn);
        Ok(reader)
    }

    /// Returns this queue as the parking queue of another one. Received messages get the ARN of that queue, as if they
    /// were still there.
    #[must_use]
    pub fn parking_queue_of(self, queue_arn: &str) -> Self {
        Self { drained_arn: queue_arn.to_owned(), ..self }
    }

    /// Returns the queue's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the queue's own limit for a message with its attributes, in bytes.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// Returns the queue's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

impl QueueReader for SqsReader {
    async fn facts(&self) -> Result<QueueFacts, AwsError> {
        let operation =
            || format!("reading the attributes of {} (sqs:GetQueueAttributes)", self.url);
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(Attribute::All)
            .send()
            .await
            .map_err(|error| aws_error(operation(), &error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let text = |name: &Attribute| attributes.get(name).map(String::as_str);
        let number = |name: &Attribute| text(name).and_then(|it| it.parse().ok()).unwrap_or(0);
        Ok(QueueFacts {
            url: self.url.clone(),
            arn: text(&Attribute::QueueArn)
                .ok_or_else(|| AwsError::incomplete(operation(), "ARN"))?
                .to_owned(),
            fifo: text(&Attribute::FifoQueue) == Some("true"),
            visibility: Duration::from_secs(number(&Attribute::VisibilityTimeout)),
            retention: Duration::from_secs(number(&Attribute::MessageRetentionPeriod)),
            max_message_bytes: text(&Attribute::MaximumMessageSize)
                .and_then(|it| it.parse().ok())
                .unwrap_or(MAX_MESSAGE_BYTES),
            redrive: text(&Attribute::RedrivePolicy).and_then(Redrive::parse),
            visible: number(&Attribute::ApproximateNumberOfMessages),
            in_flight: number(&Attribute::ApproximateNumberOfMessagesNotVisible),
            delayed: number(&Attribute::ApproximateNumberOfMessagesDelayed),
        })
    }

    async fn receive(&self, visibility_timeout: Duration) -> Result<Vec<Message>, AwsError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(MAX_BATCH_ENTRIES).unwrap_or(1))
            .visibility_timeout(i32::try_from(visibility_timeout.as_secs()).unwrap_or(i32::MAX))
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(System::All)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| aws_error(format!("receiving from {}", self.url), &error))?;
        let received = answer.messages.unwrap_or_default().into_iter();
        Ok(received.filter_map(|message| read(message, &self.drained_arn)).collect())
    }

    async fn change_visibility(
        &self,
        messages: &[Message],
        timeout: Duration,
    ) -> Vec<VisibilityError> {
        let changes: Vec<VisibilityChange<'_>> = messages
            .iter()
            .map(|message| VisibilityChange {
                queue_arn: &self.arn,
                message_id: &message.id,
                receipt_handle: message.receipt_handle.as_deref().unwrap_or_default(),
                after: timeout,
            })
            .collect();
        self.visibility.change_visibility(&changes).await
    }

    async fn delete(&self, messages: &[Message]) -> Vec<DeleteError> {
        let mut failures = Vec::new();
        for batch in messages.chunks(MAX_BATCH_ENTRIES) {
            failures.extend(self.delete_batch(batch).await);
        }
        failures
    }
}

impl SqsReader {
    async fn delete_batch(&self, batch: &[Message]) -> Vec<DeleteError> {
        let failed = |message: &Message, reason: String| DeleteError {
            message_id: message.id.clone(),
            reason,
        };
        let all_failed = |reason: String| {
            let all = batch.iter().map(|message| failed(message, reason.clone()));
            all.collect::<Vec<_>>()
        };
        let entries: Result<Vec<_>, _> = batch
            .iter()
            .enumerate()
            .map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.as_deref().unwrap_or_default())
                    .build()
            })
            .collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return all_failed(error.to_string()),
        };
        let call = self.client.delete_message_batch().queue_url(&self.url);
        match call.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let named = answer.failed().iter().filter_map(|failure| {
                    let index: usize = failure.id().parse().ok()?;
                    Some(failed(batch.get(index)?, failure.code().to_owned()))
                });
                named.collect()
            }
            Err(error) => all_failed(aws_error("deleting", &error).to_string()),
        }
    }
}

/// Returns a message as the function receives it from Lambda; `None` without an id, which SQS always sends.
pub(super) fn read(received: SqsMessage, queue_arn: &str) -> Option<Message> {
    let system = received.attributes.unwrap_or_default();
    let number = |name: &System| system.get(name).and_then(|text| text.parse::<u64>().ok());
    let id = MessageId::new(received.message_id?)?;
    let mut message = Message {
        receipt_handle: received.receipt_handle,
        queue_arn: Some(queue_arn.to_owned()),
        group: system.get(&System::MessageGroupId).cloned(),
        sent_at: number(&System::SentTimestamp).map(Timestamp::from_millis),
        receive_count: number(&System::ApproximateReceiveCount)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1),
        ..Message::new(id, received.body.unwrap_or_default())
    };
    let attributes = received.message_attributes.unwrap_or_default().into_iter();
    message.add_attributes(attributes.map(|(name, value)| {
        let MessageAttributeValue { data_type, string_value, binary_value, .. } = value;
        (name, data_type, string_value, binary_value.map(Blob::into_inner))
    }));
    let source = system.get(&System::DeadLetterQueueSourceArn);
    message.attributes.extend(source.map(|arn| (SOURCE_QUEUE.to_owned(), arn.clone())));
    Some(message)
}
