//! Troubles that last: an outage longer than a handful of receives, a wrong address, a division without permission.

use std::time::Duration;

use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::replay::{Outcome, RecordResult};
use genesys_replay::target::DeliveryError;

use crate::chance::Chance;

/// The trouble of one story, until the world has healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// None that lasts.
    None,
    /// The target answers nothing but 503, for hours.
    Outage,
    /// The target's address is wrong.
    WrongAddress,
    /// The client may not access the interactions of all events but the last one.
    Division,
}

impl Trouble {
    pub(crate) fn drawn(chance: &Chance) -> Self {
        match chance.draw(|rng| rng.u8(0..20)) {
            0 => Self::Outage,
            1 => Self::WrongAddress,
            2 => Self::Division,
            _ => Self::None,
        }
    }

    /// How long it lasts, if it is not for the story to say.
    pub(crate) fn lasts(self, chance: &Chance) -> Option<Duration> {
        // Longer than the ten receives that once were the limit, and shorter than the patience of a worker.
        let hours = |rng: &mut fastrand::Rng| Duration::from_secs(rng.u64(3_600..50_000));
        (self != Self::None).then(|| chance.draw(hours))
    }

    /// The answer of the target to every delivery.
    pub(crate) fn target_answer(self) -> Option<DeliveryError> {
        let (code, disposition) = match self {
            Self::Outage => (
                FailureCode::TargetUnavailable,
                Disposition::Transient { after: None },
            ),
            Self::WrongAddress => (FailureCode::TargetMisconfigured, Disposition::Operator),
            Self::None | Self::Division => return None,
        };
        Some(DeliveryError {
            code,
            disposition,
            certainty: Certainty::Refused,
            timed_out: false,
            reason: "as long as it lasts".to_owned(),
            source: None,
        })
    }

    /// What must not become of a message in this trouble.
    pub(crate) fn violation(self, result: &RecordResult) -> Option<&'static str> {
        let code = result.code();
        let is_archived = matches!(result.outcome, Outcome::Archived { .. });
        let reason = result.reason.as_deref().unwrap_or_default();
        match self {
            Self::None => None,
            Self::Outage => (is_archived && code == Some(FailureCode::Exhausted))
                .then_some("given up in an outage that is shorter than the time of its retries"),
            Self::WrongAddress => (is_archived
                && matches!(
                    code,
                    Some(
                        FailureCode::Exhausted
                            | FailureCode::TargetMisconfigured
                            | FailureCode::TargetRefused
                    )
                ))
            .then_some("given up for a wrong address"),
            Self::Division => (code == Some(FailureCode::BreakerOpen)
                && reason.starts_with("Genesys Cloud"))
            .then_some("held back because of another interaction"),
        }
    }
}
