//! The deployment around the function, as its AWS services report it. Read-only.

pub mod aws;
mod rules;

use std::future::Future;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::destination::Destination;

use crate::queue::QueueFacts;

/// The setup of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// The table's status; `ACTIVE` if the table can be used.
    pub status: String,
    /// The parts of the key: name, role (`HASH`, `RANGE`) and type (`S`, `N`, `B`).
    pub key: Vec<(String, String, String)>,
    /// True if billing is by request, so that capacity cannot run out.
    pub on_demand: bool,
}

/// The time to live (TTL) of a table's items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryFacts {
    /// The status; `ENABLED` if items expire.
    pub status: String,
    /// The attribute with the expiry time.
    pub attribute: Option<String>,
}

/// A deployed function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    /// The function's name.
    pub name: String,
    /// The function's state; `Active` if the function can be called. Not every AWS-compatible endpoint reports a state.
    pub state: Option<String>,
    /// The timeout of an invocation.
    pub timeout: Duration,
}

/// An event source mapping, which passes messages to a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// The ARN of the event source.
    pub arn: String,
    /// The mapping's state; `Enabled` if the mapping reads its source.
    pub state: String,
    /// The maximum number of messages in a batch.
    pub batch_size: u32,
    /// The batching window.
    pub window: Duration,
    /// True if the function's answer names the failed messages (`ReportBatchItemFailures`).
    pub reports_failures: bool,
    /// The maximum number of concurrent invocations, if it is limited.
    pub maximum_concurrency: Option<u32>,
    /// The number of filters. Lambda deletes a message that no filter matches.
    pub filters: usize,
}

/// The reason why the existence of a target is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// A call of AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The host was not reached.
    #[error("{host} was not reached: {problem}")]
    Unreached {
        /// The host.
        host: String,
        /// The observed problem.
        problem: &'static str,
    },
    /// The event bus exists, but its enabled rules cannot match: the bus accepts events and does nothing.
    #[error("{bus} has no enabled rule that takes events of the source genesys-replay")]
    NoRule {
        /// The ARN of the bus.
        bus: String,
    },
}

/// Read access to the deployment around the function. No call changes anything.
pub trait Deployment: Send + Sync {
    /// Returns the setup of this table.
    ///
    /// # Errors
    /// [`AwsError`], also if the table does not exist. The other methods report a missing resource in the same way.
    fn table(&self, name: &str) -> impl Future<Output = Result<TableFacts, AwsError>> + Send;

    /// Returns the time to live of this table's items.
    ///
    /// # Errors
    /// [`AwsError`].
    fn expiry(&self, table: &str) -> impl Future<Output = Result<ExpiryFacts, AwsError>> + Send;

    /// Checks that this bucket can be listed below a prefix.
    ///
    /// # Errors
    /// [`AwsError`].
    fn bucket(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Returns the configuration of the function with this name or ARN.
    ///
    /// # Errors
    /// [`AwsError`].
    fn function(&self, name: &str) -> impl Future<Output = Result<FunctionFacts, AwsError>> + Send;

    /// Returns the event source mappings of this function.
    ///
    /// # Errors
    /// [`AwsError`].
    fn sources(
        &self,
        function: &str,
    ) -> impl Future<Output = Result<Vec<SourceFacts>, AwsError>> + Send;

    /// Returns the setup of the queue with this URL, ARN or name.
    ///
    /// # Errors
    /// [`AwsError`].
    fn queue(&self, name: &str) -> impl Future<Output = Result<QueueFacts, AwsError>> + Send;

    /// Checks that a target exists, without sending anything that the target could take for an event. Reads the
    /// description of an AWS target from its service. Sends only HEAD to the root of an HTTP target's host, and accepts
    /// any answer.
    ///
    /// # Errors
    /// [`TargetFault`].
    fn target(
        &self,
        destination: &Destination,
    ) -> impl Future<Output = Result<(), TargetFault>> + Send;
}
