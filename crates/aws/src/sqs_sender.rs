//! Sends messages to an SQS queue.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry as Entry,
};
use genesys_replay::aws::AwsError;
use genesys_replay::error::with_causes;
use genesys_replay::message::{MessageId, TypedAttribute, TypedValue};
use genesys_replay::queue::{MAX_MESSAGE_BYTES, MessageSender, NewMessage, PutError};

use crate::error::{aws_error, has_not_reached, is_unsent};

/// A part of SQS's error text for a message that is longer than the queue's own limit. The error code,
/// `InvalidParameterValue`, has other causes too.
const TOO_LONG_MESSAGE: &str = "must be shorter than";

/// One SQS queue.
#[derive(Clone, Debug)]
pub struct SqsSender {
    client: Client,
    url: String,
    fifo: bool,
    /// The maximum size of a message, in bytes.
    max_bytes: usize,
}

impl SqsSender {
    /// Creates a sender for the queue with this URL. The suffix of the URL shows a FIFO queue.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        let fifo = url.rsplit('.').next() == Some("fifo");
        Self { client, url, fifo, max_bytes: MAX_MESSAGE_BYTES }
    }

    /// Sets the queue's own limit for messages (`MaximumMessageSize`), in bytes. Longer messages are refused without a
    /// call.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes: max_bytes.min(MAX_MESSAGE_BYTES), ..self }
    }

    fn too_long(&self, bytes: usize) -> Option<PutError> {
        (bytes > self.max_bytes).then_some(PutError::TooLong { bytes, limit: Some(self.max_bytes) })
    }
}

/// A failed attempt to send one message.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The attempt ended before SQS was reached.
    NotReached(String),
    /// SQS refused the message for now, because it is throttled or not available.
    Throttled(String),
    /// SQS did not store the message, and would not store it now either.
    Refused(PutError),
    /// SQS may have stored the message.
    Unanswered(String),
}

impl From<SendFailure> for PutError {
    fn from(failure: SendFailure) -> Self {
        match failure {
            SendFailure::NotReached(reason) | SendFailure::Throttled(reason) => unavailable(reason),
            SendFailure::Refused(error) => error,
            SendFailure::Unanswered(reason) => unanswered(reason),
        }
    }
}

impl MessageSender for SqsSender {
    async fn send(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        Ok(self.put(message).await?)
    }

