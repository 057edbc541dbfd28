//! Converts the meaning of an answer to a failure.

use std::time::Duration;

use genesys_replay::failure::answers::Meaning;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};

/// Returns the failure code, the disposition and the certainty of a target's answer; `after` is its
/// `Retry-After`.
pub(crate) const fn classify(
    meaning: Meaning,
    after: Option<Duration>,
) -> (FailureCode, Disposition, Certainty) {
    let transient = Disposition::Transient { after };
    let (code, disposition) = match meaning {
        Meaning::RateLimited => (FailureCode::TargetRateLimited, transient),
        Meaning::Unavailable | Meaning::AnswerLost | Meaning::Conflict => {
            (FailureCode::TargetUnavailable, transient)
        }
        Meaning::Credentials => (FailureCode::TargetCredentials, Disposition::Operator),
        Meaning::Misconfigured | Meaning::Missing => {
            (FailureCode::TargetMisconfigured, Disposition::Operator)
        }
        Meaning::Refused => (FailureCode::TargetRefused, Disposition::Permanent),
    };
    let certainty = match meaning {
        Meaning::AnswerLost => Certainty::Unknown,
        Meaning::RateLimited
        | Meaning::Unavailable
        | Meaning::Conflict
        | Meaning::Credentials
        | Meaning::Misconfigured
        | Meaning::Missing
        | Meaning::Refused => Certainty::Refused,
    };
    (code, disposition, certainty)
}

/// Returns the hint for the operator in an error message.
pub(crate) fn question(code: FailureCode) -> &'static str {
    if code == FailureCode::TargetCredentials {
        ": wrong region or credentials?"
    } else if code == FailureCode::TargetMisconfigured {
        ": wrong address, or missing or disabled?"
    } else {
        ""
    }
}
