//! Putting messages on a queue of SQS.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageAttributeValue;

use super::{AttributeValue, Inlet, LARGEST_MESSAGE, NewMessage, PutError};
use crate::message::MessageId;
use crate::telemetry::with_causes;

/// What SQS says of a message that is longer than the queue's own limit, among other things that it calls
/// `InvalidParameterValue`.
const TOO_LONG: &str = "must be shorter than";

/// One queue of SQS.
#[derive(Clone, Debug)]
pub struct SqsInlet {
    client: Client,
    url: String,
    fifo: bool,
}

impl SqsInlet {
    /// Puts messages on the queue with this URL; its name says whether it is a FIFO queue.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        let fifo = url.rsplit('.').next() == Some("fifo");
        Self { client, url, fifo }
    }
}

impl Inlet for SqsInlet {
    async fn put(&self, message: &NewMessage) -> Result<MessageId, PutError> {
        let bytes = message.size();
        if bytes > LARGEST_MESSAGE {
            return Err(PutError::TooLong { bytes });
        }
        let mut call = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(&message.body);
        for (name, value) in &message.attributes {
            call = call.message_attributes(*name, attribute(value)?);
        }
        if self.fifo {
            call = call
                .message_group_id(&message.group)
                .message_deduplication_id(&message.deduplication);
        }
        let answer = call.send().await.map_err(|error| match &error {
            SdkError::ServiceError(refusal) => {
                // Its message may quote what was sent.
                let code = refusal.err().code().unwrap_or("an error without a code");
                let says = refusal.err().message().unwrap_or_default();
                if says.contains(TOO_LONG) {
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
            .ok_or_else(|| unavailable("SQS gave no message id".to_owned()))
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
