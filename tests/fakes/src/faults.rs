//! The hook through which calls of the fakes go wrong.

use std::future::{Future, ready};
use std::pin::Pin;

/// Lets a call pass, or fails it. It may wait, and whoever drops it there has died there.
pub type Passage<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

/// Asked by every call of a fake, once on either side of its effect; `E` is the port's error.
///
/// `call` is the name of the port's method.
pub trait Faults<E: Send + 'static>: Send + Sync {
    /// Before anything has happened: an error here means that the call did not act.
    fn before(&self, call: &'static str) -> Passage<'_, E> {
        let _ = call;
        Box::pin(ready(Ok(())))
    }

    /// After the call has acted: an error here takes its answer's place.
    fn after(&self, call: &'static str) -> Passage<'_, E> {
        let _ = call;
        Box::pin(ready(Ok(())))
    }
}

/// Nothing goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl<E: Send + 'static> Faults<E> for NoFaults {}

/// Acts between the two questions. What it does is done at once: nobody sees half of it.
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

    /// Waits for ever on one side of the effect.
    struct Waits {
        before: bool,
    }

    impl Waits {
        fn pass(waits: bool) -> Passage<'static, ()> {
            if waits {
                Box::pin(pending())
            } else {
                Box::pin(ready(Ok(())))
            }
        }
    }

    impl Faults<()> for Waits {
        fn before(&self, _: &'static str) -> Passage<'_, ()> {
            Self::pass(self.before)
        }

        fn after(&self, _: &'static str) -> Passage<'_, ()> {
            Self::pass(!self.before)
        }
    }

    #[test]
    fn fault_hook_stops_the_effect_only_when_dropped_before_it() {
        for (before, acts) in [(true, 0), (false, 1)] {
            let acted = Mutex::new(0);
            let waits = Waits { before };
            let call = pass(&waits, "call", || {
                *crate::lock(&acted) += 1;
                Ok(())
            });
            assert_eq!(call.now_or_never(), None, "it waits");
            assert_eq!(*crate::lock(&acted), acts);
        }
    }
}
