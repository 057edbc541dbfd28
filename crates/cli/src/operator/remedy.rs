//! The next step of an operator after a failed call of AWS.

use genesys_replay::aws::AwsFault;

/// Returns one line that completes "what to do: …".
#[must_use]
pub const fn remedy(fault: AwsFault) -> &'static str {
    match fault {
        AwsFault::Region => "name it: --region, AWS_REGION, or in the profile",
        AwsFault::Credentials => {
            "renew your AWS credentials (aws sso login, or --profile), then run the command again"
        }
        AwsFault::Denied => {
            "the credentials lack a permission: docs/OPERATOR.md lists what each command needs"
        }
        AwsFault::Missing => {
            "check its name (--queue, --function, IDEMPOTENCY_TABLE_NAME, ARCHIVE_BUCKET), --region and --profile"
        }
        AwsFault::Throttled => "wait a little, then run the command again",
        AwsFault::Unreachable => "check the network, --region and --endpoint-url",
        AwsFault::Refused => "see what AWS said; the command can be run again",
    }
}
