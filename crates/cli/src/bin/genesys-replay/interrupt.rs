//! Ctrl-C: the first one requests a stop, the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::terminal;

/// The message at the first Ctrl-C while messages are held.
pub(crate) const RELEASING: &str = "interrupted: making the messages visible again (Ctrl-C again to leave them invisible for a while)";

/// The parts of the work that end in order at the first Ctrl-C. Outside of them, and at the second one, the program ends
/// at once.
#[derive(Clone, Default)]
pub(crate) struct Interrupts {
    current: Arc<Mutex<Option<(CancellationToken, &'static str)>>>,
    is_listening: Arc<AtomicBool>,
}

/// A part of the work that ends in order, until this value is dropped.
pub(crate) struct OrderlyPart {
    stop: CancellationToken,
    interrupts: Interrupts,
}

impl Interrupts {
    /// Begins a part of the work that stops after the current step.
    pub(crate) fn listen(&self) -> OrderlyPart {
        self.begin("stopping; press Ctrl-C again to stop at once")
    }

    /// Begins a part of the work that releases its messages.
    pub(crate) fn while_reading(&self) -> OrderlyPart {
        self.begin(RELEASING)
    }

    fn begin(&self, message: &'static str) -> OrderlyPart {
        let stop = CancellationToken::new();
        *self.current() = Some((stop.clone(), message));
        if !self.is_listening.swap(true, Ordering::Relaxed) {
            let interrupts = self.clone();
            #[expect(clippy::disallowed_methods, reason = "the person wants the end at once")]
            tokio::spawn(async move {
                interrupts.wait().await;
                std::process::exit(130);
            });
        }
        OrderlyPart { stop, interrupts: self.clone() }
    }

    fn current(&self) -> MutexGuard<'_, Option<(CancellationToken, &'static str)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the Ctrl-C that ends the program.
    async fn wait(&self) {
        loop {
            if tokio::signal::ctrl_c().await.is_err() {
                // Without a handler Ctrl-C ends the program at once, as it does by default.
                std::future::pending::<()>().await;
            }
            let Some((stop, message)) = self.current().take() else {
                return;
            };
            stop.cancel();
            terminal::say(message);
        }
    }
}

impl OrderlyPart {
    /// Returns the token that the first Ctrl-C cancels.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for OrderlyPart {
    fn drop(&mut self) {
        *self.interrupts.current() = None;
    }
}

/// Cancels `stop` and prints `message` at the first Ctrl-C. Returns at the second one.
pub(crate) async fn twice(stop: &CancellationToken, message: &str) {
    for is_first in [true, false] {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler Ctrl-C ends the program at once, as it does by default.
            std::future::pending::<()>().await;
        }
        if is_first {
            stop.cancel();
            terminal::say(message);
        }
    }
}
