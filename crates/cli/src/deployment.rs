//! What is deployed around the function, as its services say: read, never changed.

pub mod aws;
mod rules;

use std::future::Future;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Destination;

use crate::queue::QueueFacts;

/// A table as it is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Its status, `ACTIVE` when it can be used.
    pub status: String,
    /// Its key: the name, the role (`HASH`, `RANGE`) and the type (`S`, `N`, `B`) of each part.
    pub key: Vec<(String, String, String)>,
    /// Whether it is paid for by the request, so that no capacity can be used up.
    pub on_demand: bool,
}

/// How a table forgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryFacts {
    /// Its status, `ENABLED` when items go.
    pub status: String,
    /// The attribute that says when.
    pub attribute: Option<String>,
}

/// A function as it is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    /// Its name.
    pub name: String,
    /// Its state, `Active` when it can be called; not every stack says it.
    pub state: Option<String>,
    /// How long an invocation may take.
    pub timeout: Duration,
}

/// What hands a queue's messages to a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// The ARN of what is read.
    pub arn: String,
    /// Its state, `Enabled` when it reads.
    pub state: String,
    /// The most messages of a batch.
    pub batch_size: u32,
    /// How long a batch is waited for.
    pub window: Duration,
    /// Whether the function's answer names the messages that come back.
    pub reports_failures: bool,
    /// The most invocations at once, if that is limited.
    pub maximum_concurrency: Option<u32>,
    /// How many filters there are: what none of them matches is deleted.
    pub filters: usize,
}

/// Why it is not known whether a target is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// AWS did not say so.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The host was not reached.
    #[error("{host} was not reached: {problem}")]
    Unreached {
        /// The host.
        host: String,
        /// What was seen.
        problem: &'static str,
    },
    /// The event bus is there, and no enabled rule of it can match: it accepts events and does nothing.
    #[error("{bus} has no enabled rule that takes events of the source genesys-replay")]
    NoRule {
        /// The bus.
        bus: String,
    },
}

/// What is deployed around the function. No call changes anything.
pub trait Deployment: Send + Sync {
    /// How this table is set up.
    ///
    /// # Errors
    /// [`AwsError`], also when there is no such table; so with all others.
    fn table(&self, name: &str) -> impl Future<Output = Result<TableFacts, AwsError>> + Send;

    /// How this table forgets.
    ///
    /// # Errors
    /// [`AwsError`].
    fn expiry(&self, table: &str) -> impl Future<Output = Result<ExpiryFacts, AwsError>> + Send;

    /// Lists this bucket below a prefix.
    ///
    /// # Errors
    /// [`AwsError`].
    fn bucket(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// The function with this name or ARN.
    ///
    /// # Errors
    /// [`AwsError`].
    fn function(&self, name: &str) -> impl Future<Output = Result<FunctionFacts, AwsError>> + Send;

    /// What hands messages to this function.
    ///
    /// # Errors
    /// [`AwsError`].
    fn sources(
        &self,
        function: &str,
    ) -> impl Future<Output = Result<Vec<SourceFacts>, AwsError>> + Send;

    /// How the queue with this URL, ARN or name is set up.
    ///
    /// # Errors
    /// [`AwsError`].
    fn queue(&self, name: &str) -> impl Future<Output = Result<QueueFacts, AwsError>> + Send;

    /// Whether a target is there, without sending it anything that it could take for an event: services of AWS
    /// are asked about it, and of an HTTP target only the root of its host is asked for, by HEAD. Any answer will do.
    ///
    /// # Errors
    /// [`TargetFault`].
    fn target(
        &self,
        destination: &Destination,
    ) -> impl Future<Output = Result<(), TargetFault>> + Send;
}
