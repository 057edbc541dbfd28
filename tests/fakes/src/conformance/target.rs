//! The contract of [`Target`].

use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::target::{Delivery, DeliveryError, Target};

use super::{Mishap, Result, holds, same, suite};
use crate::Accepted;

const PAYLOAD: &str = "{ \"id\" : \"e-1\",\n\t\"text\":\"Zoë\" }";

/// A target and what it has accepted.
pub trait World {
    /// The implementation.
    type Target: Target;

    /// The target.
    fn target(&self) -> &Self::Target;

    /// Where it accepts everything.
    fn destination(&self) -> Destination;

    /// Lets something befall the next call.
    fn next_call(&self, mishap: Mishap);

    /// What was accepted, in order.
    fn accepted(&self) -> Vec<Accepted>;
}

/// Whether a target keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        what_is_accepted_arrives_whole_and_once,
        the_same_event_may_come_again_under_the_same_key,
        a_delivery_that_did_not_act_may_be_tried_again,
        a_delivery_whose_answer_was_lost_may_have_acted,
        what_goes_nowhere_is_accepted_without_a_call,
        where_nothing_can_be_delivered_nothing_is_sent,
    )
}

struct Event<'w, W> {
    world: &'w W,
    destination: Destination,
    key: EventKey,
}

impl<'w, W: World> Event<'w, W> {
    fn new(world: &'w W, name: &str, destination: Destination) -> Result<Self> {
        let message_id = MessageId::new("m-1").ok_or("message id")?;
        let event_id = EventId::new(name).ok_or("event id")?;
        Ok(Self {
            world,
            key: EventKey::new(Some(&event_id), &message_id, &destination),
            destination,
        })
    }

    async fn deliver(&self, attempt_count: u32) -> std::result::Result<(), DeliveryError> {
        let delivery = Delivery {
            destination: &self.destination,
            payload: PAYLOAD,
            attempt_count,
            key: &self.key,
            event_type: None,
            interaction_id: None,
        };
        self.world.target().deliver(&delivery).await
    }

    async fn refused(&self, attempt_count: u32) -> Result<DeliveryError> {
        let answer = self.deliver(attempt_count).await;
        Ok(answer.err().ok_or("it was accepted")?)
    }

    /// The attempts that were accepted are these, and each came with the payload as it was.
    fn accepted(&self, attempts: &[u32]) -> Result<()> {
        let accepted = self.world.accepted().into_iter();
        let accepted: Vec<_> = accepted.filter(|it| it.key == self.key.as_str()).collect();
        let expected = attempts.iter().map(|&attempt_count| Accepted {
            key: self.key.to_string(),
            payload: PAYLOAD.to_owned(),
            attempt_count,
        });
        same("accepted", &accepted, &expected.collect())
    }
}

async fn what_is_accepted_arrives_whole_and_once(world: &impl World, name: &str) -> Result<()> {
    let event = Event::new(world, name, world.destination())?;
    event.deliver(7).await?;
    event.accepted(&[7])
}

async fn the_same_event_may_come_again_under_the_same_key(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name, world.destination())?;
    event.deliver(1).await?;
    event.deliver(2).await?;
    event.accepted(&[1, 2])
}

async fn a_delivery_that_did_not_act_may_be_tried_again(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name, world.destination())?;
    world.next_call(Mishap::Down);
    let error = event.refused(1).await?;
    same("the code", &error.code, &FailureCode::TargetUnavailable)?;
    let transient = Disposition::Transient { after: None };
    same("the disposition", &error.disposition, &transient)?;
    holds("it is known", error.certainty != Certainty::Unknown)?;
    event.accepted(&[])?;
    event.deliver(2).await?;
    event.accepted(&[2])
}

async fn a_delivery_whose_answer_was_lost_may_have_acted(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name, world.destination())?;
    world.next_call(Mishap::AnswerLost);
    let error = event.refused(1).await?;
    same("the code", &error.code, &FailureCode::TargetUnavailable)?;
    let transient = Disposition::Transient { after: None };
    same("the disposition", &error.disposition, &transient)?;
    same("the certainty", &error.certainty, &Certainty::Unknown)?;
    event.accepted(&[1])?;
    event.deliver(2).await?;
    event.accepted(&[1, 2])
}

async fn what_goes_nowhere_is_accepted_without_a_call(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let event = Event::new(world, name, Destination::None)?;
    event.deliver(1).await?;
    event.accepted(&[])
}

async fn where_nothing_can_be_delivered_nothing_is_sent(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let stream = "arn:aws:kinesis:eu-central-1:271828182845:stream/x";
    for (destination, code) in [
        (
            Destination::Unsupported(stream.to_owned()),
            FailureCode::TargetUnsupported,
        ),
        (
            Destination::NotAllowed(stream.to_owned()),
            FailureCode::TargetNotAllowed,
        ),
        (Destination::Missing, FailureCode::TargetUnsupported),
    ] {
        let event = Event::new(world, name, destination)?;
        let error = event.refused(1).await?;
        same("the code", &error.code, &code)?;
        same(
            "the disposition",
            &error.disposition,
            &Disposition::Permanent,
        )?;
        same("the certainty", &error.certainty, &Certainty::NotSent)?;
        event.accepted(&[])?;
    }
    Ok(())
}
