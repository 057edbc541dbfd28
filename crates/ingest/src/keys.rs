//! The secrets for signatures, and their source.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
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
    Secret {
        secret: S,
        known: Mutex<Known>,
        /// Held during a read, so that concurrent requests share its result.
        reading: tokio::sync::Mutex<()>,
    },
}

/// The result of the last read.
#[derive(Default)]
struct Known {
    ring: Option<Arc<KeyRing>>,
    /// The time at which `ring` was read.
    read_at: Option<Timestamp>,
    /// The time and the error of the last read, if it failed.
    failed: Option<(Timestamp, KeysError)>,
    /// The time of the last read because of a mismatch.
    last_mismatch_refresh: Option<Timestamp>,
}

impl<S: SecretText> Keys<S> {
    /// Creates keys from `source`.
    #[must_use]
    pub fn new(source: KeySource<S>, clock: Arc<dyn Clock>) -> Self {
        let source = match source {
            KeySource::Settings(ring) => Source::Settings(Arc::new(ring)),
            KeySource::Secret(secret) => Source::Secret {
                secret,
                known: Mutex::default(),
                reading: tokio::sync::Mutex::default(),
            },
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

    /// Returns the secrets, read again if they are old.
    async fn ring(&self) -> Result<Arc<KeyRing>, KeysError> {
        let (secret, known, reading) = match &self.source {
            Source::Settings(ring) => return Ok(Arc::clone(ring)),
            Source::Secret {
                secret,
                known,
                reading,
            } => (secret, known, reading),
        };
        if let Some(ring) = self.fresh(known) {
            return Ok(ring);
        }
        let _reading = reading.lock().await;
        if let Some(ring) = self.fresh(known) {
            return Ok(ring);
        }
        let recent = lock(known).failed.clone();
        let recent = recent.filter(|(at, _)| self.is_recent(*at));
        let failed = match recent {
            Some((_, error)) => Some(error),
            None => self.read(secret, known).await.err(),
        };
        let known = lock(known);
        match (&known.ring, failed) {
            (Some(ring), None) => Ok(Arc::clone(ring)),
            (Some(ring), Some(error))
                if error.is_outage() && self.is_younger(&known, STALE_IF_ERROR) =>
            {
                Ok(Arc::clone(ring))
            }
            (_, Some(error)) => Err(error),
            (None, None) => Err(SecretError::Unreachable.into()),
        }
    }

    /// Returns the secrets, read again after a mismatch. Returns `None` if the last such read is too recent or the
    /// read fails.
    async fn newer(&self) -> Option<Arc<KeyRing>> {
        let Source::Secret {
            secret,
            known,
            reading,
        } = &self.source
        else {
            return None;
        };
        let asked_at = self.clock.now();
        let _reading = reading.lock().await;
        let last_mismatch_refresh = lock(known).last_mismatch_refresh;
        // Another request may have read the secret during this wait.
        if last_mismatch_refresh.is_none_or(|at| at < asked_at) {
            if last_mismatch_refresh.is_some_and(|at| self.is_recent(at)) {
                return None;
            }
            let read = self.read(secret, known).await;
            lock(known).last_mismatch_refresh = Some(self.clock.now());
            read.ok()?;
        }
        lock(known).ring.clone()
    }

    async fn read(&self, secret: &S, known: &Mutex<Known>) -> Result<(), KeysError> {
        let read = match secret.read().await {
            Ok(text) => KeyRing::parse(&text).map_err(KeysError::from),
            Err(error) => Err(error.into()),
        };
        let now = self.clock.now();
        let mut known = lock(known);
        match read {
            Ok(ring) => {
                log::secret_read(&ring);
                known.ring = Some(Arc::new(ring));
                known.read_at = Some(now);
                known.failed = None;
                Ok(())
            }
            Err(error) => {
                log::secret_not_read(&error);
                if !error.is_outage() {
                    known.ring = None;
                }
                known.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    fn fresh(&self, known: &Mutex<Known>) -> Option<Arc<KeyRing>> {
        let known = lock(known);
        known
            .ring
            .clone()
            .filter(|_| self.is_younger(&known, CACHE_TTL))
    }

    fn is_younger(&self, known: &Known, age: Duration) -> bool {
        known
            .read_at
            .is_some_and(|at| self.clock.now().since(at) < age)
    }

    fn is_recent(&self, at: Timestamp) -> bool {
        self.clock.now().since(at) < MIN_REFRESH_INTERVAL
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
