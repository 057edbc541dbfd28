//! The wiring of the operator's command.

use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay_aws::clients::{CallLimits, secret, with_app_name, with_limits};
use genesys_replay_aws::sqs_sender::SqsSender;
use genesys_replay_genesys::{
    BuildError, GenesysClient, GenesysSettings, Parts, client, http_client, http_pool,
};
use genesys_replay_lambda::app::{ARCHIVE, GENESYS_TIMEOUT, SECRET};
use genesys_replay_storage::s3;
use genesys_replay_targets::aws::clients;
use genesys_replay_targets::http::resolver::guarded;

use crate::archive::s3::{S3Reader, S3Writer};
use crate::calls::answered;
use crate::credentials::SdkOrAwsCommand;
use crate::deployment::aws::AwsDeployment;
use crate::deployment::credentials_secret::SecretStore;
use crate::deployment::dead_letter_queues::DeadLetterQueueReader;
use crate::deployment::event_rules::EventRulesReader;
use crate::deployment::functions;
use crate::deployment::functions::DeployedFunction;
use crate::deployment::metrics::MetricsClient;
use crate::deployment::source_mapping::MappingClient;
use crate::deployment::stack::StackReader;
use crate::ledger::dynamodb::{DynamoDbReader, DynamoDbWriter};
use crate::logs::CloudWatchLogs;
use crate::operator::setup::SetupTools;
use crate::plan_store::s3::S3PlanStore;
use crate::queue::attributes::QueueAttributes;
use crate::queue::sqs::SqsReader;

/// Generous, because an operator prefers a late answer to a failure. The SDK's retry is the only retry layer here.
const OPERATOR_LIMITS: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(10),
    operation_timeout: Duration::from_secs(45),
    max_attempts: 5,
};

/// The maximum wait of a Genesys Cloud call for our rate limiter: longer than one window of the rate limit.
const MAX_RATE_LIMIT_WAIT: Duration = Duration::from_secs(120);

/// The time without a call to Genesys Cloud after which pooled connections are not used: the computer may have slept.
const MAX_QUIET_TIME: Duration = Duration::from_secs(10);

/// Loads region, credentials and endpoint of AWS from the SDK's sources or the operator's arguments. A named profile
/// takes precedence over credentials in the environment, as in the AWS CLI.
///
/// # Errors
/// [`AwsErrorKind::RegionNotConfigured`] if no region is configured.
pub async fn aws(
    profile: Option<&str>,
    region: Option<&str>,
    endpoint_url: Option<&str>,
) -> Result<SdkConfig, AwsError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = profile {
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile);
        loader = loader.profile_name(profile).credentials_provider(credentials.build());
    }
    if let Some(region) = region.filter(|region| !region.is_empty()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let aws = with_app_name(loader.load().await);
    if aws.region().is_none() {
        return Err(AwsError {
            operation: "loading the AWS configuration".to_owned(),
            kind: AwsErrorKind::RegionNotConfigured,
            detail: None,
        });
    }
    let Some(sdk) = aws.credentials_provider() else {
        return Ok(aws);
    };
    let credentials = SdkOrAwsCommand::prepared(sdk, profile).await;
    let credentials = SharedCredentialsProvider::new(credentials);
    Ok(aws.into_builder().credentials_provider(credentials).build())
}

/// Finds the queue with this URL, ARN or name.
///
/// # Errors
/// [`AwsError`], also if the queue does not exist.
pub async fn reader(aws: &SdkConfig, queue: &str) -> Result<SqsReader, AwsError> {
    SqsReader::find(aws_sdk_sqs::Client::new(&with_limits(aws, OPERATOR_LIMITS)), queue).await
}

/// Returns a sender to this queue, which refuses messages above the queue's own limit.
pub fn sender(aws: &SdkConfig, queue: &SqsReader) -> SqsSender {
    let client = aws_sdk_sqs::Client::new(&with_limits(aws, OPERATOR_LIMITS));
    SqsSender::new(client, queue.url().to_owned()).with_max_bytes(queue.max_message_bytes())
}

