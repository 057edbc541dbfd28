//! Parts of these tests.

pub(crate) mod browser;
pub(crate) mod harness;
pub(crate) mod program;

use std::error::Error;

use aws_sdk_sqs::types::MessageAttributeValue;
use genesys_test_support::{LocalAws, Record};

/// Puts a message on a queue, with the body and the text attributes of a record.
pub(crate) async fn send_record(
    aws: &LocalAws,
    queue: &str,
    record: &Record,
) -> Result<(), Box<dyn Error>> {
    let sqs = aws_sdk_sqs::Client::new(&aws.config());
    let body = record.0["body"].as_str().ok_or("no body")?;
    let mut call = sqs.send_message().queue_url(aws.queue_url(queue).await?).message_body(body);
    for (name, attribute) in record.0["messageAttributes"].as_object().into_iter().flatten() {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(attribute["stringValue"].as_str().unwrap_or_default())
            .build()?;
        call = call.message_attributes(name, value);
    }
    call.send().await?;
    Ok(())
}
