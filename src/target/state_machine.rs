//! Delivery to a Step Functions state machine: one execution for each event.

use aws_sdk_sfn::error::SdkError;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;

use super::aws::{Clients, delivery_error};
use super::{Delivery, DeliveryError, DeliveryId};
use crate::destination::Arn;

pub(super) async fn start(
    clients: &Clients,
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
        // The delivery names the execution: it has started it before.
        Err(error) if already_started(&error) => Ok(None),
        Err(error) => Err(delivery_error("Step Functions", error)),
    }
}

fn already_started<R>(error: &SdkError<StartExecutionError, R>) -> bool {
    error
        .as_service_error()
        .is_some_and(StartExecutionError::is_execution_already_exists)
}

/// The key as a name: what names may not hold replaced, cut to the 80 characters that they may
/// have, and told apart by its hash.
fn execution_name(delivery: &Delivery<'_>) -> String {
    let readable: String = delivery
        .key
        .as_str()
        .chars()
        .take_while(|c| *c != '|')
        .take(47)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let hash: String = delivery.name.chars().take(32).collect();
    format!("{readable}-{hash}")
}
