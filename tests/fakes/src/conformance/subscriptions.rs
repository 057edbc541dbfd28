//! The contract of [`Subscriptions`].

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{GenesysError, Standing, Subscriptions};

use super::{Mishap, Result, holds, same, suite};

/// Subscriptions that are asked for through one port.
pub trait World {
    /// The implementation.
    type Subscriptions: Subscriptions;

    /// The port.
    fn subscriptions(&self) -> &Self::Subscriptions;

    /// Says how a subscription stands.
    fn put(&self, id: &str, standing: Standing);

    /// Lets something befall the next call of the port.
    fn next_call(&self, mishap: Mishap);
}

/// Whether it keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        a_subscription_stands_as_it_was_put,
        a_change_is_seen_at_once,
        a_question_that_fails_can_be_asked_again,
    )
}

fn id(name: &str) -> Result<InteractionId> {
    let name = name.replace('_', "-");
    Ok(InteractionId::new(name).ok_or("no id")?)
}

async fn a_subscription_stands_as_it_was_put(world: &impl World, name: &str) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Active, Standing::Inactive, Standing::Unknown] {
        world.put(id.as_str(), standing);
        let seen = world.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn a_change_is_seen_at_once(world: &impl World, name: &str) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Inactive, Standing::Active, Standing::Inactive] {
        world.put(id.as_str(), standing);
        let seen = world.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn a_question_that_fails_can_be_asked_again(world: &impl World, name: &str) -> Result<()> {
    let id = id(name)?;
    world.put(id.as_str(), Standing::Active);
    for mishap in [Mishap::Down, Mishap::AnswerLost] {
        world.next_call(mishap);
        let failed = world.subscriptions().standing(&id).await;
        holds(
            "it fails in passing",
            matches!(failed, Err(GenesysError::Unavailable { .. })),
        )?;
        let seen = world.subscriptions().standing(&id).await?;
        same("standing", &seen, &Standing::Active)?;
    }
    Ok(())
}
