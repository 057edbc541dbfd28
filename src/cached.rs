//! A cached value that one caller at a time loads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value that is loaded on demand and shared by all callers.
///
/// One caller loads, the others wait and share its result: also its error, because their own load would only fail
/// again. A load whose caller is dropped changes nothing, and the next caller loads.
#[derive(Debug)]
pub struct Cached<T, E> {
    value: Mutex<Option<T>>,
    /// Held by the caller that loads. Contains the error of the last load.
    loading: tokio::sync::Mutex<Option<E>>,
    /// The number of loads that have ended.
    loads: AtomicU64,
}

impl<T, E> Default for Cached<T, E> {
    fn default() -> Self {
        Self {
            value: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            loads: AtomicU64::new(0),
        }
    }
}

impl<T: Clone, E: Clone> Cached<T, E> {
    /// Returns the value of the last successful load; `None` before it.
    pub fn value(&self) -> Option<T> {
        self.slot().clone()
    }

    /// Forgets the value.
    pub fn clear(&self) {
        *self.slot() = None;
    }

    /// Returns the value if it is usable, and otherwise the result of `load`. `load` is awaited only if this caller is
    /// the one that loads. The error of the last load is returned instead if `is_recent` accepts it.
    ///
    /// # Errors
    /// The error of the load. The earlier value stays.
    pub async fn get_or_load(
        &self,
        is_usable: impl Fn(&T) -> bool,
        is_recent: impl Fn(&E) -> bool,
        load: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let usable = || self.slot().as_ref().filter(|value| is_usable(value)).cloned();
        let loads_before = self.loads.load(Ordering::Acquire);
        if let Some(value) = usable() {
            return Ok(value);
        }
        let mut last_error = self.loading.lock().await;
        if let Some(value) = usable() {
            return Ok(value);
        }
        let has_waited = self.loads.load(Ordering::Acquire) > loads_before;
        if let Some(error) = &*last_error
            && (has_waited || is_recent(error))
        {
            return Err(error.clone());
        }
        let loaded = load.await;
        *last_error = loaded.as_ref().err().cloned();
        if let Ok(value) = &loaded {
            *self.slot() = Some(value.clone());
        }
        self.loads.fetch_add(1, Ordering::Release);
        loaded
    }

    fn slot(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::FutureExt;
    use futures_util::future::join3;
    use tokio::task::yield_now;

    use super::*;

    type Loads = AtomicU32;

    /// Loads the number of the load; an even number is an error.
    async fn load(loads: &Loads) -> Result<u32, u32> {
        yield_now().await;
        let number = loads.fetch_add(1, Ordering::Relaxed) + 1;
        if number.is_multiple_of(2) { Err(number) } else { Ok(number) }
    }

    #[tokio::test]
    async fn cached_value_is_loaded_once_for_concurrent_callers() {
        let (cached, loads) = (Cached::default(), Loads::new(0));
        let get = || cached.get_or_load(|_| true, |_| false, load(&loads));
        assert_eq!(join3(get(), get(), get()).await, (Ok(1), Ok(1), Ok(1)));
        assert_eq!(get().await, Ok(1));
        cached.clear();
        assert_eq!(get().await, Err(2));
    }

    #[tokio::test]
    async fn cached_error_is_shared_by_callers_that_waited() {
        let (cached, loads) = (Cached::default(), Loads::new(1));
        let get = || cached.get_or_load(|_| true, |_| false, load(&loads));
        assert_eq!(join3(get(), get(), get()).await, (Err(2), Err(2), Err(2)));
        assert_eq!(get().await, Ok(3), "a later caller loads");
    }

    #[tokio::test]
    async fn cached_value_stays_when_a_later_load_fails() {
        let (cached, loads) = (Cached::default(), Loads::new(0));
        let newer = |than: u32| move |value: &u32| *value > than;
        let get =
            |than, recent: bool| cached.get_or_load(newer(than), move |_| recent, load(&loads));
        assert_eq!(get(0, false).await, Ok(1));
        assert_eq!(get(1, false).await, Err(2));
        assert_eq!(cached.value(), Some(1));
        assert_eq!(get(1, true).await, Err(2), "a recent error is not repeated");
        assert_eq!(get(1, false).await, Ok(3));
        assert_eq!(cached.value(), Some(3));
    }

    #[tokio::test]
    async fn cached_value_is_loaded_by_the_next_caller_when_a_load_is_dropped() {
        let (cached, loads) = (Cached::default(), Loads::new(0));
        let get = || cached.get_or_load(|_| true, |_| false, load(&loads));
        assert_eq!(get().now_or_never(), None);
        assert_eq!(get().await, Ok(1));
    }
}
