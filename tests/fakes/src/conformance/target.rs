//! The contract of [`Target`].

use std::future::Future;

use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryProgress, Target};

use crate::target::first_delivery;

use super::{CallFault, Result, holds, same, suite};

const PAYLOAD: &str = "{ \"id\" : \"e-1\",\n\t\"text\":\"Zoë\" }";

/// The visible part of a delivery at its destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The payload.
    pub payload: String,
    /// The idempotency key, if the destination shows it.
    pub key: Option<String>,
    /// The attempt number, if the destination shows it.
    pub attempt_count: Option<u32>,
}

impl Arrival {
    /// Returns a delivery at a destination that shows everything.
    #[must_use]
    pub fn whole(delivery: &Delivery<'_>) -> Self {
        Self {
            payload: delivery.payload.to_owned(),
            key: Some(delivery.key.to_string()),
            attempt_count: Some(delivery.attempt_count),
        }
    }
}

/// Targets under test of one kind, and their deliveries.
pub trait TargetSuite {
    /// The implementation.
    type Target: Target;

    /// The target.
    fn target(&self) -> &Self::Target;

    /// Creates a destination that accepts everything.
    fn destination(&self) -> impl Future<Output = Result<Destination>>;

    /// Returns whether the destination drops duplicates.
    fn drops_duplicates(&self) -> bool;

    /// Injects a fault into the next call.
    fn next_call(&self, fault: CallFault);

    /// Returns the visible part of a delivery at its destination.
    fn shown(&self, delivery: &Delivery<'_>) -> Arrival;

    /// Waits for at least `least` deliveries and returns all, because an accepted one may arrive later.
    fn arrivals(
        &self,
        destination: &Destination,
        least: usize,
    ) -> impl Future<Output = Result<Vec<Arrival>>>;

    /// Returns the number of calls to all destinations.
    fn calls(&self) -> usize;
}

/// Checks that a target keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl TargetSuite) -> Result<()> {
    suite!(suite;
        accepted_event_arrives_whole_and_once,
        repeated_event_arrives_again_under_the_same_key,
        equal_events_under_two_keys_both_arrive,
        failed_delivery_can_be_retried,
        delivery_with_a_lost_response_may_have_acted,
        delivery_to_no_target_is_accepted_without_a_call,
        delivery_to_an_unusable_target_is_refused_without_a_call,
    )
}

struct Event<'w, W> {
    suite: &'w W,
    destination: Destination,
    key: EventKey,
    name: String,
    progress: DeliveryProgress,
}

impl<'w, W: TargetSuite> Event<'w, W> {
    fn new(suite: &'w W, name: &str, destination: Destination) -> Result<Self> {
        let message_id = MessageId::new("m-1").ok_or("message id")?;
        let event_id = EventId::new(name).ok_or("event id")?;
        Ok(Self {
            suite,
            name: EventKey::new(Some(&event_id), &message_id, &destination)
                .delivery_name(1, None, None),
            key: EventKey::new(Some(&event_id), &message_id, &destination),
            destination,
            progress: DeliveryProgress::default(),
        })
    }

    fn delivery(&self, attempt_count: u32) -> Delivery<'_> {
        Delivery {
            attempt_count,
            name: &self.name,
            ..first_delivery(&self.destination, &self.key, PAYLOAD, &self.progress)
        }
    }

    async fn deliver(&self, attempt_count: u32) -> std::result::Result<(), DeliveryError> {
        let delivery = self.delivery(attempt_count);
        self.suite.target().deliver(&delivery).await.map(|_| ())
    }

    async fn refused(&self, attempt_count: u32) -> Result<DeliveryError> {
        let answer = self.deliver(attempt_count).await;
        Ok(answer.err().ok_or("it was accepted")?)
    }

    /// Checks that exactly these attempts arrived.
    async fn arrived(&self, attempts: &[u32]) -> Result<()> {
        let attempts = attempts.iter().map(|attempt| self.delivery(*attempt));
        arrived(self.suite, &self.destination, attempts.collect()).await
    }

    /// Checks that both attempts arrived, or only the first if the destination drops duplicates.
    async fn arrived_again(&self) -> Result<()> {
        let attempts = if self.suite.drops_duplicates() { 1 } else { 2 };
        self.arrived(&[1, 2][..attempts]).await
    }
}

