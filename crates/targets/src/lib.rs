//! The targets: HTTP endpoints and AWS services.

pub mod api_destination;
mod api_gateway;
pub mod aws;
mod classification;
mod custom_bus;
mod event_bus;
mod firehose;
pub mod http;
pub mod http_parameters;
mod kinesis;
mod known_buses;
mod lambda;
mod log_group;
mod ordering;
pub mod parameters;
mod refreshed;
mod rule;
mod size;
mod sns;
mod sqs;
mod state_machine;

use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Endpoint, Target, endpoint};

pub use api_gateway::ApiGateways;
pub use known_buses::{KnownBuses, known_as};
pub use rule::EventRules;

/// All kinds of targets, each with its own adapter.
pub struct Targets {
    /// HTTP endpoints.
    pub http: http::HttpTarget,
    /// AWS services.
    pub aws: aws::AwsTargets,
    /// The rules, which have parameters of deliveries.
    pub rules: EventRules,
    /// API destinations.
    pub api_destinations: api_destination::ApiDestinations,
    /// API Gateway.
    pub api_gateways: ApiGateways,
}

impl Target for Targets {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        match endpoint(delivery.destination)? {
            Endpoint::None => Ok(None),
            Endpoint::Http(url) => self.http.post(url, delivery).await.map(|()| None),
            Endpoint::Lambda(arn) => lambda::invoke(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Sqs(arn) => sqs::send(&self.aws, &self.rules, arn, delivery).await,
            Endpoint::Sns(arn) => sns::publish(&self.aws.of(arn), arn, delivery).await,
            Endpoint::StateMachine(arn) => {
                state_machine::start(&self.aws.of(arn), arn, delivery).await
            }
            Endpoint::EventBus(arn) => event_bus::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::Kinesis(arn) => kinesis::put(&self.aws, &self.rules, arn, delivery).await,
            Endpoint::Firehose(arn) => firehose::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::LogGroup(arn) => {
                let now = self.aws.clock.now();
                log_group::put(&self.aws.of(arn), arn, delivery, now).await
            }
            Endpoint::CustomBus(arn) => custom_bus::put(&self.aws.of(arn), arn, delivery).await,
            Endpoint::ApiDestination(arn) => {
                let parameters = self.rules.http_parameters(&self.aws, arn, delivery).await?;
                self.api_destinations
                    .deliver(&self.aws, arn, &parameters, delivery)
                    .await
                    .map(|()| None)
            }
            Endpoint::ApiGateway(arn) => {
                let parameters = self.rules.http_parameters(&self.aws, arn, delivery).await?;
                self.api_gateways.deliver(arn, &parameters, delivery).await.map(|()| None)
            }
        }
    }
}
