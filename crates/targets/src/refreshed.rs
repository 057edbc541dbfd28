//! Values from outside that may change at any time, and the time for which they are cached.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::cached::Cached;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::target::DeliveryError;

/// The time for which a description is cached.
pub(crate) const DESCRIPTION_TTL: Duration = Duration::from_secs(300);

/// The minimum time between two reads after a failed read, or because the target refused the credentials.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// The reason for a value that cannot be read. Nothing was sent to the target.
#[derive(Clone, Debug)]
pub(crate) struct LoadError {
    pub(crate) code: FailureCode,
    pub(crate) disposition: Disposition,
    pub(crate) reason: String,
}

impl LoadError {
    /// Returns an error that an operator must repair.
    pub(crate) const fn misconfigured(reason: String) -> Self {
        Self { code: FailureCode::TargetMisconfigured, disposition: Disposition::Operator, reason }
    }
}

impl From<DeliveryError> for LoadError {
    /// A failed read is not the event's own answer, so it does not reject the event at once.
    fn from(error: DeliveryError) -> Self {
        match error.disposition {
            Disposition::Permanent => Self::misconfigured(error.reason),
            disposition @ (Disposition::Operator | Disposition::Transient { .. }) => {
                Self { code: error.code, disposition, reason: error.reason }
            }
        }
    }
}

impl From<LoadError> for DeliveryError {
    fn from(LoadError { code, disposition, reason }: LoadError) -> Self {
        Self { disposition, certainty: Certainty::NotSent, ..Self::never(code, reason) }
    }
}

/// A value as it was read.
pub(crate) struct Loaded<T> {
    pub(crate) value: Arc<T>,
    /// The digest of all texts that were read. Equal digests mean that nothing has changed.
    pub(crate) digest: String,
    at: Timestamp,
}

impl<T> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), digest: self.digest.clone(), at: self.at }
    }
}

#[derive(Clone)]
struct FailedLoad {
    error: LoadError,
    at: Timestamp,
}

/// A value that is read again when it is old, or when its target refused it.
pub(crate) struct Refreshed<T> {
    read: Cached<Loaded<T>, FailedLoad>,
    max_age: Duration,
    clock: Arc<dyn Clock>,
}

impl<T> Refreshed<T> {
    pub(crate) fn new(max_age: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { read: Cached::default(), max_age, clock }
    }

    /// Returns the value. `load` reads the value with the digest of its texts. During an outage of its source, the last
    /// value is used.
    ///
    /// # Errors
    /// The value cannot be read. For ten seconds, the error is returned without another read.
    pub(crate) async fn get(
        &self,
        load: impl Future<Output = Result<(T, String), LoadError>>,
    ) -> Result<Loaded<T>, DeliveryError> {
        let is_fresh = |read: &Loaded<T>| self.is_younger(read.at, self.max_age);
        match self
            .read
            .get_or_load(is_fresh, |failed| self.is_recent(failed), self.read(load))
            .await
        {
            Ok(read) => Ok(read),
            Err(FailedLoad { error, .. }) => {
                let last = self.read.value();
                let is_outage = matches!(error.disposition, Disposition::Transient { .. });
                last.filter(|_| is_outage).ok_or_else(|| error.into())
            }
        }
    }

    /// Reads the value again after its target refused it. Returns `None` if the value has not changed, if the last read was
    /// less than ten seconds ago, or if the read fails.
    pub(crate) async fn newer(
        &self,
        refused: &Loaded<T>,
        load: impl Future<Output = Result<(T, String), LoadError>>,
    ) -> Option<Loaded<T>> {
        let is_newer = |read: &Loaded<T>| {
            read.digest != refused.digest || self.is_younger(read.at, MIN_REFRESH_INTERVAL)
        };
        let read = self.read.get_or_load(is_newer, |it| self.is_recent(it), self.read(load)).await;
        read.ok().filter(|read| read.digest != refused.digest)
    }

    async fn read(
        &self,
        load: impl Future<Output = Result<(T, String), LoadError>>,
    ) -> Result<Loaded<T>, FailedLoad> {
        let loaded = load.await;
        let at = self.clock.now();
        match loaded {
            Ok((value, digest)) => Ok(Loaded { value: Arc::new(value), digest, at }),
            Err(error) => Err(FailedLoad { error, at }),
        }
    }

    fn is_recent(&self, failed: &FailedLoad) -> bool {
        self.is_younger(failed.at, MIN_REFRESH_INTERVAL)
    }

    fn is_younger(&self, at: Timestamp, age: Duration) -> bool {
        self.clock.now().since(at) < age
    }
}