async fn arrived(
    suite: &impl TargetSuite,
    destination: &Destination,
    deliveries: Vec<Delivery<'_>>,
) -> Result<()> {
    let deliveries = deliveries.iter();
    let mut asked: Vec<_> = deliveries.map(|it| suite.shown(it)).collect();
    let mut seen = suite.arrivals(destination, asked.len()).await?;
    // A target guarantees no order.
    asked.sort();
    seen.sort();
    same("arrived", &seen, &asked)
}

async fn accepted_event_arrives_whole_and_once(suite: &impl TargetSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name, suite.destination().await?)?;
    event.deliver(7).await?;
    // A delivery that is cut off after the call may have acted.
    same("progress", &event.progress.certainty_when_cut_off(), &Certainty::Unknown)?;
    event.arrived(&[7]).await
}

async fn repeated_event_arrives_again_under_the_same_key(
    suite: &impl TargetSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name, suite.destination().await?)?;
    event.deliver(1).await?;
    event.deliver(2).await?;
    event.arrived_again().await
}

async fn equal_events_under_two_keys_both_arrive(
    suite: &impl TargetSuite,
    name: &str,
) -> Result<()> {
    let destination = suite.destination().await?;
    let first = Event::new(suite, name, destination.clone())?;
    let second = Event::new(suite, &format!("{name}-again"), destination.clone())?;
    first.deliver(1).await?;
    second.deliver(1).await?;
    let both = vec![first.delivery(1), second.delivery(1)];
    arrived(suite, &destination, both).await
}

async fn failed_delivery_can_be_retried(suite: &impl TargetSuite, name: &str) -> Result<()> {
    let event = Event::new(suite, name, suite.destination().await?)?;
    suite.next_call(CallFault::NoEffect);
    let error = event.refused(1).await?;
    same("the code", &error.code, &FailureCode::TargetUnavailable)?;
    let transient = Disposition::Transient { after: None };
    same("the disposition", &error.disposition, &transient)?;
    holds("the certainty is known", error.certainty != Certainty::Unknown)?;
    event.arrived(&[]).await?;
    event.deliver(2).await?;
    event.arrived(&[2]).await
}

async fn delivery_with_a_lost_response_may_have_acted(
    suite: &impl TargetSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name, suite.destination().await?)?;
    suite.next_call(CallFault::ResponseLost);
    let error = event.refused(1).await?;
    same("the code", &error.code, &FailureCode::TargetUnavailable)?;
    let transient = Disposition::Transient { after: None };
    same("the disposition", &error.disposition, &transient)?;
    same("the certainty", &error.certainty, &Certainty::Unknown)?;
    event.arrived(&[1]).await?;
    event.deliver(2).await?;
    event.arrived_again().await
}

async fn delivery_to_no_target_is_accepted_without_a_call(
    suite: &impl TargetSuite,
    name: &str,
) -> Result<()> {
    let event = Event::new(suite, name, Destination::None)?;
    let calls = suite.calls();
    event.deliver(1).await?;
    same("calls", &suite.calls(), &calls)
}

async fn delivery_to_an_unusable_target_is_refused_without_a_call(
    suite: &impl TargetSuite,
    name: &str,
) -> Result<()> {
    let cluster = "arn:aws:ecs:eu-central-1:271828182845:cluster/x";
    for (destination, code) in [
        (Destination::Unsupported(cluster.to_owned()), FailureCode::TargetUnsupported),
        (Destination::NotAllowed(cluster.to_owned()), FailureCode::TargetNotAllowed),
        (Destination::Missing, FailureCode::TargetUnsupported),
    ] {
        let event = Event::new(suite, name, destination)?;
        let calls = suite.calls();
        let error = event.refused(1).await?;
        same("the code", &error.code, &code)?;
        same("the disposition", &error.disposition, &Disposition::Permanent)?;
        same("the certainty", &error.certainty, &Certainty::NotSent)?;
        same("calls", &suite.calls(), &calls)?;
    }
    Ok(())
}
