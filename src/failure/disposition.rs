//! What a failure asks for.

use std::time::Duration;

/// What has to happen before another attempt can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Time alone may repair it; `after` is the least wait that the upstream asked for.
    Transient {
        /// The upstream's own `Retry-After`, if it sent one.
        after: Option<Duration>,
    },
    /// Another attempt at the same event fails the same way.
    Permanent,
    /// Ours to repair (wrong credentials, wrong region): says nothing about the event.
    Operator,
}

impl Disposition {
    /// The name used in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::Permanent => "permanent",
            Self::Operator => "operator",
        }
    }
}

/// Whether the other side may have acted on a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The request never left: nothing can have happened.
    NotSent,
    /// The answer was lost: it may have happened.
    Unknown,
    /// The other side answered that it did not act.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_name_in_log_lines() {
        let transient = Disposition::Transient { after: None };
        let names =
            [transient, Disposition::Permanent, Disposition::Operator].map(Disposition::as_str);
        assert_eq!(names, ["transient", "permanent", "operator"]);
    }
}
