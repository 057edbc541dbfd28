//! Whether a subscription is active, asked as rarely as possible.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{Call, GenesysError, Standing, Subscriptions, UnavailableCause};
use tokio::time::timeout;

/// How long an active subscription is believed to stay so. One that is not is asked for again at
/// once: somebody may just have turned it on.
const CACHE_TTL: Duration = Duration::from_secs(60);

/// Asks Genesys Cloud, once for everybody who wants to know the same at the same time.
pub struct SubscriptionCheck<S> {
    subscriptions: Arc<S>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<Known>>,
}

/// A look that takes longer is given up: the sender waits, the function's own time of ten seconds goes by, and the
/// queue needs some of it, too.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

type Answer = Result<Standing, GenesysError>;
type Question = BoxFuture<'static, Answer>;

#[derive(Default)]
struct Known {
    active_until: HashMap<InteractionId, Timestamp>,
    /// Weak: a question that nobody waits for any more is asked anew instead of taken up again.
    asked: HashMap<InteractionId, WeakShared<Question>>,
}

impl<S: Subscriptions + 'static> SubscriptionCheck<S> {
    /// A check that knows nothing yet.
    #[must_use]
    pub fn new(subscriptions: S, clock: Arc<dyn Clock>) -> Self {
        Self {
            subscriptions: Arc::new(subscriptions),
            clock,
            known: Arc::default(),
        }
    }

    /// What it asks.
    #[must_use]
    pub fn subscriptions(&self) -> &S {
        &self.subscriptions
    }

    /// How a subscription stands, or stood less than a minute ago if it was active.
    ///
    /// # Errors
    /// Genesys Cloud could not say; the same for all who asked together.
    pub async fn standing(&self, id: &InteractionId) -> Answer {
        match self.question(id) {
            Some(question) => timeout(LOOKUP_TIMEOUT, question).await.unwrap_or(TIMED_OUT),
            None => Ok(Standing::Active),
        }
    }

    /// The question to wait for; `None` when the answer is known.
    fn question(&self, id: &InteractionId) -> Option<Shared<Question>> {
        let mut known = lock(&self.known);
        let now = self.clock.now();
        if known.active_until.get(id).is_some_and(|until| now < *until) {
            return None;
        }
        let asked = known.asked.get(id).and_then(WeakShared::upgrade);
        Some(asked.unwrap_or_else(|| {
            // Those that nobody waits for any more.
            known.asked.retain(|_, weak| weak.upgrade().is_some());
            let question = self.ask(id.clone()).shared();
            known
                .asked
                .extend(question.downgrade().map(|weak| (id.clone(), weak)));
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

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