pub fn ledger(aws: &SdkConfig, table: &str) -> DynamoDbReader {
    let client = aws_sdk_dynamodb::Client::new(&with_limits(aws, OPERATOR_LIMITS));
    DynamoDbReader::new(client, table.to_owned())
}

/// Returns a writer whose finished items are kept for `remember`.
pub fn ledger_writer(aws: &SdkConfig, table: &str, remember: Duration) -> DynamoDbWriter {
    let client = aws_sdk_dynamodb::Client::new(&with_limits(aws, OPERATOR_LIMITS));
    DynamoDbWriter::new(client, table.to_owned(), remember)
}

pub fn archive(aws: &SdkConfig, bucket: &str) -> S3Reader {
    S3Reader::new(s3::client(&with_limits(aws, ARCHIVE)), bucket.to_owned())
}

/// Returns a reader of a log group.
pub fn logs(aws: &SdkConfig, group: &str) -> CloudWatchLogs {
    let client = aws_sdk_cloudwatchlogs::Client::new(&with_limits(aws, OPERATOR_LIMITS));
    CloudWatchLogs::new(client, group.to_owned())
}

pub fn archive_writer(aws: &SdkConfig, bucket: &str) -> S3Writer {
    S3Writer::new(s3::client(&with_limits(aws, ARCHIVE)), bucket.to_owned())
}

/// The limits of calls about shared plans. A plan may have many megabytes.
const PLANS_LIMITS: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(30),
    operation_timeout: Duration::from_secs(90),
    max_attempts: 5,
};

/// Returns the shared plans of a bucket.
pub fn plan_store(aws: &SdkConfig, bucket: &str) -> S3PlanStore {
    S3PlanStore::new(s3::client(&with_limits(aws, PLANS_LIMITS)), bucket.to_owned())
}

/// Returns the ARN of the AWS identity that makes the calls. The limits are short, because the identity is only recorded.
///
/// # Errors
/// [`AwsError`], such as for an endpoint that cannot be reached.
pub async fn identity(aws: &SdkConfig) -> Result<String, AwsError> {
    let operation = "reading the AWS identity (sts:GetCallerIdentity)";
    let client = aws_sdk_sts::Client::new(&with_limits(aws, DOCTOR_LIMITS));
    let caller = answered(operation, client.get_caller_identity().send()).await?;
    caller.arn.ok_or_else(|| AwsError::incomplete(operation, "ARN"))
}

/// Returns a client of Genesys Cloud. A call waits up to two minutes for our rate limiter, because an operator can
/// wait.
///
/// # Errors
/// [`BuildError`] if no TLS roots were found.
pub fn genesys_cloud(
    settings: GenesysSettings,
    aws: &SdkConfig,
) -> Result<GenesysClient, BuildError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let detector = FreezeDetector::new(Arc::clone(&clock), MAX_QUIET_TIME);
    let parts = Parts {
        // Without an address policy, because the hosts come from the settings only.
        http: http_pool(GENESYS_TIMEOUT, detector, |client| client)?,
        max_wait: MAX_RATE_LIMIT_WAIT,
        clock,
        meter: Arc::new(UpstreamCounters::default()),
    };
    Ok(client(settings, parts, |id| secret(id, aws, SECRET)))
}

/// Reads the configuration of the function with this name or ARN.
///
/// # Errors
/// [`AwsError`], also if the function does not exist.
pub async fn function(aws: &SdkConfig, name: &str) -> Result<DeployedFunction, AwsError> {
    let client = aws_sdk_lambda::Client::new(&with_limits(aws, OPERATOR_LIMITS));
    functions::read(&client, name).await
}

/// Returns up to three names of functions in the region that are similar to this name or ARN.
pub async fn similar_functions(aws: &SdkConfig, name: &str) -> Result<Vec<String>, AwsError> {
    functions::similar(&aws_sdk_lambda::Client::new(&with_limits(aws, DOCTOR_LIMITS)), name).await
}

/// Returns the calls about event source mappings.
pub fn source_mappings(aws: &SdkConfig) -> MappingClient {
    MappingClient { lambda: aws_sdk_lambda::Client::new(&with_limits(aws, OPERATOR_LIMITS)) }
}

