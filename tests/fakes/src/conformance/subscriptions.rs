//! The contract of [`Subscriptions`].

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{GenesysError, Standing, Subscriptions};

use super::{CallFault, Result, holds, same, suite};

/// Subscriptions under test behind one port.
pub trait SubscriptionsSuite {
    /// The implementation.
    type Subscriptions: Subscriptions;

    /// The port.
    fn subscriptions(&self) -> &Self::Subscriptions;

    /// Stores the status of a subscription.
    fn put(&self, id: &str, standing: Standing);

    /// Injects a fault into the next call of the port.
    fn next_call(&self, fault: CallFault);
}

/// Checks that subscriptions keep the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(suite: &impl SubscriptionsSuite) -> Result<()> {
    suite!(suite;
        subscription_has_the_stored_status,
        subscription_change_is_visible_at_once,
        subscription_lookup_can_be_repeated_after_a_failure,
    )
}

fn id(name: &str) -> Result<InteractionId> {
    let name = name.replace('_', "-");
    Ok(InteractionId::new(name).ok_or("no id")?)
}

async fn subscription_has_the_stored_status(
    suite: &impl SubscriptionsSuite,
    name: &str,
) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Active, Standing::Inactive, Standing::Unknown] {
        suite.put(id.as_str(), standing);
        let seen = suite.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn subscription_change_is_visible_at_once(
    suite: &impl SubscriptionsSuite,
    name: &str,
) -> Result<()> {
    let id = id(name)?;
    for standing in [Standing::Inactive, Standing::Active, Standing::Inactive] {
        suite.put(id.as_str(), standing);
        let seen = suite.subscriptions().standing(&id).await?;
        same("standing", &seen, &standing)?;
    }
    Ok(())
}

async fn subscription_lookup_can_be_repeated_after_a_failure(
    suite: &impl SubscriptionsSuite,
    name: &str,
) -> Result<()> {
    let id = id(name)?;
    suite.put(id.as_str(), Standing::Active);
    for fault in [CallFault::NoEffect, CallFault::ResponseLost] {
        suite.next_call(fault);
        let failed = suite.subscriptions().standing(&id).await;
        holds("the failure is transient", matches!(failed, Err(GenesysError::Unavailable { .. })))?;
        let seen = suite.subscriptions().standing(&id).await?;
        same("standing", &seen, &Standing::Active)?;
    }
    Ok(())
}
