//! The event source mapping that passes the messages of a queue to the function.

use std::collections::HashMap;

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use genesys_replay::aws::AwsError;
use genesys_replay::destination::Arn;

use crate::calls::answered;

/// The state of an event source mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingState {
    Creating,
    Enabling,
    Enabled,
    Disabling,
    Disabled,
    Updating,
    Deleting,
    /// A state that this program does not know.
    Unknown,
}

impl MappingState {
    /// Returns the state of this name in Lambda's API.
    pub fn of(name: &str) -> Self {
        let all = [
            Self::Creating,
            Self::Enabling,
            Self::Enabled,
            Self::Disabling,
            Self::Disabled,
            Self::Updating,
            Self::Deleting,
        ];
        all.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Returns the name of the state in Lambda's API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
            Self::Unknown => "unknown",
        }
    }

    /// Returns true if the function receives no messages, or soon no more.
    pub const fn is_off(self) -> bool {
        match self {
            Self::Disabling | Self::Disabled | Self::Deleting => true,
            Self::Creating | Self::Enabling | Self::Enabled | Self::Updating | Self::Unknown => {
                false
            }
        }
    }

    /// Returns true if Lambda changes the mapping now, and refuses another change.
    pub const fn is_changing(self) -> bool {
        match self {
            Self::Creating | Self::Enabling | Self::Disabling | Self::Updating | Self::Deleting => {
                true
            }
            Self::Enabled | Self::Disabled | Self::Unknown => false,
        }
    }
}

/// An event source mapping of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMapping {
    pub uuid: String,
    /// The ARN of the mapping itself. Not every AWS-compatible endpoint reports it.
    pub arn: Option<String>,
    pub queue_arn: String,
    pub state: MappingState,
}

impl SourceMapping {
    /// Returns the mapping of an SQS queue; `None` for another event source.
    pub(crate) fn of_queue(mapping: &EventSourceMappingConfiguration) -> Option<Self> {
        let queue_arn = mapping.event_source_arn()?;
        Arn::parse(queue_arn).filter(|arn| arn.service() == "sqs")?;
        Some(Self {
            uuid: mapping.uuid().unwrap_or_default().to_owned(),
            arn: mapping.event_source_mapping_arn().map(str::to_owned),
            queue_arn: queue_arn.to_owned(),
            state: MappingState::of(mapping.state().unwrap_or_default()),
        })
    }

    /// Returns the name of the queue.
    pub fn queue_name(&self) -> &str {
        Arn::resource_of(&self.queue_arn)
    }

    /// Returns true if this text names the mapping's queue: an ARN, a URL or a name.
    fn is_of(&self, queue: &str) -> bool {
        match Arn::parse(queue) {
            Some(arn) => arn.as_str() == self.queue_arn,
            None => queue.rsplit('/').next() == Some(self.queue_name()),
        }
    }
}

/// A function that receives the messages of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConsumer {
    /// The ARN of the function, maybe with a version or alias.
    pub function_arn: String,
    pub mapping: SourceMapping,
}

impl QueueConsumer {
    /// Returns the name of the function, without a version or alias.
    pub fn function_name(&self) -> &str {
        let name = Arn::resource_of(&self.function_arn).trim_start_matches("function:");
        name.split(':').next().unwrap_or(name)
    }
}

/// The reason why no mapping was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingChoiceError {
    #[error("does not drain a queue")]
    NoQueue,
    #[error("does not drain the queue of --queue")]
    OtherQueue,
    #[error("drains several queues")]
    SeveralQueues,
}

/// Returns the mapping of the named queue; without a name, the only mapping.
pub fn choose<'m>(
    mappings: &'m [SourceMapping],
    queue: Option<&str>,
) -> Result<&'m SourceMapping, MappingChoiceError> {
    match (mappings, queue) {
        ([], _) => Err(MappingChoiceError::NoQueue),
        (all, Some(queue)) => {
            all.iter().find(|it| it.is_of(queue)).ok_or(MappingChoiceError::OtherQueue)
        }
        ([only], None) => Ok(only),
        (_, None) => Err(MappingChoiceError::SeveralQueues),
    }
}

/// The calls of Lambda about one event source mapping.
pub struct MappingClient {
    pub(crate) lambda: aws_sdk_lambda::Client,
}

