//! Faults that last for hours: an outage of the target, a wrong URL, denied access to interactions.

use std::time::Duration;

use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::replay::{Outcome, RecordResult};
use genesys_replay::target::DeliveryError;

use crate::faults::SimRng;

/// The lasting fault of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastingFault {
    None,
    /// The target responds with 503 only.
    Outage,
    /// The target's URL is wrong.
    WrongUrl,
    /// The access to all interactions except the last event's is denied.
    AccessDenied,
}

impl LastingFault {
    pub(crate) fn random(rng: &SimRng) -> Self {
        match rng.draw(|rng| rng.u8(0..20)) {
            0 => Self::Outage,
            1 => Self::WrongUrl,
            2 => Self::AccessDenied,
            _ => Self::None,
        }
    }

    /// Returns the duration of a lasting fault.
    pub(crate) fn duration(self, rng: &SimRng) -> Option<Duration> {
        // Longer than the former limit of ten receives, and shorter than MAX_RUN_TIME.
        let hours = |rng: &mut fastrand::Rng| Duration::from_secs(rng.u64(3_600..50_000));
        (self != Self::None).then(|| rng.draw(hours))
    }

    /// Returns the target's response to every delivery.
    pub(crate) fn target_response(self) -> Option<DeliveryError> {
        let (code, disposition) = match self {
            Self::Outage => {
                (FailureCode::TargetUnavailable, Disposition::Transient { after: None })
            }
            Self::WrongUrl => (FailureCode::TargetMisconfigured, Disposition::Operator),
            Self::None | Self::AccessDenied => return None,
        };
        Some(DeliveryError {
            code,
            disposition,
            certainty: Certainty::Refused,
            timed_out: false,
            locally_throttled: false,
            reason: "lasting fault".to_owned(),
            source: None,
        })
    }

    /// Returns the violation of a result that this fault must not cause.
    pub(crate) fn violation(self, result: &RecordResult) -> Option<&'static str> {
        let code = result.code();
        let is_archived = matches!(result.outcome, Outcome::Archived { .. });
        let reason = result.reason.as_deref().unwrap_or_default();
        match self {
            Self::None => None,
            Self::Outage => (is_archived && code == Some(FailureCode::Exhausted))
                .then_some("rejected in an outage that is shorter than its retry time"),
            Self::WrongUrl => (is_archived
                && matches!(
                    code,
                    Some(
                        FailureCode::Exhausted
                            | FailureCode::TargetMisconfigured
                            | FailureCode::TargetRefused
                    )
                ))
            .then_some("rejected for a wrong URL"),
            Self::AccessDenied => (code == Some(FailureCode::BreakerOpen)
                && reason.starts_with("Genesys Cloud"))
            .then_some("deferred because of another interaction"),
        }
    }
}
