//! Failed AWS calls, for an operator.

use std::fmt;

/// The kind of a failure. `crates/aws` derives it from the SDK's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// The region is not known.
    RegionNotConfigured,
    /// Credentials are missing, or AWS rejects them (for example because they expired).
    Credentials,
    /// AWS rejects the time of the request's signature: a clock is wrong.
    WrongClock,
    /// The credentials lack a permission.
    Denied,
    /// The requested resource does not exist.
    NotFound,
    /// AWS throttled the call, and the SDK's own retries were used up.
    Throttled,
    /// The call got no answer.
    Unreachable,
    /// AWS refused the call for another reason.
    Refused,
}

/// A failed AWS call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}{}", .detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
pub struct AwsError {
    /// The operation, such as `reading the queue`.
    pub operation: String,
    /// The kind of the failure.
    pub kind: AwsErrorKind,
    /// AWS's own error code, or the observed connection problem.
    pub detail: Option<String>,
}

impl AwsErrorKind {
    /// Returns true if the failure may concern only the requested resource, so that requests for others may
    /// succeed.
    #[must_use]
    pub const fn is_item_specific(self) -> bool {
        match self {
            Self::Denied | Self::NotFound | Self::Refused => true,
            Self::RegionNotConfigured
            | Self::Credentials
            | Self::WrongClock
            | Self::Throttled
            | Self::Unreachable => false,
        }
    }
}

impl fmt::Display for AwsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegionNotConfigured => "no region is set",
            Self::Credentials => "AWS does not accept the credentials",
            Self::WrongClock => "AWS does not accept the time of this computer",
            Self::Denied => "AWS denies the permission",
            Self::NotFound => "the resource does not exist",
            Self::Throttled => "AWS throttled the call",
            Self::Unreachable => "AWS was not reached",
            Self::Refused => "AWS refused",
        })
    }
}

impl AwsError {
    /// Returns the reason of the failure, without the operation.
    #[must_use]
    pub fn why(&self) -> String {
        self.detail.clone().unwrap_or_else(|| self.kind.to_string())
    }

    /// Returns the error for an AWS answer without a member that AWS always sends.
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
    fn aws_error_names_operation_and_kind() {
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