/// Returns the reader of metrics. Its limits are short, because a status without metrics is useful too.
pub fn metrics(aws: &SdkConfig) -> MetricsClient {
    MetricsClient { cloudwatch: aws_sdk_cloudwatch::Client::new(&with_limits(aws, DOCTOR_LIMITS)) }
}

/// Returns the reader of event buses, their rules and targets.
pub fn event_rules(aws: &SdkConfig) -> EventRulesReader {
    EventRulesReader { client: aws_sdk_eventbridge::Client::new(&with_limits(aws, DOCTOR_LIMITS)) }
}

/// Returns the reader of the dead-letter queues of rules, which are in the region of their rules.
pub fn dead_letter_queues(aws: &SdkConfig) -> DeadLetterQueueReader {
    let aws = with_limits(aws, DOCTOR_LIMITS);
    DeadLetterQueueReader {
        sqs: aws_sdk_sqs::Client::new(&aws),
        kms: aws_sdk_kms::Client::new(&aws),
    }
}

/// Short, because `doctor` waits for all calls at once, and a call without an answer is a finding.
const DOCTOR_LIMITS: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(5),
    operation_timeout: Duration::from_secs(15),
    max_attempts: 2,
};

/// Returns a function that creates the KMS client of a region.
fn keys(aws: SdkConfig) -> Box<dyn Fn(&str) -> aws_sdk_kms::Client + Send + Sync> {
    Box::new(move |region| {
        let aws = aws.to_builder().region(Region::new(region.to_owned())).build();
        aws_sdk_kms::Client::new(&aws)
    })
}

/// Returns a reader of the deployment. `reach` limits the addresses that its HTTP client may connect to.
///
/// # Errors
/// [`BuildError`] if no TLS roots were found.
pub fn deployment(aws: &SdkConfig, reach: AddressPolicy) -> Result<AwsDeployment, BuildError> {
    let aws = with_limits(aws, DOCTOR_LIMITS);
    let http = guarded(http_client(GENESYS_TIMEOUT), reach);
    Ok(AwsDeployment {
        dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        s3: s3::client(&with_limits(&aws, ARCHIVE)),
        lambda: aws_sdk_lambda::Client::new(&aws),
        sqs: aws_sdk_sqs::Client::new(&aws),
        http: http.build()?,
        keys: keys(aws.clone()),
        targets: clients(aws),
    })
}

/// The time limits of an invocation of the function by hand: the maximum of Lambda, in one attempt, because a repeated
/// call would replay the message twice.
const INVOCATION: CallLimits = CallLimits {
    attempt_timeout: Duration::from_secs(930),
    operation_timeout: Duration::from_secs(930),
    max_attempts: 1,
};

/// Returns the clients of the setup. Its calls have the operator's limits, because it stops at the first failure.
pub fn setup_tools(aws: &SdkConfig) -> SetupTools {
    let calls = with_limits(aws, OPERATOR_LIMITS);
    let genesys_aws = aws.clone();
    SetupTools {
        rules: EventRulesReader { client: aws_sdk_eventbridge::Client::new(&calls) },
        sqs: aws_sdk_sqs::Client::new(&calls),
        attributes: QueueAttributes { sqs: aws_sdk_sqs::Client::new(&calls) },
        keys: aws_sdk_kms::Client::new(&calls),
        secrets: SecretStore { secrets: aws_sdk_secretsmanager::Client::new(&calls) },
        stacks: StackReader { cloudformation: aws_sdk_cloudformation::Client::new(&calls) },
        lambda: aws_sdk_lambda::Client::new(&calls),
        invocations: aws_sdk_lambda::Client::new(&with_limits(aws, INVOCATION)),
        mappings: MappingClient { lambda: aws_sdk_lambda::Client::new(&calls) },
        dynamodb: aws_sdk_dynamodb::Client::new(&calls),
        genesys: Box::new(move |settings| genesys_cloud(settings, &genesys_aws)),
        clock: Arc::new(SystemClock),
    }
}
