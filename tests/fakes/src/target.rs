//! A target in memory that accepts and stores every delivery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use genesys_replay::destination::Destination;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::TypedAttribute;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, DeliveryProgress, Target};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

static NO_ATTRIBUTES: BTreeMap<&str, TypedAttribute> = BTreeMap::new();

/// Returns the first delivery of an event without attributes, group, rule and interaction.
#[must_use]
pub fn first_delivery<'a>(
    destination: &'a Destination,
    key: &'a EventKey,
    payload: &'a str,
    progress: &'a DeliveryProgress,
) -> Delivery<'a> {
    Delivery {
        destination,
        payload,
        attempt_count: 1,
        key,
        name: "name",
        maybe_delivered: false,
        attributes: &NO_ATTRIBUTES,
        group: None,
        event_source: None,
        event_type: None,
        interaction_id: None,
        rule_target: None,
        progress,
    }
}

/// An accepted delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The event key, the idempotency key of a repeated delivery.
    pub key: String,
    /// The raw event.
    pub payload: String,
    /// The attempt number of the delivery.
    pub attempt_count: u32,
    /// The name of the delivery, the deduplication id of a FIFO queue.
    pub name: String,
    /// The id from the target.
    pub delivery_id: Option<String>,
}

/// A target whose clones share the accepted deliveries.
#[derive(Clone)]
pub struct MemoryTarget {
    accepted: Arc<Mutex<Vec<Accepted>>>,
    faults: Arc<dyn Faults<DeliveryError>>,
    has_preparation: bool,
}

impl Default for MemoryTarget {
    fn default() -> Self {
        Self { accepted: Arc::default(), faults: Arc::new(NoFaults), has_preparation: false }
    }
}

impl MemoryTarget {
    /// Returns the same target with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<DeliveryError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Returns the same target with a preparation before each delivery: the call `prepare`.
    #[must_use]
    pub fn with_preparation(&self) -> Self {
        Self { has_preparation: true, ..self.clone() }
    }

    /// Returns the accepted deliveries in order, with duplicates.
    #[must_use]
    pub fn accepted(&self) -> Vec<Accepted> {
        lock(&self.accepted).clone()
    }
}

impl Target for MemoryTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        match delivery.destination {
            Destination::None => return Ok(None),
            Destination::Unsupported(_) | Destination::TooLong(_) | Destination::Missing => {
                return Err(never(FailureCode::TargetUnsupported));
            }
            Destination::NotAllowed(_) => return Err(never(FailureCode::TargetNotAllowed)),
            Destination::Looping(_) => {
                return Err(DeliveryError {
                    disposition: Disposition::Operator,
                    ..never(FailureCode::TargetNotAllowed)
                });
            }
            Destination::Http(_)
            | Destination::Lambda(_)
            | Destination::Sqs(_)
            | Destination::Sns(_)
            | Destination::StateMachine(_)
            | Destination::EventBus(_)
            | Destination::Kinesis(_)
            | Destination::Firehose(_)
            | Destination::LogGroup(_)
            | Destination::ApiDestination(_)
            | Destination::ApiGateway(_)
            | Destination::CustomBus(_) => {}
        }
        if self.has_preparation {
            delivery.progress.preparing();
            pass(&*self.faults, "prepare", || Ok(())).await?;
            delivery.progress.sending();
        }
        pass(&*self.faults, "deliver", || {
            let mut accepted = lock(&self.accepted);
            let gives_ids =
                matches!(delivery.destination, Destination::Lambda(_) | Destination::Sqs(_));
            let delivery_id = gives_ids.then(|| format!("delivery-{}", accepted.len() + 1));
            accepted.push(Accepted {
                key: delivery.key.to_string(),
                payload: delivery.payload.to_owned(),
                attempt_count: delivery.attempt_count,
                name: delivery.name.to_owned(),
                delivery_id: delivery_id.clone(),
            });
            Ok(delivery_id)
        })
        .await
    }
}

/// Returns the error of a destination to which nothing can be sent.
fn never(code: FailureCode) -> DeliveryError {
    DeliveryError {
        code,
        disposition: Disposition::Permanent,
        certainty: Certainty::NotSent,
        timed_out: false,
        locally_throttled: false,
        reason: "there is no way to deliver to it".to_owned(),
        source: None,
    }
}
