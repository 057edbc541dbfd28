//! What a failure of AWS means to the person who runs a command.

use std::fmt;

/// What kind of failure it was; decided here, where the SDK's own error is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsFault {
    /// It is not known which region is meant.
    Region,
    /// There are no credentials, or AWS does not believe them (any more).
    Credentials,
    /// The credentials lack a permission.
    Denied,
    /// What was asked for does not exist.
    Missing,
    /// AWS asked to slow down, and the SDK's own retries were used up.
    Throttled,
    /// No answer came.
    Unreachable,
    /// AWS refused for another reason.
    Refused,
}

/// A call of AWS that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {fault}{}", .detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct AwsError {
    /// What was being done, such as `reading the queue`.
    pub doing: String,
    /// What kind of failure it was.
    pub fault: AwsFault,
    /// AWS' own code, or what was seen of the connection.
    pub detail: Option<String>,
}

impl AwsFault {
    /// Whether it may be a matter of the one thing that was asked for, so that others can be had.
    #[must_use]
    pub const fn is_of_one(self) -> bool {
        match self {
            Self::Denied | Self::Missing | Self::Refused => true,
            Self::Region | Self::Credentials | Self::Throttled | Self::Unreachable => false,
        }
    }
}

impl fmt::Display for AwsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Region => "no region is set",
            Self::Credentials => "AWS does not accept the credentials",
            Self::Denied => "AWS denies the permission",
            Self::Missing => "AWS does not know it",
            Self::Throttled => "AWS asks to slow down",
            Self::Unreachable => "AWS was not reached",
            Self::Refused => "AWS refused",
        })
    }
}

impl AwsError {
    /// Why it failed, without what was being done.
    #[must_use]
    pub fn why(&self) -> String {
        self.detail
            .clone()
            .unwrap_or_else(|| self.fault.to_string())
    }

    /// An answer of AWS that lacks what it always has.
    #[must_use]
    pub fn incomplete(doing: impl Into<String>, missing: &str) -> Self {
        Self {
            doing: doing.into(),
            fault: AwsFault::Refused,
            detail: Some(format!("the answer has no {missing}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_done_and_what_failed() {
        let error = AwsError {
            doing: "reading the queue".to_owned(),
            fault: AwsFault::Credentials,
            detail: Some("ExpiredToken".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "reading the queue: AWS does not accept the credentials (ExpiredToken)"
        );
    }
}
