//! The deployment around the function, as its AWS services report it. No call changes anything.

pub mod aws;
mod connections;
pub mod credentials_secret;
pub mod dead_letter_queues;
pub mod event_rules;
pub mod functions;
pub mod metrics;
pub mod rule_metrics;
pub mod source_mapping;
pub mod stack;
mod targets;

use std::time::Duration;

use genesys_replay::aws::AwsError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    pub status: String,
    /// The parts of the key: name, role (`HASH`, `RANGE`) and type (`S`, `N`, `B`).
    pub key: Vec<(String, String, String)>,
    /// Billing is by request, so that capacity cannot run out.
    pub on_demand: bool,
}

/// The time to live (TTL) of a table's items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryFacts {
    /// `ENABLED` if items expire.
    pub status: String,
    pub attribute: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    pub name: String,
    /// `Active` if the function can be called. Not every AWS-compatible endpoint reports a state.
    pub state: Option<String>,
    pub timeout: Duration,
    /// Version and commit of the function's program, as far as its description names them.
    pub release: Option<String>,
}

/// Returns the version, and the commit if it is there, in a description of the form
/// `genesys-replay 0.2.0 (8eeb57644a11): …`. The template writes it, because Lambda does not store the
/// version of a program.
fn described_release(description: &str) -> Option<&str> {
    let (program, _) = description.split_once(':')?;
    program.strip_prefix("genesys-replay ").filter(|release| !release.is_empty())
}

/// An event source mapping, which passes messages to a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    pub arn: String,
    /// `Enabled` if the mapping reads its source.
    pub state: String,
    pub batch_size: u32,
    pub window: Duration,
    /// True if the function's answer names the failed messages (`ReportBatchItemFailures`).
    pub reports_failures: bool,
    /// Of invocations, if it is limited.
    pub maximum_concurrency: Option<u32>,
    /// The number of filters. Lambda deletes a message that no filter matches.
    pub filters: usize,
}

/// The reason why the existence of a target is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The host was not reached.
    #[error("{host} was not reached: {problem}")]
    Unreached { host: String, problem: &'static str },
    /// The event bus exists, but its enabled rules cannot match: the bus accepts events and does nothing.
    #[error("{bus} has no enabled rule for events of the source genesys-replay")]
    NoRule { bus: String },
    /// The resource exists and does not accept events in its state.
    #[error("{arn} is {state}")]
    NotReady { arn: String, state: String },
    /// An API destination was deleted, and another one has its name.
    #[error("{arn} does not exist, its name belongs to {by}")]
    Replaced { arn: String, by: String },
    /// The key of a target cannot be used.
    #[error("the key {key} of {arn} is {state}")]
    Key { arn: String, key: String, state: String },
    /// The policy of a target denies every call.
    #[error("the policy of {arn} denies {action} to everyone")]
    Denied { arn: String, action: &'static str },
    /// Its service has no call for the check.
    #[error("the target is not checked")]
    Unchecked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_of_the_template_names_the_release() {
        for (description, release) in [
            ("genesys-replay 0.2.0: replays the dead letters", Some("0.2.0")),
            ("genesys-replay 0.2.0 (8eeb57644a11): replays", Some("0.2.0 (8eeb57644a11)")),
            ("genesys-replay : replays", None),
            ("genesys-replay 0.2.0", None),
            ("Replays the dead letters: all of them", None),
            ("", None),
        ] {
            assert_eq!(described_release(description), release, "{description}");
        }
    }
}
