//! The `CloudFormation` stack of the function.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use genesys_replay::aws::AwsError;
use genesys_replay_aws::aws_error;

/// A deployed stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackFacts {
    pub name: String,
    /// The word of `CloudFormation`, such as `CREATE_COMPLETE`.
    pub status: String,
    pub parameters: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
}

impl StackFacts {
    /// Returns true if the stack's resources exist and no change is under way.
    pub fn is_complete(&self) -> bool {
        matches!(
            self.status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_COMPLETE"
        )
    }

    /// Returns an output that is not empty.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Reads stacks.
#[derive(Clone, Debug)]
pub struct StackReader {
    pub(crate) cloudformation: Client,
}

impl StackReader {
    /// Reads a stack; `None` if the stack does not exist.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn read(&self, name: &str) -> Result<Option<StackFacts>, AwsError> {
        let operation = format!("reading the stack {name} (cloudformation:DescribeStacks)");
        let answer = Box::pin(self.cloudformation.describe_stacks().stack_name(name).send()).await;
        let answer = match answer {
            Ok(answer) => answer,
            // CloudFormation has no error code of its own for a stack that does not exist.
            Err(error)
                if error.as_service_error().is_some_and(|refusal| {
                    refusal.code() == Some("ValidationError")
                        && refusal.message().is_some_and(|it| it.contains("does not exist"))
                }) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(aws_error(operation, &error)),
        };
        let Some(stack) = answer.stacks().first() else {
            return Ok(None);
        };
        let parameters = stack.parameters().iter().filter_map(|parameter| {
            let (name, value) = (parameter.parameter_key()?, parameter.parameter_value()?);
            Some((name.to_owned(), value.to_owned()))
        });
        let outputs = stack.outputs().iter().filter_map(|output| {
            Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
        });
        Ok(Some(StackFacts {
            name: stack.stack_name().unwrap_or(name).to_owned(),
            status: stack.stack_status().map_or_else(String::new, |it| it.as_str().to_owned()),
            parameters: parameters.collect(),
            outputs: outputs.collect(),
        }))
    }
}
