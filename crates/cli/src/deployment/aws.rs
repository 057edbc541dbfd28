//! Reads the deployment from AWS and from the target's host.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::BillingMode;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType, ScalingConfig};
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::destination::{Arn, Destination};
use genesys_replay_aws::aws_error;
use genesys_replay_targets::aws::RegionalClients;
use genesys_replay_targets::known_as;
use url::Url;

use super::{ExpiryFacts, FunctionFacts, SourceFacts, TableFacts, TargetFault, described_release};
use crate::calls::answered;
use crate::queue::sqs::SqsReader;
use crate::queue::{QueueFacts, QueueReader};

/// Clients of the services in one region and account, and one for the host of an HTTP target.
pub struct AwsDeployment {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    /// Makes the clients of a target's region.
    pub(crate) targets: Box<dyn Fn(&str) -> RegionalClients + Send + Sync>,
    /// The client for HTTP targets, which must have timeouts and must not follow redirects.
    pub(crate) http: reqwest::Client,
}

/// A call returns [`AwsErrorKind::NotFound`] for a missing resource.
impl AwsDeployment {
    pub(crate) async fn table(&self, name: &str) -> Result<TableFacts, AwsError> {
        let operation = format!("reading the table {name}");
        let call = self.dynamodb.describe_table().table_name(name);
        let table = answered(&operation, call.send()).await?.table;
        let table = table.ok_or_else(|| AwsError::incomplete(operation, "table"))?;
        let kind = |name: &str| {
            let attributes = table.attribute_definitions();
            let found = attributes.iter().find(|it| it.attribute_name() == name);
            found.map_or_else(String::new, |it| it.attribute_type().as_str().to_owned())
        };
        let key = table.key_schema().iter().map(|part| {
            let (name, role) = (part.attribute_name(), part.key_type().as_str());
            (name.to_owned(), role.to_owned(), kind(name))
        });
        let billing = table.billing_mode_summary();
        let status = table.table_status();
        Ok(TableFacts {
            status: status.map_or_else(String::new, |it| it.as_str().to_owned()),
            key: key.collect(),
            on_demand: billing.and_then(|it| it.billing_mode())
                == Some(&BillingMode::PayPerRequest),
        })
    }

    pub(crate) async fn expiry(&self, table: &str) -> Result<ExpiryFacts, AwsError> {
        let operation = format!("reading the time to live of the table {table}");
        let call = self.dynamodb.describe_time_to_live().table_name(table);
        let said = answered(&operation, call.send()).await?;
        let said = said.time_to_live_description.as_ref();
        let status = said.and_then(|it| it.time_to_live_status());
        Ok(ExpiryFacts {
            status: status.map_or_else(|| "DISABLED".to_owned(), |it| it.as_str().to_owned()),
            attribute: said.and_then(|it| it.attribute_name()).map(str::to_owned),
        })
    }

    pub(crate) async fn bucket(&self, bucket: &str, prefix: &str) -> Result<(), AwsError> {
        let operation = format!("listing s3://{bucket}/{prefix}");
        let call = self.s3.list_objects_v2().bucket(bucket).prefix(prefix);
        answered(&operation, call.max_keys(1).send()).await?;
        Ok(())
    }

    pub(crate) async fn function(&self, name: &str) -> Result<FunctionFacts, AwsError> {
        let operation = format!("reading the function {name}");
        let call = self.lambda.get_function_configuration();
        let found = answered(&operation, call.function_name(name).send()).await?;
        Ok(FunctionFacts {
            name: found.function_name().unwrap_or(name).to_owned(),
            state: found.state().map(|it| it.as_str().to_owned()),
            timeout: seconds(found.timeout().unwrap_or(3)),
            release: found.description().and_then(described_release).map(str::to_owned),
        })
    }

    pub(crate) async fn sources(&self, function: &str) -> Result<Vec<SourceFacts>, AwsError> {
        let operation = format!("reading the event sources of {function}");
        let call = self.lambda.list_event_source_mappings();
        let found = answered(&operation, call.function_name(function).send()).await?;
        Ok(found.event_source_mappings().iter().map(source).collect())
    }

