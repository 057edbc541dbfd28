//! Sends messages to an SQS queue.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry as Entry};
use genesys_replay::aws::AwsError;
use genesys_replay::error::with_causes;
use genesys_replay::message::MessageId;
use genesys_replay::queue::{
    AttributeValue, MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError,
};

use crate::error::aws_error;

/// A part of SQS's error text for a message that is longer than the queue's own limit. The error code,
/// `InvalidParameterValue`, has other causes too.
const TOO_LONG_MESSAGE: &str = "must be shorter than";

/// One SQS queue.
#[derive(Clone, Debug)]
pub struct SqsSender {
    client: Client,
    url: String,
    fifo: bool,
}

impl SqsSender {
    /// Creates a sender for the queue with this URL. The suffix of the URL shows a FIFO queue.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        let fifo = url.rsplit('.').next() == Some("fifo");
        Self { client, url, fifo }
    }
}

impl MessageSender for SqsSender {
    async fn send(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        let bytes = message.size();
        if bytes > MAX_MESSAGE_BYTES {
            return Err(PutError::TooLong { bytes });
        }
        let mut call = self.client.send_message().queue_url(&self.url).message_body(&message.body);
        for (name, value) in &message.attributes {
            call = call.message_attributes(name.as_ref(), attribute(value)?);
        }
        if self.fifo {
            call = call
                .message_group_id(&message.group)
                .message_deduplication_id(&message.deduplication);
        }
        let answer = call.send().await.map_err(|error| match &error {
            SdkError::ServiceError(refusal) => {
                // The error's message may quote the sent message.
                let code = refusal.err().code().unwrap_or("an error without a code");
                let text = refusal.err().message().unwrap_or_default();
                if text.contains(TOO_LONG_MESSAGE) {
                    return PutError::TooLong { bytes };
                }
                unavailable(format!("SQS answered {code}"))
            }
            SdkError::TimeoutError(_) => unavailable("no answer in time".to_owned()),
            SdkError::ConstructionFailure(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => unavailable(with_causes(&error)),
        })?;
        answer
            .message_id
            .and_then(MessageId::new)
            .ok_or_else(|| unavailable("the answer of SQS has no message id".to_owned()))
    }

    async fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        let mut answers: Vec<Result<MessageId, PutError>> = messages
            .iter()
            .map(|_| {
                Err(unavailable("the answer of SQS has no result for this message".to_owned()))
            })
            .collect();
        // The size limit of a call equals the size limit of one message.
        let mut call: Vec<(usize, &NewMessage)> = Vec::new();
        let mut bytes = 0;
        for (index, message) in messages.iter().enumerate() {
            let size = message.size();
            if size > MAX_MESSAGE_BYTES {
                settle(&mut answers, index, Err(PutError::TooLong { bytes: size }));
                continue;
            }
            if bytes + size > MAX_MESSAGE_BYTES {
                self.put_call(&call, &mut answers).await?;
                call.clear();
                bytes = 0;
            }
            call.push((index, message));
            bytes += size;
        }
        if !call.is_empty() {
            self.put_call(&call, &mut answers).await?;
        }
        Ok(answers)
    }
}

impl SqsSender {
    /// Makes one call and stores the result of each entry.
    async fn put_call(
        &self,
        call: &[(usize, &NewMessage)],
        answers: &mut [Result<MessageId, PutError>],
    ) -> Result<(), AwsError> {
        let mut entries = Vec::new();
        for (index, message) in call {
            match self.entry(*index, message) {
                Ok(entry) => entries.push(entry),
                Err(error) => settle(answers, *index, Err(error)),
            }
        }
        let answer = self
            .client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| aws_error(format!("putting messages on {}", self.url), &error))?;
        let stored = answer
            .successful()
            .iter()
            .filter_map(|entry| Some((entry.id(), Ok(MessageId::new(entry.message_id())?))));
        let failed = answer.failed().iter().map(|entry| {
            let error = unavailable(format!("SQS answered {}", entry.code()));
            (entry.id(), Err(error))
        });
        for (id, outcome) in stored.chain(failed) {
            if let Ok(index) = id.parse() {
                settle(answers, index, outcome);
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize, message: &NewMessage) -> Result<Entry, PutError> {
        let mut entry = Entry::builder().id(index.to_string()).message_body(&message.body);
        for (name, value) in &message.attributes {
            entry = entry.message_attributes(name.as_ref(), attribute(value)?);
        }
        if self.fifo {
            entry = entry
                .message_group_id(&message.group)
                .message_deduplication_id(&message.deduplication);
        }
        entry.build().map_err(|error| unavailable(with_causes(&error)))
    }
}

/// Stores the result of the message at `index`.
fn settle(
    answers: &mut [Result<MessageId, PutError>],
    index: usize,
    outcome: Result<MessageId, PutError>,
) {
    if let Some(answer) = answers.get_mut(index) {
        *answer = outcome;
    }
}

fn attribute(value: &AttributeValue) -> Result<MessageAttributeValue, PutError> {
    let (kind, value) = value.parts();
    MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value)
        .build()
        .map_err(|error| unavailable(with_causes(&error)))
}

fn unavailable(reason: String) -> PutError {
    PutError::Unavailable { reason }
}
