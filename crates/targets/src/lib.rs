//! The targets: HTTP endpoints and AWS services.

pub mod aws;
mod classification;
mod event_bus;
mod firehose;
pub mod http;
mod kinesis;
mod known_buses;
mod lambda;
mod log_group;
mod ordering;
mod size;
mod sns;
mod sqs;
mod state_machine;

use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Endpoint, Target, endpoint};

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
        match endpoint(delivery.destination)? {
            Endpoint::None => Ok(None),
            Endpoint::Http(url) => self.http.post(url, delivery).await.map(|()| None),
            Endpoint::Lambda(arn) => lambda::invoke(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Sqs(arn) => sqs::send(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Sns(arn) => sns::publish(&self.aws.of(arn), arn, delivery).await,
            Endpoint::StateMachine(arn) => {
                state_machine::start(&self.aws.of(arn), arn, delivery).await
            }
            Endpoint::EventBus(arn) => event_bus::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Kinesis(arn) => kinesis::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Firehose(arn) => firehose::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::LogGroup(arn) => {
                let now = self.aws.clock.now();
                log_group::put(&self.aws.of(arn), arn, delivery, now).await
            }
        }
    }
}
