//! The log lines about the secrets for signatures.

use super::signature::KeyRing;

/// Logs that the secrets for signatures were read, and warns of a short one.
pub(super) fn secret_read(ring: &KeyRing) {
    tracing::info!("secret for signatures read");
    warn_of_short(ring);
}

/// Logs that the secrets for signatures were not read; earlier secrets may stay valid.
pub(super) fn secret_not_read(error: &dyn std::error::Error) {
    tracing::error!(%error, "secret for signatures not read");
}

/// Warns of a secret that is shorter than Standard Webhooks recommends.
pub(crate) fn warn_of_short(ring: &KeyRing) {
    if ring.has_short() {
        tracing::warn!(
            "a secret for signatures is shorter than 24 bytes, so it is easier to guess"
        );
    }
}
