//! The secrets that signatures are checked with, wherever they are kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::secret::{SecretError, SecretText};

use super::log;
use super::signature::{AuthenticationError, KeyRing, KeyRingFault, check_headers};

/// A secret that was taken out must stop to be valid within this time.
const CACHE_TTL: Duration = Duration::from_secs(300);

/// How long the last secrets stay valid while Secrets Manager is in trouble. Where it answers that there is no such
/// secret, or that we may not read it, they end at once: somebody may have taken them away.
const STALE_IF_ERROR: Duration = Duration::from_secs(3_600);

/// A signature that does not match may be one of a new secret, and anybody can send such signatures: no more often
/// than this is the secret read for one, and no more often again after it could not be read.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Why there are no secrets to check with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The secret cannot be read.
    #[error("the secret of INGEST_SECRET_ID cannot be read: {0}")]
    Secret(#[from] SecretError),
    /// The secret is something else.
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

/// The result of a check that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The request is not signed with one of the secrets.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// There are no secrets to check with at the moment.
    #[error(transparent)]
    Unavailable(#[from] KeysError),
}

/// Where the secrets are.
pub enum KeySource<S> {
    /// In the settings; they change with a deployment.
    Settings(KeyRing),
    /// Somewhere else; they may change at any time.
    Secret(S),
}

/// The secrets that signatures are checked with.
pub struct Keys<S> {
    source: Source<S>,
    clock: Arc<dyn Clock>,
}

enum Source<S> {
    Settings(Arc<KeyRing>),
    Secret {
        secret: S,
        known: Mutex<Known>,
        /// Held while somebody reads: the others wait for what comes of it.
        reading: tokio::sync::Mutex<()>,
    },
}

/// What the last reading brought.
#[derive(Default)]
struct Known {
    ring: Option<Arc<KeyRing>>,
    /// When `ring` was read.
    read_at: Option<Timestamp>,
    /// When reading failed last, if that was later, and how.
    failed: Option<(Timestamp, KeysError)>,
    /// When it was read last for a signature that did not match.
    last_mismatch_refresh: Option<Timestamp>,
}

impl<S: SecretText> Keys<S> {
    /// Keys from `source`.
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

    /// Reads the secret at start-up. What goes wrong here is tried again at the first request.
    pub async fn prepare(&self) {
        // Logged where it is read.
        let _ = self.ring().await;
    }

    /// What can be said against a request before its body is read.
    ///
    /// # Errors
    /// A header is missing, or its time is too far from now.
    pub fn check_headers(&self, headers: &HeaderMap) -> Result<(), AuthenticationError> {
        check_headers(headers, self.clock.now())
    }

    /// Looks whether a request is signed with one of the secrets.
    ///
    /// # Errors
    /// [`VerifyError`].
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

    /// The secrets, read anew when they are old.
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

    /// The secrets, read just now; `None` when that was done only moments ago.
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
        // Others may have read it for us while we waited.
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
