//! Delivers to a Step Functions state machine: one execution for each event.

use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use genesys_replay::destination::Arn;
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId};

use super::aws::{RegionalClients, delivery_error};

pub(super) async fn start(
    clients: &RegionalClients,
    state_machine: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let answer = clients
        .step_functions
        .start_execution()
        .state_machine_arn(state_machine.as_str())
        .name(execution_name(delivery))
        .input(delivery.payload)
        .send()
        .await;
    match answer {
        Ok(started) => Ok(Some(started.execution_arn)),
        Err(error) if already_started(&error) => {
            started_before(clients, state_machine, delivery).await
        }
        Err(error) => Err(delivery_error("Step Functions", error)),
    }
}

/// Handles the case that an execution with this name exists. With the same input, an earlier attempt started
/// it. With another input, the name stays taken for 90 days after that execution ended. Without the
/// permission to read the execution, the name alone decides.
async fn started_before(
    clients: &RegionalClients,
    state_machine: &Arn,
    delivery: &Delivery<'_>,
) -> Result<Option<DeliveryId>, DeliveryError> {
    let Some(execution) = execution_arn(state_machine, &execution_name(delivery)) else {
        return Ok(None);
    };
    let answer = clients.step_functions.describe_execution().execution_arn(&execution).send().await;
    match answer {
        // Step Functions omits the input if the role may not decrypt it.
        Ok(found) if found.input().is_none_or(|input| input == delivery.payload) => {
            Ok(Some(execution))
        }
        Ok(_) => Err(DeliveryError::never(
            FailureCode::TargetRefused,
            "Step Functions answered ExecutionAlreadyExists: an execution of this name has run with another input"
                .to_owned(),
        )),
        Err(error) => {
            let error = delivery_error("Step Functions", error);
            if error.code == FailureCode::TargetCredentials {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}

/// Returns the ARN of an execution; `None` if the ARN does not name a state machine.
fn execution_arn(state_machine: &Arn, name: &str) -> Option<String> {
    let (before, machine) = state_machine.as_str().split_once(":stateMachine:")?;
    // A version or an alias may follow.
    let machine = machine.split(':').next()?;
    Some(format!("{before}:execution:{machine}:{name}"))
}

fn already_started<R>(error: &SdkError<StartExecutionError, R>) -> bool {
    error.as_service_error().is_some_and(StartExecutionError::is_execution_already_exists)
}

/// Returns the event id as an execution name: invalid characters are replaced, the length is at most 80
/// characters, and a hash makes the name unique.
fn execution_name(delivery: &Delivery<'_>) -> String {
    let readable: String = delivery
        .key
        .as_str()
        .chars()
        .take_while(|c| *c != '|')
        .take(47)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    let hash: String = delivery.name.chars().take(32).collect();
    format!("{readable}-{hash}")
}
