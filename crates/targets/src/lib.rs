//! The targets: HTTP endpoints and AWS services.

pub mod aws;
mod classification;
mod event_bus;
pub mod http;
mod known_buses;
mod lambda;
mod ordering;
mod sns;
mod sqs;
mod state_machine;

use genesys_replay::destination::{Destination, MAX_TARGET_BYTES};
use genesys_replay::failure::FailureCode;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Target};

pub use known_buses::{KnownBuses, known_as};

/// All kinds of targets, each with its own adapter.
pub struct Targets {
    /// HTTP endpoints.
    pub http: http::HttpTarget,
    /// AWS services.
    pub aws: aws::AwsTargets,
}

impl Target for Targets {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        match delivery.destination {
            Destination::None => Ok(None),
            Destination::Http(url) => self.http.post(url, delivery).await.map(|()| None),
            Destination::Lambda(arn) => lambda::invoke(&self.aws.of(arn), arn, delivery).await,
            Destination::Sqs(arn) => sqs::send(&self.aws.of(arn), arn, delivery).await,
            Destination::Sns(arn) => sns::publish(&self.aws.of(arn), arn, delivery).await,
            Destination::StateMachine(arn) => {
                state_machine::start(&self.aws.of(arn), arn, delivery).await
            }
            Destination::EventBus(arn) => event_bus::put(&self.aws.of(arn), arn, delivery).await,
            Destination::Unsupported(arn) => Err(DeliveryError::never(
                FailureCode::TargetUnsupported,
                format!("no way to deliver to {arn}"),
            )),
            Destination::NotAllowed(arn) => Err(DeliveryError::never(
                FailureCode::TargetNotAllowed,
                format!(
                    "{arn} is not in ALLOWED_TARGETS, or is the dead-letter queue or this function itself"
                ),
            )),
            Destination::TooLong(_) => Err(DeliveryError::never(
                FailureCode::TargetUnsupported,
                format!("the ARN of the target is longer than {MAX_TARGET_BYTES} bytes"),
            )),
            Destination::Missing => Err(DeliveryError::never(
                FailureCode::TargetUnsupported,
                "the dead letter names no target; set REPLAY_TARGET to where it should go"
                    .to_owned(),
            )),
        }
    }
}
