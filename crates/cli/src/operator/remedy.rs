//! The next step of an operator after a failed call of AWS.

use genesys_replay::aws::{AwsError, AwsErrorKind};

/// Returns one line that completes "hint: …".
pub const fn remedy(fault: AwsErrorKind) -> &'static str {
    match fault {
        AwsErrorKind::RegionNotConfigured => {
            "name the region: --region, AWS_REGION, or in the profile"
        }
        AwsErrorKind::Credentials => {
            "renew your AWS credentials (aws sso login, or --profile), then run the command again"
        }
        AwsErrorKind::WrongClock => {
            "set the clock of this computer (compare date -u with the real time), then run the command again"
        }
        AwsErrorKind::Denied => {
            "the credentials lack a permission: docs/OPERATOR.md lists the permissions of each command"
        }
        AwsErrorKind::NotFound => {
            "check its name (--queue, --function, IDEMPOTENCY_TABLE_NAME, ARCHIVE_BUCKET), --region and --profile"
        }
        AwsErrorKind::Throttled => "wait a little, then run the command again",
        AwsErrorKind::Unreachable => "check the network, --region and --endpoint-url",
        AwsErrorKind::Refused => "check the error of AWS, then run the command again",
    }
}

/// Returns an error with its remedy, in one line.
pub(crate) fn with_remedy(error: &AwsError) -> String {
    format!("{error}; {}", remedy(error.kind))
}
