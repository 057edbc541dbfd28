//! The dead-letter queues of rules: policy, key and limits, as SQS and KMS have them.

use aws_sdk_kms::types::{KeyManagerType, KeyState};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::Arn;
use genesys_replay::queue::MAX_MESSAGE_BYTES;

use crate::calls::answered;

/// The parts of a queue that decide if `EventBridge` can write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueueFacts {
    pub url: String,
    pub arn: String,
    pub is_fifo: bool,
    /// The maximum size of a message (`MaximumMessageSize`), in bytes.
    pub max_message_bytes: usize,
    pub policy: Option<String>,
    /// The key of the queue's setting; `None` without a key in KMS.
    pub key: Option<QueueKey>,
}

/// The key of KMS that encrypts a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueKey {
    /// Id, alias or ARN, as the queue has it.
    pub name: String,
    pub facts: Result<KeyFacts, AwsError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    pub arn: String,
    /// `Enabled` if the key can be used.
    pub state: String,
    /// True for a key that AWS manages. Its policy cannot be changed.
    pub is_aws_managed: bool,
    pub policy: Result<String, AwsError>,
}

/// Reads dead-letter queues. No call changes anything.
pub struct DeadLetterQueueReader {
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) kms: aws_sdk_kms::Client,
}

impl DeadLetterQueueReader {
    /// Reads the queue with this ARN, and its key.
    ///
    /// # Errors
    /// [`AwsError`], also if the queue does not exist. A key that cannot be read is a fact.
    pub async fn read(&self, arn: &str) -> Result<DeadLetterQueueFacts, AwsError> {
        let name = Arn::resource_of(arn);
        let operation = format!("finding the queue {name} (sqs:GetQueueUrl)");
        let account = Arn::parse_trusted(arn).map(|arn| arn.account().to_owned());
        let call = self.sqs.get_queue_url().queue_name(name);
        let call = call.set_queue_owner_aws_account_id(account);
        let found = answered(&operation, call.send()).await?;
        let url = found.queue_url.ok_or_else(|| AwsError::incomplete(operation, "URL"))?;
        let operation = format!("reading the queue {name} (sqs:GetQueueAttributes)");
        let call = self.sqs.get_queue_attributes().queue_url(&url);
        let found = answered(&operation, call.attribute_names(Attribute::All).send()).await?;
        let attribute = |name: Attribute| {
            let value = found.attributes().and_then(|all| all.get(&name));
            value.map(String::as_str).filter(|value| !value.is_empty())
        };
        let key = match attribute(Attribute::KmsMasterKeyId) {
            Some(name) => Some(QueueKey { name: name.to_owned(), facts: self.key(name).await }),
            None => None,
        };
        let limit = attribute(Attribute::MaximumMessageSize).and_then(|it| it.parse().ok());
        Ok(DeadLetterQueueFacts {
            arn: attribute(Attribute::QueueArn).unwrap_or(arn).to_owned(),
            is_fifo: attribute(Attribute::FifoQueue) == Some("true"),
            max_message_bytes: limit.unwrap_or(MAX_MESSAGE_BYTES),
            policy: attribute(Attribute::Policy).map(str::to_owned),
            key,
            url,
        })
    }

    async fn key(&self, name: &str) -> Result<KeyFacts, AwsError> {
        if name.ends_with("alias/aws/sqs") {
            let operation = "reading the policy of a key of AWS";
            return Ok(KeyFacts {
                arn: name.to_owned(),
                state: KeyState::Enabled.as_str().to_owned(),
                is_aws_managed: true,
                policy: Err(AwsError::incomplete(operation, "policy")),
            });
        }
        let operation = format!("describing the key {name} (kms:DescribeKey)");
        let found = answered(&operation, self.kms.describe_key().key_id(name).send()).await;
        let found = found.map_err(missing_by_code)?;
        let key = found.key_metadata.ok_or_else(|| AwsError::incomplete(operation, "key"))?;
        let arn = key.arn.unwrap_or_else(|| key.key_id.clone());
        Ok(KeyFacts {
            state: key.key_state.map_or_else(String::new, |state| state.as_str().to_owned()),
            is_aws_managed: key.key_manager == Some(KeyManagerType::Aws),
            policy: self.key_policy(&arn).await,
            arn,
        })
    }

    async fn key_policy(&self, arn: &str) -> Result<String, AwsError> {
        let operation = format!("reading the policy of the key {arn} (kms:GetKeyPolicy)");
        // The only policy of a key has this name.
        let call = self.kms.get_key_policy().key_id(arn).policy_name("default");
        let found = answered(&operation, call.send()).await?;
        Ok(found.policy.unwrap_or_default())
    }
}

/// Changes the kind for a missing key, which KMS reports with a code of its own.
fn missing_by_code(error: AwsError) -> AwsError {
    match error.detail.as_deref() {
        Some("NotFoundException") => AwsError { kind: AwsErrorKind::NotFound, ..error },
        Some(_) | None => error,
    }
}
