//! The visibility timeouts of SQS messages, and the limits and depths of queues.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry as Change, QueueAttributeName as Attribute,
};
use futures_util::{StreamExt, stream};
use genesys_replay::destination::Arn;
use genesys_replay::error::with_causes;
use genesys_replay::queue::{
    MAX_BATCH_ENTRIES, MAX_VISIBILITY_TIMEOUT, Queue, QueueDepth, QueueLimits, Redrive,
    VisibilityChange, VisibilityError,
};

use crate::queue_urls::QueueUrls;

/// The maximum number of concurrent calls.
const MAX_CONCURRENT_CALLS: usize = 16;

/// SQS queues.
#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    urls: QueueUrls,
}

impl SqsQueue {
    /// Creates an adapter that uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { urls: QueueUrls::new(client.clone()), client }
    }

    async fn change(
        &self,
        queue_arn: &str,
        batch: &[&VisibilityChange<'_>],
    ) -> Vec<VisibilityError> {
        let all_failed = |reason: String| {
            let failed = |message: &&VisibilityChange<'_>| VisibilityError {
                message_id: message.message_id.clone(),
                reason: reason.clone(),
            };
            batch.iter().map(failed).collect()
        };
        let Some(queue) = Arn::parse_trusted(queue_arn) else {
            return all_failed(format!("{queue_arn} is not the ARN of a queue"));
        };
        let url = match self.urls.of(&queue).await {
            Ok(url) => url,
            Err(error) => return all_failed(with_causes(&error)),
        };
        let entries = batch.iter().enumerate().map(|(index, message)| {
            Change::builder()
                .id(index.to_string())
                .receipt_handle(message.receipt_handle)
                .visibility_timeout(seconds(message.after))
                .build()
        });
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return all_failed(with_causes(&error)),
        };
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(url)
            .set_entries(Some(entries))
            .send()
            .await;
        match answer {
            Ok(answer) => answer
                .failed()
                .iter()
                .filter_map(|failure| {
                    let index: usize = failure.id().parse().ok()?;
                    Some(VisibilityError {
                        message_id: batch.get(index)?.message_id.clone(),
                        reason: format!(
                            "{}: {}",
                            failure.code(),
                            failure.message().unwrap_or("no message")
                        ),
                    })
                })
                .collect(),
            Err(error) => all_failed(with_causes(&error)),
        }
    }
}

impl SqsQueue {
    async fn attributes(
        &self,
        queue_arn: &str,
        names: [Attribute; 2],
    ) -> Result<HashMap<Attribute, String>, String> {
        let queue = Arn::parse_trusted(queue_arn)
            .ok_or_else(|| format!("{queue_arn} is not the ARN of a queue"))?;
        let url = self.urls.of(&queue).await.map_err(|error| with_causes(&error))?;
        let call = self.client.get_queue_attributes().queue_url(url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let answer = answer.map_err(|error| with_causes(&error))?;
        Ok(answer.attributes.unwrap_or_default())
    }
}

impl Queue for SqsQueue {
    async fn change_visibility(&self, changes: &[VisibilityChange<'_>]) -> Vec<VisibilityError> {
        let mut by_queue: BTreeMap<&str, Vec<&VisibilityChange<'_>>> = BTreeMap::new();
        for change in changes {
            by_queue.entry(change.queue_arn).or_default().push(change);
        }
        let mut calls = Vec::new();
        for (queue_arn, messages) in &by_queue {
            for batch in messages.chunks(MAX_BATCH_ENTRIES) {
                calls.push(self.change(queue_arn, batch));
            }
        }
        let failures: Vec<Vec<VisibilityError>> =
            stream::iter(calls).buffer_unordered(MAX_CONCURRENT_CALLS).collect().await;
        failures.into_iter().flatten().collect()
    }

    async fn limits(&self, queue_arn: &str) -> Result<QueueLimits, String> {
        let wanted = [Attribute::MessageRetentionPeriod, Attribute::RedrivePolicy];
        let attributes = self.attributes(queue_arn, wanted).await?;
        let seconds = number(&attributes, &Attribute::MessageRetentionPeriod)?;
        let redrive = attributes.get(&Attribute::RedrivePolicy);
        let redrive = redrive.and_then(|policy| Redrive::parse(policy));
        Ok(QueueLimits {
            retention: Duration::from_secs(seconds),
            max_receives: redrive.as_ref().map(|it| it.max_receives),
            parking_arn: redrive.map(|it| it.parking_arn),
        })
    }

    async fn depth(&self, queue_arn: &str) -> Result<QueueDepth, String> {
        let visible = Attribute::ApproximateNumberOfMessages;
        let in_flight = Attribute::ApproximateNumberOfMessagesNotVisible;
        let wanted = [visible.clone(), in_flight.clone()];
        let attributes = self.attributes(queue_arn, wanted).await?;
        Ok(QueueDepth {
            visible: number(&attributes, &visible)?,
            in_flight: number(&attributes, &in_flight)?,
        })
    }
}

fn number(attributes: &HashMap<Attribute, String>, name: &Attribute) -> Result<u64, String> {
    let number = attributes.get(name).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("SQS did not return {name}"))
}

/// Returns whole seconds, rounded up: a message must not become visible too early.
fn seconds(after: Duration) -> i32 {
    let after = after.min(MAX_VISIBILITY_TIMEOUT);
    let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_timeout_is_rounded_up_and_below_the_sqs_limit() {
        for (after, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 1),
            (Duration::from_secs(30), 30),
            (Duration::from_millis(30_001), 31),
            (Duration::from_secs(42_300), 42_300),
            (Duration::from_secs(100_000), 42_300),
        ] {
            assert_eq!(seconds(after), expected, "{after:?}");
        }
    }
}
