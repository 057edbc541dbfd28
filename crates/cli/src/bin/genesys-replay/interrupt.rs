//! Ctrl-C: the first asks to stop, the second does not ask.

use tokio_util::sync::CancellationToken;

use crate::terminal;

/// Returns a token that the first Ctrl-C cancels. The second one ends the program.
pub(crate) fn listen() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "the person wants the end at once")]
    tokio::spawn(async move {
        twice(&asked, "stopping; once more to stop at once").await;
        std::process::exit(130);
    });
    stop
}

/// Cancels and says so at the first Ctrl-C; ready at the second.
pub(crate) async fn twice(stop: &CancellationToken, says: &str) {
    for is_first in [true, false] {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler Ctrl-C ends the program at once, as it does by default.
            std::future::pending::<()>().await;
        }
        if is_first {
            stop.cancel();
            terminal::say(says);
        }
    }
}
