//! The interruption of running steps by the deadline, a shutdown or a panic.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::invocation::InvocationContext;
use super::phase::{Interrupted, Interruption, Phase, Step};
use super::shutdown::SHUTDOWN_CLEANUP_TIME;
use super::{Ports, Replay};

impl<P: Ports> Replay<P> {
    /// Runs a step until it ends or is interrupted; `phase` returns the phase that an interruption leaves.
    pub(super) fn step<T>(
        &self,
        ctx: InvocationContext<'_>,
        phase: impl FnOnce() -> Phase,
        step: impl Future<Output = T>,
    ) -> impl Future<Output = Step<T>> {
        let ended = self.until_interrupted(ctx, step);
        async move { ended.await.map_err(|cause| Interrupted { phase: phase(), cause }) }
    }

    /// Runs a future until it ends, panics, or must stop for the deadline or a shutdown.
    pub(super) fn until_interrupted<T>(
        &self,
        ctx: InvocationContext<'_>,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Interruption>> {
        let mut future = isolated(future);
        async move {
            tokio::select! {
                // The future comes first: a future that has ended is not interrupted.
                biased;
                ended = &mut future => ended,
                interruption = self.interruption(ctx) => Err(interruption),
            }
        }
    }

    /// Runs a future that an interruption should not stop: it has until the clean-up deadline to end.
    pub(super) fn until_cleanup<T>(
        &self,
        ctx: InvocationContext<'_>,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Interruption>> {
        let mut future = isolated(future);
        async move {
            tokio::select! {
                biased;
                ended = &mut future => ended,
                interruption = self.interruption(ctx) => {
                    let ended = timeout_at(self.cleanup_deadline(ctx), future).await;
                    ended.unwrap_or(Err(interruption))
                }
            }
        }
    }

    /// Waits until running work must stop, and returns the cause.
    async fn interruption(&self, ctx: InvocationContext<'_>) -> Interruption {
        tokio::select! {
            // In a fixed order, because a simulated run must repeat exactly.
            biased;
            () = sleep_until(ctx.time.cut_off()) => Interruption::Deadline,
            () = self.shutdown.grace_expired() => Interruption::Shutdown,
        }
    }

    /// Returns the time by which all work except the answer must be done. After a shutdown was requested, this time
    /// is at most [`SHUTDOWN_CLEANUP_TIME`] from now.
    pub(super) fn cleanup_deadline(&self, ctx: InvocationContext<'_>) -> Instant {
        let end = ctx.time.cleanup_deadline();
        if self.shutdown.is_requested() {
            end.min(Instant::now() + SHUTDOWN_CLEANUP_TIME)
        } else {
            end
        }
    }
}

/// Catches the panic of a future. The future is on the heap, because the steps of a record together would be the
/// largest part of the stack.
pub(super) fn isolated<T>(
    future: impl Future<Output = T>,
) -> Pin<Box<impl Future<Output = Result<T, Interruption>>>> {
    let future = AssertUnwindSafe(future).catch_unwind();
    Box::pin(future.map(|ended| ended.map_err(|_panic| Interruption::Panic)))
}
