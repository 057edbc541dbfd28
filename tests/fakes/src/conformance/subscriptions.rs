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
        subscription_has_the_stored_status,
        subscription_change_is_visible_at_once,
        subscription_lookup_can_be_repeated_after_a_failure,
    )
}

fn id(name: &str) -> Result<InteractionId> {
    let name = name.replace('_', "-");
    Ok(InteractionId::new(name).ok_or("no id")?)
}

async fn subscription_has_the_stored_status(world: &impl World, name: &str) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Active, Standing::Inactive, Standing::Unknown] {
        world.put(id.as_str(), standing);
        let seen = world.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn subscription_change_is_visible_at_once(world: &impl World, name: &str) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Inactive, Standing::Active, Standing::Inactive] {
        world.put(id.as_str(), standing);
        let seen = world.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn subscription_lookup_can_be_repeated_after_a_failure(
    world: &impl World,
    name: &str,
) -> Result<()> {
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
