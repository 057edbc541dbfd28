//! Reads the descriptions of targets.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::types::{ApiDestinationState, ConnectionState};
use aws_sdk_kms::operation::describe_key::DescribeKeyError;
use aws_sdk_kms::types::KeyState;
use aws_sdk_sqs::types::QueueAttributeName;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::{Arn, Destination};
use genesys_replay_aws::aws_error;
use genesys_replay_targets::known_as;
use serde_json::Value;
use url::Url;

use super::TargetFault;
use super::aws::AwsDeployment;
use crate::calls::answered;

impl AwsDeployment {
    /// Checks that a target exists, without sending anything that the target could take for an event. Reads the
    /// description of an AWS target from its service.
    pub(crate) async fn target(&self, destination: &Destination) -> Result<(), TargetFault> {
        let clients = |arn: &Arn| (self.targets)(arn.region());
        match destination {
            Destination::Http(url) => self.host(url).await,
            Destination::Lambda(arn) => {
                let call = clients(arn).lambda.get_function_configuration();
                let found = read(arn, call.function_name(arn.as_str()).send()).await?;
                is_ready(
                    arn,
                    found.state().map(aws_sdk_lambda::types::State::as_str),
                    &["Active", "Inactive"],
                )
            }
            Destination::Sqs(arn) => self.queue_target(arn, &clients(arn).sqs).await,
            Destination::Sns(arn) => {
                let call = clients(arn).sns.get_topic_attributes();
                let found = read(arn, call.topic_arn(arn.as_str()).send()).await?;
                let attributes = found.attributes();
                let attribute = |name| Some(attributes?.get(name)?.as_str());
                accepts_calls(arn, "sns:Publish", attribute("Policy"))?;
                self.key(arn, attribute("KmsMasterKeyId")).await
            }
            Destination::StateMachine(arn) => {
                let call = clients(arn).step_functions.describe_state_machine();
                let found = read(arn, call.state_machine_arn(arn.as_str()).send()).await?;
                is_ready(
                    arn,
                    found.status().map(aws_sdk_sfn::types::StateMachineStatus::as_str),
                    &["ACTIVE"],
                )
            }
            Destination::Kinesis(arn) => {
                let call = clients(arn).kinesis.describe_stream_summary();
                let found = read(arn, call.stream_arn(arn.as_str()).send()).await?;
                let status =
                    found.stream_description_summary().map(|it| it.stream_status().as_str());
                is_ready(arn, status, &["ACTIVE", "UPDATING"])?;
                self.key(arn, found.stream_description_summary().and_then(|it| it.key_id())).await
            }
            Destination::Firehose(arn) => {
                let call = clients(arn).firehose.describe_delivery_stream();
                let name = arn.named("deliverystream/").unwrap_or_default();
                let found = read(arn, call.delivery_stream_name(name).send()).await?;
                let description = found.delivery_stream_description();
                let status = description.map(|it| it.delivery_stream_status().as_str());
                is_ready(arn, status, &["ACTIVE"])
            }
            Destination::LogGroup(arn) => {
                let name = arn.log_group().unwrap_or_default();
                // A stream of the group, because a description of groups searches by prefix and does not fail.
                let call = clients(arn).logs.describe_log_streams().log_group_name(name);
                read(arn, call.limit(1).send()).await.map(drop)
            }
            Destination::EventBus(arn) => {
                let client = clients(arn).event_bridge;
                let bus = known_as(&client, arn)
                    .await
                    .map_err(|error| missing_by_code(aws_error(looking_for(arn), &error)))?;
                if super::event_rules::matching::may_match(&client, bus).await? {
                    return Ok(());
                }
                let bus = arn.as_str().to_owned();
                Err(TargetFault::NoRule { bus })
            }
            Destination::CustomBus(arn) => {
                let call = clients(arn).custom_buses.describe_event_bus();
                let found = read(arn, call.event_bus_arn(arn.as_str()).send()).await?;
                is_ready(
                    arn,
                    found.state().map(aws_sdk_eventbridgev2::types::BusState::as_str),
                    &["ACTIVE"],
                )
            }
            Destination::ApiDestination(arn) => {
                api_destination(&clients(arn).event_bridge, arn).await
            }
            // Only a request that is an event would show more.
            Destination::ApiGateway(_) => Err(TargetFault::Unchecked),
            Destination::None
            | Destination::Unsupported(_)
            | Destination::NotAllowed(_)
            | Destination::Looping(_)
            | Destination::TooLong(_)
            | Destination::Missing => Ok(()),
        }
    }

    async fn queue_target(
        &self,
        arn: &Arn,
        client: &aws_sdk_sqs::Client,
    ) -> Result<(), TargetFault> {
        let call = client.get_queue_url().queue_name(arn.resource());
        let call = call.queue_owner_aws_account_id(arn.account());
        let url = read(arn, call.send()).await?.queue_url;
        let call = client.get_queue_attributes().set_queue_url(url);
        let names = [QueueAttributeName::KmsMasterKeyId, QueueAttributeName::Policy];
        // Not every queue of another account shows its attributes.
        let Ok(found) = call.set_attribute_names(Some(names.into())).send().await else {
            return Ok(());
        };
        let attributes = found.attributes();
        let attribute = |name| Some(attributes?.get(&name)?.as_str());
        accepts_calls(arn, "sqs:SendMessage", attribute(QueueAttributeName::Policy))?;
        self.key(arn, attribute(QueueAttributeName::KmsMasterKeyId)).await
    }

