//! The consequences of a failure.

use std::time::Duration;

/// The condition for a successful further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Time alone may repair the failure; `after` is the minimum delay that the upstream asked for.
    Transient {
        /// The upstream's own `Retry-After`, if it sent one.
        after: Option<Duration>,
    },
    /// Another attempt at the same event fails the same way.
    Permanent,
    /// An operator must repair the cause, such as wrong credentials or a wrong region. The failure is not
    /// evidence against the event.
    Operator,
}

impl Disposition {
    /// Returns the name used in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::Permanent => "permanent",
            Self::Operator => "operator",
        }
    }
}

/// The certainty that the other side did not act on a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The request was never sent: the other side did not act.
    NotSent,
    /// The answer was lost: the other side may have acted.
    Unknown,
    /// The other side answered that it did not act.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disposition_has_its_name_in_log_lines() {
        let transient = Disposition::Transient { after: None };
        let names =
            [transient, Disposition::Permanent, Disposition::Operator].map(Disposition::as_str);
        assert_eq!(names, ["transient", "permanent", "operator"]);
    }
}
