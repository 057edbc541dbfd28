//! A secret in memory.

use std::sync::{Arc, Mutex};

use genesys_replay::secret::{SecretError, SecretText};

use crate::lock;

/// A secret whose clones share its text.
#[derive(Clone)]
pub struct MemorySecret {
    state: Arc<Mutex<State>>,
}

struct State {
    text: Result<String, SecretError>,
    reads: usize,
}

impl MemorySecret {
    /// Returns a secret with this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = Ok(text.to_owned());
        Self { state: Arc::new(Mutex::new(State { text, reads: 0 })) }
    }

    /// Sets the result of the next reads.
    pub fn put(&self, text: Result<&str, SecretError>) {
        lock(&self.state).text = text.map(str::to_owned);
    }

    /// Returns the number of reads.
    #[must_use]
    pub fn reads(&self) -> usize {
        lock(&self.state).reads
    }
}

impl SecretText for MemorySecret {
    async fn read(&self) -> Result<String, SecretError> {
        let mut state = lock(&self.state);
        state.reads += 1;
        state.text.clone()
    }
}