    /// Checks that the customer key of a resource is enabled. A key without the permission to read it is not checked.
    async fn key(&self, of: &Arn, key: Option<&str>) -> Result<(), TargetFault> {
        let Some(key) = key.filter(|key| !key.is_empty() && !key.contains("alias/aws/")) else {
            return Ok(());
        };
        let found = (self.keys)(of.region()).describe_key().key_id(key).send().await;
        let state = match &found {
            Ok(found) => found.key_metadata().and_then(|it| it.key_state()).map(KeyState::as_str),
            Err(error) => {
                let missing =
                    error.as_service_error().is_some_and(DescribeKeyError::is_not_found_exception);
                missing.then_some("missing")
            }
        };
        match state {
            Some(state) if state != "Enabled" => Err(TargetFault::Key {
                arn: of.as_str().to_owned(),
                key: key.to_owned(),
                state: state.to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Sends HEAD to the root of the host, not to the path that takes events. An answer proves name resolution,
    /// connection, TLS and a server.
    async fn host(&self, url: &Url) -> Result<(), TargetFault> {
        let mut root = url.clone();
        root.set_path("/");
        root.set_query(None);
        root.set_fragment(None);
        let Err(error) = self.http.head(root).send().await else {
            return Ok(());
        };
        Err(TargetFault::Unreached {
            host: url.host_str().unwrap_or_default().to_owned(),
            problem: if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection (name, port, TLS?)"
            } else {
                "the connection broke"
            },
        })
    }
}

/// Checks an API destination and its connection, which must be authorized.
async fn api_destination(
    client: &aws_sdk_eventbridge::Client,
    arn: &Arn,
) -> Result<(), TargetFault> {
    let name = arn.api_destination().unwrap_or_default();
    let described = read(arn, client.describe_api_destination().name(name).send()).await?;
    let current = described.api_destination_arn().unwrap_or_default();
    if current != arn.as_str() {
        return Err(TargetFault::Replaced { arn: arn.as_str().to_owned(), by: current.to_owned() });
    }
    let connection = described.connection_arn().and_then(Arn::parse_trusted);
    let Some((connection, name)) = connection.as_ref().and_then(|it| Some((it, it.connection()?)))
    else {
        return is_ready(arn, Some("without a connection"), &[]);
    };
    let found = read(connection, client.describe_connection().name(name).send()).await?;
    is_ready(connection, found.connection_state().map(ConnectionState::as_str), &["AUTHORIZED"])?;
    is_ready(arn, described.api_destination_state().map(ApiDestinationState::as_str), &["ACTIVE"])
}

/// Checks that a resource's policy does not deny the call to everyone. Other statements depend on the caller.
fn accepts_calls(arn: &Arn, action: &'static str, policy: Option<&str>) -> Result<(), TargetFault> {
    let policy: Value = serde_json::from_str(policy.unwrap_or_default()).unwrap_or_default();
    let service = action.split(':').next().unwrap_or_default();
    // IAM accepts one value in place of a list.
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let names = |value: &Value, wanted: &[&str]| {
        listed(value).iter().any(|one| one.as_str().is_some_and(|it| wanted.contains(&it)))
    };
    let every = format!("{service}:*");
    let is_denial = |it: &Value| {
        let principal = &it["Principal"];
        it["Effect"] == "Deny"
            && it.get("Condition").is_none()
            && (names(principal, &["*"]) || names(&principal["AWS"], &["*"]))
            && names(&it["Action"], &["*", &every, action])
    };
    if listed(&policy["Statement"]).iter().any(is_denial) {
        return Err(TargetFault::Denied { arn: arn.as_str().to_owned(), action });
    }
    Ok(())
}

/// Checks the state of a resource. Not every AWS-compatible endpoint reports a state.
fn is_ready(arn: &Arn, state: Option<&str>, ready: &[&str]) -> Result<(), TargetFault> {
    match state {
        Some(state) if !ready.contains(&state) => {
            Err(TargetFault::NotReady { arn: arn.as_str().to_owned(), state: state.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

async fn read<T, E: ProvideErrorMetadata + Error + 'static>(
    arn: &Arn,
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, TargetFault> {
    let answer = answered(&looking_for(arn), call).await;
    Ok(answer.map_err(missing_by_code)?)
}

fn looking_for(arn: &Arn) -> String {
    format!("looking for {}", arn.as_str())
}

/// Changes the kind to `NotFound` for services that report a missing resource with a code of their own.
fn missing_by_code(mut error: AwsError) -> AwsError {
    let says_missing = error.detail.as_deref().is_some_and(|code| {
        code.ends_with("DoesNotExist")
            || code.ends_with("NotFound")
            || code.ends_with("NotFoundException")
    });
    if says_missing {
        error.kind = AwsErrorKind::NotFound;
    }
    error
}
