//! Delivers to an SQS queue.

use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};
use genesys_replay_aws::sqs_sender::attribute;

use super::aws::{RegionalClients, delivery_error};
use super::ordering::group;

pub(super) async fn send(
    clients: &RegionalClients,
    queue: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let message = clients.sqs.send_message().queue_url(url(queue));
    let mut message = message.message_body(delivery.payload);
    if queue.is_fifo() {
        message = message.message_group_id(group(delivery)).message_deduplication_id(delivery.name);
    }
    for (name, typed) in delivery.attributes {
        let value = attribute(typed).map_err(|error| {
            let reason = format!("the message attribute {name} cannot be sent: {error}");
            DeliveryError::never(FailureCode::TargetRefused, reason)
        })?;
        message = message.message_attributes(*name, value);
    }
    let answer = message.send().await.map_err(|error| delivery_error("SQS", error))?;
    Ok(answer.message_id)
}

/// Returns the URL of a queue. It is made from the ARN, because `GetQueueUrl` needs a permission that `EventBridge` does not
/// need for a queue of another account.
fn url(queue: &Arn) -> String {
    let (region, account, name) = (queue.region(), queue.account(), queue.resource());
    format!("https://sqs.{region}.{}/{account}/{name}", dns_suffix(queue.partition()))
}

/// Returns the DNS suffix of a partition (`botocore/data/partitions.json`).
fn dns_suffix(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
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
