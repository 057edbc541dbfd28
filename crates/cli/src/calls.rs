//! Calls of AWS.

use std::error::Error;
use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use genesys_replay::aws::AwsError;
use genesys_replay_aws::aws_error;

/// Returns the answer of a call that was sent. `operation` names the call in its error.
pub(crate) async fn answered<T, E, R>(
    operation: &str,
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> Result<T, AwsError>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    // In a box, because the future of a call is large.
    let answer = Box::pin(call).await;
    answer.map_err(|error| aws_error(operation, &error))
}
