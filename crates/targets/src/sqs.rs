//! Delivers to an SQS queue.

use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use genesys_replay::trace;
use genesys_replay_aws::sqs_sender::attribute;

use super::aws::{AwsTargets, delivery_error};
use super::ordering::group_of_rule;
use super::rule::EventRules;

pub(super) async fn send(
    aws: &AwsTargets,
    rules: &EventRules,
    queue: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let clients = aws.of(queue);
    let message = clients.sqs.send_message().queue_url(url(queue));
    let mut message = message.message_body(delivery.payload);
    if queue.is_fifo() {
        let group = group_of_rule(aws, rules, delivery).await?;
        message = message.message_group_id(group).message_deduplication_id(delivery.name);
    }
    for (name, typed) in delivery.attributes {
        let value = attribute(typed).map_err(|error| {
            let reason = format!("the message attribute {name} cannot be sent: {error}");
            DeliveryError::never(FailureCode::TargetRefused, reason)
        })?;
        message = message.message_attributes(*name, value);
    }
    if let Some(trace) = trace::current() {
        let header = MessageSystemAttributeValue::builder()
            .data_type("String")
            .string_value(trace.header())
            .build();
        let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
        message = message.set_message_system_attributes(header.ok().map(|it| [(name, it)].into()));
    }
    let answer = message.send().await.map_err(|error| delivery_error("SQS", error))?;
    Ok(answer.message_id)
}

/// Returns the URL of a queue. It is made from the ARN, because `GetQueueUrl` needs a permission that `EventBridge` does not
/// need for a queue of another account.
fn url(queue: &Arn) -> String {
    let (region, account, name) = (queue.region(), queue.account(), queue.resource());
    format!("https://sqs.{region}.{}/{account}/{name}", queue.dns_suffix())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_queue_follows_from_its_arn() {
        for (arn, expected) in [
            (
                "arn:aws:sqs:eu-central-1:271828182845:crm.fifo",
                "https://sqs.eu-central-1.amazonaws.com/271828182845/crm.fifo",
            ),
            (
                "arn:aws-us-gov:sqs:us-gov-west-1:271828182845:crm",
                "https://sqs.us-gov-west-1.amazonaws.com/271828182845/crm",
            ),
            (
                "arn:aws-cn:sqs:cn-north-1:271828182845:crm",
                "https://sqs.cn-north-1.amazonaws.com.cn/271828182845/crm",
            ),
        ] {
            assert_eq!(Arn::parse(arn).as_ref().map(url).as_deref(), Some(expected));
        }
    }
}