    pub(crate) async fn queue(&self, name: &str) -> Result<QueueFacts, AwsError> {
        SqsReader::find(self.sqs.clone(), name).await?.facts().await
    }

    /// Checks that a target exists, without sending anything that the target could take for an event. Reads the
    /// description of an AWS target from its service.
    pub(crate) async fn target(&self, destination: &Destination) -> Result<(), TargetFault> {
        let clients = |arn: &Arn| (self.targets)(arn.region());
        match destination {
            Destination::Http(url) => self.host(url).await,
            Destination::Lambda(arn) => {
                let call = clients(arn).lambda.get_function_configuration();
                is_there(arn, call.function_name(arn.as_str()).send()).await
            }
            Destination::Sqs(arn) => {
                let call = clients(arn).sqs.get_queue_url();
                let call = call.queue_name(arn.resource());
                let call = call.queue_owner_aws_account_id(arn.account());
                is_there(arn, call.send()).await
            }
            Destination::Sns(arn) => {
                let call = clients(arn).sns.get_topic_attributes();
                is_there(arn, call.topic_arn(arn.as_str()).send()).await
            }
            Destination::StateMachine(arn) => {
                let call = clients(arn).step_functions.describe_state_machine();
                is_there(arn, call.state_machine_arn(arn.as_str()).send()).await
            }
            Destination::Kinesis(arn) => {
                let call = clients(arn).kinesis.describe_stream_summary();
                is_there(arn, call.stream_arn(arn.as_str()).send()).await
            }
            Destination::Firehose(arn) => {
                let call = clients(arn).firehose.describe_delivery_stream();
                let name = arn.named("deliverystream/").unwrap_or_default();
                is_there(arn, call.delivery_stream_name(name).send()).await
            }
            Destination::LogGroup(arn) => {
                let name = arn.log_group().unwrap_or_default();
                // A stream of the group, because a description of groups searches by prefix and does not fail.
                let call = clients(arn).logs.describe_log_streams().log_group_name(name);
                is_there(arn, call.limit(1).send()).await
            }
            Destination::EventBus(arn) => {
                let client = clients(arn).event_bridge;
                let bus = known_as(&client, arn)
                    .await
                    .map_err(|error| missing_by_code(aws_error(looking_for(arn), &error)))?;
                if super::rules::may_match(&client, bus).await? {
                    return Ok(());
                }
                let bus = arn.as_str().to_owned();
                Err(TargetFault::NoRule { bus })
            }
            Destination::None
            | Destination::Unsupported(_)
            | Destination::NotAllowed(_)
            | Destination::Looping(_)
            | Destination::TooLong(_)
            | Destination::Missing => Ok(()),
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

async fn is_there<T, E: ProvideErrorMetadata + Error + 'static>(
    arn: &Arn,
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<(), TargetFault> {
    let answer = answered(&looking_for(arn), call).await;
    answer.map_err(missing_by_code)?;
    Ok(())
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

fn source(mapping: &EventSourceMappingConfiguration) -> SourceFacts {
    let scaling = mapping.scaling_config().and_then(ScalingConfig::maximum_concurrency);
    let number = |said: Option<i32>| said.and_then(|it| u32::try_from(it).ok());
    let report = FunctionResponseType::ReportBatchItemFailures;
    SourceFacts {
        arn: mapping.event_source_arn().unwrap_or_default().to_owned(),
        state: mapping.state().unwrap_or_default().to_owned(),
        batch_size: number(mapping.batch_size()).unwrap_or(10),
        window: seconds(mapping.maximum_batching_window_in_seconds().unwrap_or(0)),
        reports_failures: mapping.function_response_types().contains(&report),
        maximum_concurrency: number(scaling),
        filters: mapping.filter_criteria().map_or(0, |it| it.filters().len()),
    }
}

fn seconds(said: i32) -> Duration {
    Duration::from_secs(u64::try_from(said).unwrap_or(0))
}
