//! Names under which other programs know a setting. No program here reads them.

use super::Reader;

/// A variable that is not a setting, and the setting that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherName {
    /// The name of the variable.
    pub name: &'static str,
    /// The instruction that replaces it.
    pub remedy: &'static str,
}

/// The variables of the legacy sample API's programs.
pub const OTHER_NAMES: &[OtherName] = &[
    other("OAUTH_CLIENT_ID", "set GENESYS_CLIENT_ID or GENESYS_SECRET_ID"),
    other("OAUTH_CLIENT_SECRET", "set GENESYS_CLIENT_SECRET or GENESYS_SECRET_ID"),
    other("OAUTH_SECRET", "set GENESYS_CLIENT_SECRET or GENESYS_SECRET_ID"),
    other("GENESYS_BASE_URL", "set GENESYS_REGION: both hosts follow from it"),
    other("GENESYS_ENVIRONMENT", "set GENESYS_REGION to the same domain"),
    other("TOKEN_URL", "set GENESYS_REGION: the host of tokens follows from it"),
    other("TARGET_API_URL", "set REPLAY_TARGET"),
    other(
        "DLQ_QUEUE_URL",
        "the function drains the queue of its event source mapping; ingest and the command read REPLAY_QUEUE_URL",
    ),
    other(
        "SQS_MAIN_QUEUE_URL",
        "the function drains the queue of its event source mapping; ingest and the command read REPLAY_QUEUE_URL",
    ),
    other("SQS_DLQ_URL", "the parking queue is that of the queue's redrive policy"),
    other("DLQ_REGION", "set AWS_REGION"),
    other("S3_ARCHIVE_BUCKET", "set ARCHIVE_BUCKET"),
    other("IDEMPOTENCY_TABLE", "set IDEMPOTENCY_TABLE_NAME"),
    other(
        "GENESYS_SUBSCRIPTION_ID",
        "give it to the commands that need it: genesys-replay import --subscription, genesys-replay genesys replay --subscription",
    ),
];

const fn other(name: &'static str, remedy: &'static str) -> OtherName {
    OtherName { name, remedy }
}

/// Returns the variables that are set and are not settings. With `GENESYS_ORG_ID` as the only source of the hosts, this
/// setting is among them, because few organisations have the legacy sample API.
#[must_use]
pub fn in_use(reader: &Reader<'_>) -> Vec<OtherName> {
    let mut found: Vec<_> =
        OTHER_NAMES.iter().filter(|other| reader.text(other.name).is_some()).copied().collect();
    let is_set = |name: &&str| reader.text(name).is_some();
    let has_hosts = ["GENESYS_REGION", "GENESYS_API", "GENESYS_API_BASE_URL"].iter().any(is_set);
    if reader.text("GENESYS_ORG_ID").is_some() && !has_hosts {
        found.push(other(
            "GENESYS_ORG_ID",
            "selects the legacy sample API at https://<name>.mypurecloud.com; for the API of Genesys Cloud set GENESYS_REGION",
        ));
    }
    found
}
