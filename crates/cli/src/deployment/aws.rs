//! Reads the deployment from AWS and from the target's host.

use std::time::Duration;

use aws_sdk_dynamodb::types::BillingMode;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType, ScalingConfig};
use genesys_replay::aws::AwsError;
use genesys_replay_targets::aws::RegionalClients;

use super::{ExpiryFacts, FunctionFacts, SourceFacts, TableFacts, described_release};
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
    /// Makes the KMS client of a key's region.
    pub(crate) keys: Box<dyn Fn(&str) -> aws_sdk_kms::Client + Send + Sync>,
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
