//! Ctrl-C: the first one requests a stop, the second one ends the program.

use tokio_util::sync::CancellationToken;

use crate::terminal;

/// Returns a token that the first Ctrl-C cancels. The second one ends the program.
pub(crate) fn listen() -> CancellationToken {
    let stop = CancellationToken::new();
    let requested = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "the person wants the end at once")]
    tokio::spawn(async move {
        twice(&requested, "stopping; press Ctrl-C again to stop at once").await;
        std::process::exit(130);
    });
    stop
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
