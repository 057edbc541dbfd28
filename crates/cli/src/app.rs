//! The wiring of the operator's command.

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use genesys_replay::aws::{AwsError, AwsFault};
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::destination::address::Reach;
use genesys_replay::meter::Meter;
use genesys_replay_aws::aws_error;
use genesys_replay_aws::clients::{Tries, secret, with_tries};
use genesys_replay_aws::sqs_inlet::SqsInlet;
use genesys_replay_genesys::{
    BuildError, GenesysClient, GenesysSettings, Parts, client, http_client,
};
use genesys_replay_storage::s3;
use genesys_replay_targets::aws::clients;
use genesys_replay_targets::http::resolver::GuardedResolver;

use crate::archive::s3::S3Reader;
use crate::config::Variables;
use crate::credentials::SdkOrAwsCommand;
use crate::deployment::aws::AwsDeployment;
use crate::ledger::dynamodb::DynamoDbReader;
use crate::queue::sqs::SqsOutlet;

/// A person waits, and rather a little longer than in vain. The SDK's retry is the only one on these hops.
const OPERATOR: Tries = Tries {
    each: Duration::from_secs(10),
    all: Duration::from_secs(45),
    most: 5,
};

/// As for the function: a body of 1 MiB takes longer than an item of the ledger.
const ARCHIVE: Tries = Tries {
    each: Duration::from_secs(5),
    all: Duration::from_secs(10),
    most: 3,
};

/// The secret with the OAuth client.
const SECRET: Tries = Tries {
    each: Duration::from_secs(2),
    all: Duration::from_secs(5),
    most: 3,
};

/// One call of Genesys Cloud.
const GENESYS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call of Genesys Cloud waits for its turn: longer than a window of the rate limit.
const PATIENCE: Duration = Duration::from_secs(120);

/// Region, credentials and endpoint of AWS, as the SDK finds them or as the operator says. A profile that is named counts
/// before credentials of the environment, as it does for AWS's own command.
///
/// # Errors
/// [`AwsFault::Region`]: there is none.
pub async fn aws(
    profile: Option<&str>,
    region: Option<&str>,
    endpoint_url: Option<&str>,
) -> Result<SdkConfig, AwsError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    let region = region.filter(|region| !region.is_empty());
    let region = region.map(|region| Region::new(region.to_owned()));
    loader = if let Some(profile) = profile {
        let sdk = ProfileFileCredentialsProvider::builder().profile_name(profile);
        loader
            .profile_name(profile)
            .credentials_provider(SdkOrAwsCommand {
                sdk: sdk.build(),
                profile: Some(profile.to_owned()),
            })
    } else {
        let mut sdk = DefaultCredentialsChain::builder();
        sdk.set_region(region.clone());
        loader.credentials_provider(SdkOrAwsCommand {
            sdk: sdk.build().await,
            profile: None,
        })
    };
    if let Some(region) = region {
        loader = loader.region(region);
    }
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let aws = loader.load().await;
    if aws.region().is_none() {
        return Err(AwsError {
            doing: "finding AWS".to_owned(),
            fault: AwsFault::Region,
            detail: None,
        });
    }
    Ok(aws)
}

/// The queue with this URL, ARN or name.
///
/// # Errors
/// [`AwsError`], also when there is no such queue.
pub async fn outlet(aws: &SdkConfig, queue: &str) -> Result<SqsOutlet, AwsError> {
    SqsOutlet::find(aws_sdk_sqs::Client::new(&with_tries(aws, OPERATOR)), queue).await
}

/// What puts messages on the queue with this URL.
#[must_use]
pub fn inlet(aws: &SdkConfig, url: &str) -> SqsInlet {
    SqsInlet::new(
        aws_sdk_sqs::Client::new(&with_tries(aws, OPERATOR)),
        url.to_owned(),
    )
}

/// What reads the ledger in this table.
#[must_use]
pub fn ledger(aws: &SdkConfig, table: &str) -> DynamoDbReader {
    let client = aws_sdk_dynamodb::Client::new(&with_tries(aws, OPERATOR));
    DynamoDbReader::new(client, table.to_owned())
}

/// What reads this bucket.
#[must_use]
pub fn archive(aws: &SdkConfig, bucket: &str) -> S3Reader {
    S3Reader::new(s3::client(&with_tries(aws, ARCHIVE)), bucket.to_owned())
}

/// A client of Genesys Cloud that waits for its turn as long as a person would.
///
/// # Errors
/// No TLS roots were found.
pub fn genesys_cloud(
    settings: GenesysSettings,
    aws: &SdkConfig,
) -> Result<GenesysClient, BuildError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = Parts {
        // Its hosts come from the settings: nobody else names them.
        http: http_client(GENESYS_TIMEOUT).build()?,
        patience: PATIENCE,
        clock,
        meter: Arc::new(Meter::default()),
    };
    Ok(client(settings, parts, |id| secret(id, aws, SECRET)))
}

/// The replay function as it is deployed.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its ARN without version or alias.
    pub arn: String,
    /// Its settings.
    pub variables: Variables,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// The queue that it drains, by its event source mapping.
    pub queue_arn: Option<String>,
}

/// The function with this name or ARN.
///
/// # Errors
/// [`AwsError`], also when there is no such function.
pub async fn function(aws: &SdkConfig, name: &str) -> Result<Function, AwsError> {
    let client = aws_sdk_lambda::Client::new(&with_tries(aws, OPERATOR));
    let doing = || format!("reading the settings of the function {name}");
    let found = client
        .get_function_configuration()
        .function_name(name)
        .send()
        .await
        .map_err(|error| aws_error(doing(), &error))?;
    let arn = found
        .function_arn()
        .ok_or_else(|| AwsError::incomplete(doing(), "ARN"))?;
    let mappings = client
        .list_event_source_mappings()
        .function_name(name)
        .send()
        .await
        .map_err(|error| aws_error(format!("reading the event sources of {name}"), &error))?;
    let queue_arn = mappings
        .event_source_mappings()
        .iter()
        .filter_map(|mapping| mapping.event_source_arn())
        .find(|arn| arn.split(':').nth(2) == Some("sqs"))
        .map(str::to_owned);
    let variables = found.environment().and_then(|it| it.variables()).cloned();
    Ok(Function {
        name: found.function_name().unwrap_or(name).to_owned(),
        arn: arn.split(':').take(7).collect::<Vec<_>>().join(":"),
        variables: variables.unwrap_or_default().into_iter().collect(),
        timeout: Duration::from_secs(u64::try_from(found.timeout().unwrap_or(3)).unwrap_or(3)),
        queue_arn,
    })
}

/// A person waits for all of these calls at once, and one that gets no answer is a finding.
const DOCTOR: Tries = Tries {
    each: Duration::from_secs(5),
    all: Duration::from_secs(15),
    most: 2,
};

/// What is deployed, as AWS says it.
///
/// # Errors
/// No TLS roots were found.
pub fn deployment(aws: &SdkConfig, reach: Reach) -> Result<AwsDeployment, BuildError> {
    let aws = with_tries(aws, DOCTOR);
    let http = http_client(GENESYS_TIMEOUT);
    let http = match reach {
        Reach::Guarded => http.dns_resolver(Arc::new(GuardedResolver)),
        Reach::Anywhere => http,
    };
    Ok(AwsDeployment {
        dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        s3: s3::client(&aws),
        lambda: aws_sdk_lambda::Client::new(&aws),
        sqs: aws_sdk_sqs::Client::new(&aws),
        http: http.build()?,
        targets: clients(aws),
    })
}
