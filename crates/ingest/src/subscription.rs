//! Checks that a subscription is active, with as few calls as possible.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError, Standing, Subscriptions, UnavailableCause};
use tokio::time::timeout;

/// The time for which an active subscription is cached. Other subscriptions are not cached, because an operator may
/// just have activated one.
const CACHE_TTL: Duration = Duration::from_secs(60);

/// Checks subscriptions in Genesys Cloud. Concurrent checks of one subscription share one call.
pub struct SubscriptionCheck<S> {
    subscriptions: Arc<S>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<KnownSubscriptions>>,
}

/// The maximum time of a check: the sender waits, and the function's own ten seconds must leave time for the queue.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

type Answer = Result<Standing, GenesysError>;
type Question = BoxFuture<'static, Answer>;

#[derive(Default)]
struct KnownSubscriptions {
    active_until: HashMap<InteractionId, Timestamp>,
    /// Weak, so that a call without a waiting request is started anew instead of resumed.
    asked: HashMap<InteractionId, WeakShared<Question>>,
}

impl<S: Subscriptions + 'static> SubscriptionCheck<S> {
    /// Creates a check with an empty cache.
    #[must_use]
    pub fn new(subscriptions: S, clock: Arc<dyn Clock>) -> Self {
        Self { subscriptions: Arc::new(subscriptions), clock, known: Arc::default() }
    }

    /// Returns the port of the check.
    #[must_use]
    pub fn subscriptions(&self) -> &S {
        &self.subscriptions
    }

    /// Returns the status of a subscription; an active status may be up to a minute old.
    ///
    /// # Errors
    /// Genesys Cloud did not report the status. Concurrent checks that share the call receive the same error.
    pub async fn standing(&self, id: &InteractionId) -> Answer {
        match self.question(id) {
            Some(question) => timeout(LOOKUP_TIMEOUT, question).await.unwrap_or(TIMED_OUT),
            None => Ok(Standing::Active),
        }
    }

    /// Returns the call to wait for; `None` if the subscription is cached as active.
    fn question(&self, id: &InteractionId) -> Option<Shared<Question>> {
        let mut known = lock(&self.known);
        let now = self.clock.now();
        if known.active_until.get(id).is_some_and(|until| now < *until) {
            return None;
        }
        let asked = known.asked.get(id).and_then(WeakShared::upgrade);
        Some(asked.unwrap_or_else(|| {
            // Remove the calls without a waiting request.
            known.asked.retain(|_, weak| weak.upgrade().is_some());
            let question = self.ask(id.clone()).shared();
            known.asked.extend(question.downgrade().map(|weak| (id.clone(), weak)));
            question
        }))
    }

    fn ask(&self, id: InteractionId) -> Question {
        let subscriptions = Arc::clone(&self.subscriptions);
        let clock = Arc::clone(&self.clock);
        let known = Arc::clone(&self.known);
        async move {
            let answer = subscriptions.standing(&id).await;
            let now = clock.now();
            let mut known = lock(&known);
            known.asked.remove(&id);
            known.active_until.retain(|_, until| now < *until);
            if matches!(answer, Ok(Standing::Active)) {
                known.active_until.insert(id, now.plus(CACHE_TTL));
            }
            answer
        }
        .boxed()
    }
}

const TIMED_OUT: Answer = Err(GenesysError::Unavailable {
    call: Call::Subscription,
    problem: UnavailableCause::Timeout,
    after: None,
});

fn lock(known: &Mutex<KnownSubscriptions>) -> MutexGuard<'_, KnownSubscriptions> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
