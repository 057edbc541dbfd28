//! Failed calls of AWS, for an operator.

use std::fmt;

/// The kind of a failure. `crates/aws` decides it, where the SDK's error is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// It is not known which region is meant.
    RegionNotConfigured,
    /// There are no credentials, or AWS does not believe them (any more).
    Credentials,
    /// The credentials lack a permission.
    Denied,
    /// What was asked for does not exist.
    NotFound,
    /// AWS asked to slow down, and the SDK's own retries were used up.
    Throttled,
    /// No answer came.
    Unreachable,
    /// AWS refused for another reason.
    Refused,
}

/// A call of AWS that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}{}", .detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct AwsError {
    /// What was being done, such as `reading the queue`.
    pub operation: String,
    /// What kind of failure it was.
    pub kind: AwsErrorKind,
    /// AWS' own code, or what was seen of the connection.
    pub detail: Option<String>,
}

impl AwsErrorKind {
    /// Whether it may be a matter of the one thing that was asked for, so that others can be had.
    #[must_use]
    pub const fn is_item_specific(self) -> bool {
        match self {
            Self::Denied | Self::NotFound | Self::Refused => true,
            Self::RegionNotConfigured | Self::Credentials | Self::Throttled | Self::Unreachable => {
                false
            }
        }
    }
}

impl fmt::Display for AwsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegionNotConfigured => "no region is set",
            Self::Credentials => "AWS does not accept the credentials",
            Self::Denied => "AWS denies the permission",
            Self::NotFound => "AWS does not know it",
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
        self.detail.clone().unwrap_or_else(|| self.kind.to_string())
    }

    /// An answer of AWS that lacks what it always has.
    #[must_use]
    pub fn incomplete(operation: impl Into<String>, missing: &str) -> Self {
        Self {
            operation: operation.into(),
            kind: AwsErrorKind::Refused,
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
            operation: "reading the queue".to_owned(),
            kind: AwsErrorKind::Credentials,
            detail: Some("ExpiredToken".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "reading the queue: AWS does not accept the credentials (ExpiredToken)"
        );
    }
}
