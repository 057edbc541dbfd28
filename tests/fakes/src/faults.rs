//! The hook that injects faults into the calls of the fakes.

use std::future::{Future, ready};
use std::pin::Pin;

/// The future of a hook: it lets a call continue, or fails it. A caller that drops it cancels the call there.
pub type FaultHookFuture<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

/// The hook that every call of a fake runs before and after its effect. `E` is the port's error.
///
/// `call` is the name of the port's method.
pub trait Faults<E: Send + 'static>: Send + Sync {
    /// Runs before the effect. An error means that the call had no effect.
    fn before(&self, call: &'static str) -> FaultHookFuture<'_, E> {
        let _ = call;
        Box::pin(ready(Ok(())))
    }

    /// Runs after the effect. An error replaces the result of the call.
    fn after(&self, call: &'static str) -> FaultHookFuture<'_, E> {
        let _ = call;
        Box::pin(ready(Ok(())))
    }
}

/// A hook without faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl<E: Send + 'static> Faults<E> for NoFaults {}

/// Runs the effect between the two hooks. The effect is atomic.
pub(crate) async fn pass<T, E: Send + 'static>(
    faults: &dyn Faults<E>,
    call: &'static str,
    act: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E>
where
    T: Send,
{
    faults.before(call).await?;
    let answer = act();
    faults.after(call).await?;
    answer
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use futures_util::FutureExt;

    use super::*;

    /// A hook that waits forever before or after the effect.
    struct PendingHook {
        before: bool,
    }

    impl PendingHook {
        fn pass(visibility_timeouts: bool) -> FaultHookFuture<'static, ()> {
            if visibility_timeouts { Box::pin(pending()) } else { Box::pin(ready(Ok(()))) }
        }
    }

    impl Faults<()> for PendingHook {
        fn before(&self, _: &'static str) -> FaultHookFuture<'_, ()> {
            Self::pass(self.before)
        }

        fn after(&self, _: &'static str) -> FaultHookFuture<'_, ()> {
            Self::pass(!self.before)
        }
    }

    #[test]
    fn fault_hook_stops_the_effect_only_when_dropped_before_it() {
        for (before, acts) in [(true, 0), (false, 1)] {
            let acted = Mutex::new(0);
            let hook = PendingHook { before };
            let call = pass(&hook, "call", || {
                *crate::lock(&acted) += 1;
                Ok(())
            });
            assert_eq!(call.now_or_never(), None, "the hook waits");
            assert_eq!(*crate::lock(&acted), acts);
        }
    }
}
