//! A secret that authenticates deliveries.

use std::sync::Arc;
use std::time::Duration;

use genesys_replay::clock::Clock;
use genesys_replay::digest;
use genesys_replay::failure::{Disposition, FailureCode};
use genesys_replay::secret::SecretText;
use genesys_replay::target::DeliveryError;
use genesys_replay::text::without_bom;
use genesys_replay_aws::secrets_manager::SecretsManagerSecret;

use crate::refreshed::{LoadError, Loaded, Refreshed};

/// A secret is read once, and again only after a target refused it.
const SECRET_TTL: Duration = Duration::MAX;

/// The secret of `TARGET_SECRET_ID`, parsed to a `T`.
pub(super) struct StoredSecret<T> {
    secret: SecretsManagerSecret,
    parse: fn(&str) -> Result<T, String>,
    read: Refreshed<T>,
}

impl<T> StoredSecret<T> {
    pub(super) fn new(
        secret: SecretsManagerSecret,
        parse: fn(&str) -> Result<T, String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { secret, parse, read: Refreshed::new(SECRET_TTL, clock) }
    }

    pub(super) async fn get(&self) -> Result<Loaded<T>, DeliveryError> {
        self.read.get(Box::pin(self.load())).await
    }

    pub(super) async fn newer(&self, refused: &Loaded<T>) -> Option<Loaded<T>> {
        self.read.newer(refused, Box::pin(self.load())).await
    }

    async fn load(&self) -> Result<(T, String), LoadError> {
        let unusable = |reason: &str, disposition| LoadError {
            code: FailureCode::TargetCredentials,
            disposition,
            reason: format!("the secret of TARGET_SECRET_ID cannot be used: {reason}"),
        };
        let text = self.secret.read().await.map_err(|error| {
            let outage = Disposition::Transient { after: None };
            let disposition = if error.is_outage() { outage } else { Disposition::Operator };
            unusable(&error.to_string(), disposition)
        })?;
        let parsed = (self.parse)(without_bom(&text));
        let value = parsed.map_err(|fault| unusable(&fault, Disposition::Operator))?;
        Ok((value, digest::hexadecimal(&text)))
    }
}
