//! The size limits of services, checked before the call because the answers of services do not name the limit.

use genesys_replay::failure::FailureCode;
use genesys_replay::target::DeliveryError;

/// Checks that a payload fits into a service.
///
/// # Errors
/// A permanent failure with the code `PAYLOAD_TOO_LARGE`. Nothing was sent.
pub(super) fn check(service: &str, bytes: usize, max_bytes: usize) -> Result<(), DeliveryError> {
    if bytes <= max_bytes {
        return Ok(());
    }
    let reason = format!("the payload has {bytes} bytes, and {service} accepts {max_bytes}");
    Err(DeliveryError::never(FailureCode::PayloadTooLarge, reason))
}
