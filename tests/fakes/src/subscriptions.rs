//! The subscriptions of an organisation, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use genesys_replay::dead_letter::InteractionId;
use genesys_replay::genesys::{GenesysError, Standing, Subscriptions};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// Subscriptions whose clones share their state. A subscription without a stored status is active.
#[derive(Clone)]
pub struct MemorySubscriptions {
    state: Arc<Mutex<State>>,
    faults: Arc<dyn Faults<GenesysError>>,
}

#[derive(Default)]
struct State {
    standings: BTreeMap<String, Standing>,
    asked: Vec<String>,
}

impl Default for MemorySubscriptions {
    fn default() -> Self {
        Self { state: Arc::default(), faults: Arc::new(NoFaults) }
    }
}

impl MemorySubscriptions {
    /// Returns the same subscriptions with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<GenesysError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Stores the status of a subscription.
    pub fn put(&self, id: &str, standing: Standing) {
        lock(&self.state).standings.insert(id.to_owned(), standing);
    }

    /// Returns the ids of all lookups in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }
}

impl Subscriptions for MemorySubscriptions {
    async fn standing(&self, id: &InteractionId) -> Result<Standing, GenesysError> {
        pass(&*self.faults, "standing", || {
            let mut state = lock(&self.state);
            state.asked.push(id.to_string());
            let standing = state.standings.get(id.as_str()).copied();
            Ok(standing.unwrap_or(Standing::Active))
        })
        .await
    }
}