    async fn send_all(
        &self,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<MessageId, PutError>>, AwsError> {
        let mut answers: Vec<Result<MessageId, PutError>> = messages
            .iter()
            .map(|_| Err(unanswered("the answer of SQS has no result for this message".to_owned())))
            .collect();
        // The size limit of a call equals the size limit of one message.
        let mut call: Vec<(usize, &NewMessage)> = Vec::new();
        let mut bytes = 0;
        for (index, message) in messages.iter().enumerate() {
            let size = message.size();
            if let Some(error) = self.too_long(size) {
                settle(&mut answers, index, Err(error));
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
    /// Returns true if the queue drops a message that it already has, by its deduplication id.
    pub(crate) const fn is_fifo(&self) -> bool {
        self.fifo
    }

    /// Sends one message with one call of the client.
    pub(crate) async fn put(&self, message: &NewMessage) -> Result<MessageId, SendFailure> {
        let bytes = message.size();
        if let Some(error) = self.too_long(bytes) {
            return Err(SendFailure::Refused(error));
        }
        let mut call = self.client.send_message().queue_url(&self.url).message_body(&message.body);
        for (name, value) in &message.attributes {
            let value = attribute(value)
                .map_err(|error| SendFailure::Refused(unavailable(with_causes(&error))))?;
            call = call.message_attributes(name.as_ref(), value);
        }
        if self.fifo {
            call = call
                .message_group_id(&message.group)
                .message_deduplication_id(&message.deduplication);
        }
        let answer = call.send().await.map_err(|error| failure(&error, bytes))?;
        let id = answer.message_id.and_then(MessageId::new);
        id.ok_or_else(|| SendFailure::Unanswered("SQS answered without a message id".to_owned()))
    }

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
        if entries.is_empty() {
            return Ok(());
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
        let size_of = |id: &str| {
            let index: usize = id.parse().ok()?;
            call.iter().find(|(it, _)| *it == index).map(|(_, message)| message.size())
        };
        let failed = answer.failed().iter().map(|entry| {
            (entry.id(), Err(failed_entry(entry, size_of(entry.id()).unwrap_or_default())))
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
            let value = attribute(value).map_err(|error| unavailable(with_causes(&error)))?;
            entry = entry.message_attributes(name.as_ref(), value);
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

/// Returns a message attribute in the form of SQS.
///
/// # Errors
/// The data type is missing.
pub fn attribute(attribute: &TypedAttribute) -> Result<MessageAttributeValue, BuildError> {
    let value = MessageAttributeValue::builder().data_type(&attribute.data_type);
    match &attribute.value {
        TypedValue::Text(text) => value.string_value(text),
        TypedValue::Binary(bytes) => value.binary_value(Blob::new(bytes.clone())),
    }
    .build()
}

/// Returns the error for a message that SQS rejected as too long, with the limit in SQS's text; `None` for another text.
fn too_long(says: &str, bytes: usize) -> Option<PutError> {
    let (_, limit) = says.split_once(TOO_LONG_MESSAGE)?;
    let limit = limit.trim_start().split(|letter: char| !letter.is_ascii_digit()).next();
    Some(PutError::TooLong { bytes, limit: limit.and_then(|limit| limit.parse().ok()) })
}

/// The maximum length of an answer's text that is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Returns the meaning of a failed entry of a batch. A fault of the sender proves that the message is not stored; a fault
/// of SQS does not.
fn failed_entry(entry: &BatchResultErrorEntry, bytes: usize) -> PutError {
    let code = entry.code();
    let says = entry.message().unwrap_or_default();
    let reason = format!("SQS answered {code}");
    if !entry.sender_fault() {
        return unanswered(reason);
    }
    if let Some(error) = too_long(says, bytes) {
        return error;
    }
    if code.to_ascii_lowercase().contains("throttl") {
        return unavailable(reason);
    }
    let says =
        says.replace(char::is_control, " ").chars().take(MAX_SHOWN_CHARS).collect::<String>();
    PutError::Rejected {
        reason: if says.is_empty() { reason } else { format!("{reason}: {says}") },
    }
}

/// Returns the meaning of a failed `SendMessage` of this size.
fn failure(error: &SdkError<SendMessageError, HttpResponse>, bytes: usize) -> SendFailure {
    match error {
        SdkError::ServiceError(refusal) => {
            // The error's message may quote the sent message.
            let code = refusal.err().code().unwrap_or("an error without a code");
            let says = refusal.err().message().unwrap_or_default();
            if let Some(error) = too_long(says, bytes) {
                return SendFailure::Refused(error);
            }
            let reason = format!("SQS answered {code}");
            match refusal.raw().status().as_u16() {
                429 | 503 => SendFailure::Throttled(reason),
                // Some throttling errors have the status 400 or 403.
                _ if code.to_ascii_lowercase().contains("throttl") => {
                    SendFailure::Throttled(reason)
                }
                500.. => SendFailure::Unanswered(reason),
                _ => SendFailure::Refused(unavailable(reason)),
            }
        }
        SdkError::TimeoutError(_) => SendFailure::Unanswered("no answer in time".to_owned()),
        SdkError::DispatchFailure(_) if has_not_reached(error) => {
            SendFailure::NotReached("no connection".to_owned())
        }
        SdkError::DispatchFailure(failure) if !is_unsent(failure) => {
            SendFailure::Unanswered("the connection was lost".to_owned())
        }
        // Nothing was sent: the credentials were not loaded, or the request could not be built.
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
            SendFailure::Refused(unavailable(with_causes(error)))
        }
        SdkError::ResponseError(_) | _ => {
            SendFailure::Unanswered("the answer cannot be read".to_owned())
        }
    }
}

fn unanswered(reason: String) -> PutError {
    PutError::Unanswered { reason }
}

fn unavailable(reason: String) -> PutError {
    PutError::Unavailable { reason }
}
