//! The secrets for signatures, and their source.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use genesys_replay::cached::Cached;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::secret::{SecretError, SecretText};

use super::log;
use super::signature::{AuthenticationError, KeyRing, KeyRingFault, check_headers};

/// The time for which a secret is cached. A removed secret stops being valid within this time.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// The time for which the last secrets stay valid during an outage of Secrets Manager. If Secrets Manager answers
/// that the secret is missing or forbidden, the last secrets end at once, because an operator may have removed them.
const STALE_IF_ERROR: Duration = Duration::from_secs(3_600);

/// The minimum time between two reads because of a mismatch, or after a failed read. A mismatch may mean a new
/// secret, but anyone can send bad signatures.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// The reason for missing secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The secret cannot be read.
    #[error("the secret of INGEST_SECRET_ID cannot be read: {0}")]
    Secret(#[from] SecretError),
    /// The secret does not hold valid keys.
    #[error("the secret of INGEST_SECRET_ID cannot be used: {0}")]
    Malformed(#[from] KeyRingFault),
}

impl KeysError {
    fn is_outage(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_outage(),
            Self::Malformed(_) => false,
        }
    }
}

/// The result of a failed verification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The request is not signed with one of the secrets.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// The secrets are not available at the moment.
    #[error(transparent)]
    Unavailable(#[from] KeysError),
}

/// The source of the secrets.
pub enum KeySource<S> {
    /// The settings; these secrets change only with a deployment.
    Settings(KeyRing),
    /// A store outside; these secrets may change at any time.
    Secret(S),
}

/// The secrets for signatures.
pub struct Keys<S> {
    source: Source<S>,
    clock: Arc<dyn Clock>,
}

enum Source<S> {
    Settings(Arc<KeyRing>),
    Secret(StoredKeys<S>),
}

/// The keys of a secret that may change at any time.
struct StoredKeys<S> {
    secret: S,
    read: Cached<ReadKeys, FailedRead>,
    /// The time of the last read because of a mismatch.
    mismatch_read_at: Mutex<Option<Timestamp>>,
}

#[derive(Clone)]
struct ReadKeys {
    ring: Arc<KeyRing>,
    at: Timestamp,
}

#[derive(Clone)]
struct FailedRead {
    error: KeysError,
    at: Timestamp,
}

impl<S: SecretText> Keys<S> {
    /// Creates keys from `source`.
    #[must_use]
    pub fn new(source: KeySource<S>, clock: Arc<dyn Clock>) -> Self {
        let source = match source {
            KeySource::Settings(ring) => Source::Settings(Arc::new(ring)),
            KeySource::Secret(secret) => Source::Secret(StoredKeys {
                secret,
                read: Cached::default(),
                mismatch_read_at: Mutex::default(),
            }),
        };
        Self { source, clock }
    }

    /// Reads the secret at start-up. The first request repeats a read that failed here.
    pub async fn prepare(&self) {
        // A failed read is already logged.
        let _ = self.ring().await;
    }

    /// Checks the headers of a request before its body is read.
    ///
    /// # Errors
    /// A header is missing or malformed, or its time is too far from now.
    pub fn check_headers(&self, headers: &HeaderMap) -> Result<(), AuthenticationError> {
        check_headers(headers, self.clock.now())
    }

    /// Verifies that a request is signed with one of the secrets.
    ///
    /// # Errors
    /// [`VerifyError`]: the signature does not match, or the secrets are not available.
    pub async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), VerifyError> {
        let ring = self.ring().await?;
        let fault = match ring.verify(headers, body) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if fault == AuthenticationError::Mismatch
            && let Some(newer) = self.newer().await
        {
            return Ok(newer.verify(headers, body)?);
        }
        Err(fault.into())
    }

    /// Returns the secrets, read again if they are old. If they cannot be read, older ones are used for a while.
    async fn ring(&self) -> Result<Arc<KeyRing>, KeysError> {
        let stored = match &self.source {
            Source::Settings(ring) => return Ok(Arc::clone(ring)),
            Source::Secret(stored) => stored,
        };
        let is_fresh = |read: &ReadKeys| self.is_younger(read.at, CACHE_TTL);
        let is_recent = |failed: &FailedRead| self.is_younger(failed.at, MIN_REFRESH_INTERVAL);
        let read = self.read(stored);
        match stored.read.get_or_load(is_fresh, is_recent, read).await {
            Ok(read) => Ok(read.ring),
            Err(FailedRead { error, .. }) => {
                let is_usable = |read: &ReadKeys| self.is_younger(read.at, STALE_IF_ERROR);
                let stale = stored.read.value().filter(is_usable);
                stale.filter(|_| error.is_outage()).map(|read| read.ring).ok_or(error)
            }
        }
    }

    /// Returns the secrets, read again after a mismatch. Returns `None` if the last such read is too recent or the
    /// read fails.
    async fn newer(&self) -> Option<Arc<KeyRing>> {
        let Source::Secret(stored) = &self.source else {
            return None;
        };
        let asked_at = self.clock.now();
        let last = || *lock(&stored.mismatch_read_at);
        if last().is_some_and(|at| at < asked_at && self.is_younger(at, MIN_REFRESH_INTERVAL)) {
            return None;
        }
        // Another request may have read the secret during the wait.
        let is_newer = |_: &ReadKeys| last().is_some_and(|at| at >= asked_at);
        let read = async {
            let read = self.read(stored).await;
            *lock(&stored.mismatch_read_at) = Some(self.clock.now());
            read
        };
        let read = stored.read.get_or_load(is_newer, |_| false, read).await;
        Some(read.ok()?.ring)
    }

    async fn read(&self, stored: &StoredKeys<S>) -> Result<ReadKeys, FailedRead> {
        let parsed = match stored.secret.read().await {
            Ok(text) => KeyRing::parse(&text).map_err(KeysError::from),
            Err(error) => Err(error.into()),
        };
        let at = self.clock.now();
        match parsed {
            Ok(ring) => {
                log::secret_read(&ring);
                let ring = Arc::new(ring);
                Ok(ReadKeys { ring, at })
            }
            Err(error) => {
                log::secret_not_read(&error);
                if !error.is_outage() {
                    stored.read.clear();
                }
                Err(FailedRead { error, at })
            }
        }
    }

    fn is_younger(&self, at: Timestamp, age: Duration) -> bool {
        self.clock.now().since(at) < age
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