impl MappingClient {
    /// Returns the event source mappings of a queue, of all functions.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn of_queue(&self, queue_arn: &str) -> Result<Vec<QueueConsumer>, AwsError> {
        let operation = "listing the event source mappings (lambda:ListEventSourceMappings)";
        let call = self.lambda.list_event_source_mappings().event_source_arn(queue_arn);
        let found = answered(operation, call.send()).await?;
        let mappings = found.event_source_mappings().iter().filter_map(|mapping| {
            let function_arn = mapping.function_arn()?.to_owned();
            Some(QueueConsumer { function_arn, mapping: SourceMapping::of_queue(mapping)? })
        });
        Ok(mappings.collect())
    }

    pub async fn state(&self, mapping: &SourceMapping) -> Result<MappingState, AwsError> {
        let operation = "reading the event source mapping (lambda:GetEventSourceMapping)";
        let call = self.lambda.get_event_source_mapping().uuid(&mapping.uuid);
        let found = answered(operation, call.send()).await?;
        Ok(MappingState::of(found.state().unwrap_or_default()))
    }

    /// Enables or disables the mapping. Returns its state, which usually changes later. Idempotent.
    pub async fn set_enabled(
        &self,
        mapping: &SourceMapping,
        is_enabled: bool,
    ) -> Result<MappingState, AwsError> {
        let operation = "changing the event source mapping (lambda:UpdateEventSourceMapping)";
        let call = self.lambda.update_event_source_mapping().uuid(&mapping.uuid);
        let changed = answered(operation, call.enabled(is_enabled).send()).await?;
        Ok(MappingState::of(changed.state().unwrap_or_default()))
    }

    pub async fn tags(&self, mapping: &SourceMapping) -> Result<HashMap<String, String>, AwsError> {
        let operation = "reading the tags of the event source mapping (lambda:ListTags)";
        let call = self.lambda.list_tags().resource(resource(mapping, operation)?);
        Ok(answered(operation, call.send()).await?.tags.unwrap_or_default())
    }

    /// Adds tags, and replaces those with the same key.
    pub async fn add_tags(
        &self,
        mapping: &SourceMapping,
        tags: HashMap<String, String>,
    ) -> Result<(), AwsError> {
        let operation = "tagging the event source mapping (lambda:TagResource)";
        let call = self.lambda.tag_resource().resource(resource(mapping, operation)?);
        answered(operation, call.set_tags(Some(tags)).send()).await.map(drop)
    }
}

fn resource<'m>(mapping: &'m SourceMapping, operation: &str) -> Result<&'m str, AwsError> {
    mapping.arn.as_deref().ok_or_else(|| AwsError::incomplete(operation, "ARN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(queue: &str) -> SourceMapping {
        SourceMapping {
            uuid: format!("uuid-of-{queue}"),
            arn: None,
            queue_arn: format!("arn:aws:sqs:eu-central-1:271828182845:{queue}"),
            state: MappingState::Enabled,
        }
    }

    #[test]
    fn mapping_is_chosen_by_queue_or_because_it_is_the_only_one() {
        let (one, two) = ([mapping("a")], [mapping("a"), mapping("b")]);
        let uuid = |found: Result<&SourceMapping, MappingChoiceError>| {
            found.map(|it| it.uuid.trim_start_matches("uuid-of-").to_owned())
        };
        let url = "https://sqs.eu-central-1.amazonaws.com/271828182845/b";
        let other_account = "arn:aws:sqs:eu-central-1:314159265358:b";
        assert_eq!(uuid(choose(&one, None)).as_deref(), Ok("a"));
        for queue in ["b", url, "arn:aws:sqs:eu-central-1:271828182845:b"] {
            assert_eq!(uuid(choose(&two, Some(queue))).as_deref(), Ok("b"), "{queue}");
            assert_eq!(choose(&one, Some(queue)), Err(MappingChoiceError::OtherQueue));
        }
        assert_eq!(choose(&two, Some(other_account)), Err(MappingChoiceError::OtherQueue));
        assert_eq!(choose(&two, None), Err(MappingChoiceError::SeveralQueues));
        assert_eq!(choose(&[], Some("a")), Err(MappingChoiceError::NoQueue));
    }

    #[test]
    fn mapping_state_is_read_by_its_name() {
        for name in ["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating"] {
            assert_eq!(MappingState::of(name).as_str(), name);
        }
        assert_eq!(MappingState::of("Sleeping"), MappingState::Unknown);
    }
}
