//! The settings of the replay function, and the parts that all programs share.

pub mod genesys;
pub mod other_names;
mod reader;
mod target_auth;

use std::time::Duration;

use genesys_replay::backoff::Backoff;
use genesys_replay::destination::address::{AddressPolicy, names_refused};
use genesys_replay::destination::{
    AllowedTargets, Arn, Destination, MAX_TARGET_BYTES, OriginalTargets, Redirect, Redirects,
    ReplayTarget,
};
use genesys_replay::replay::Limits;
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_telemetry::LogLevel;
use url::Url;

use other_names::OtherName;
pub use reader::Reader;
pub use target_auth::TargetAuth;

/// Every variable that the replay function reads.
pub const VARIABLES: &[&str] = &[
    "ALLOWED_TARGETS",
    "ALLOW_LINK_LOCAL_TARGETS",
    "ARCHIVE_BUCKET",
    "ARCHIVE_PREFIX",
    "AWS_LAMBDA_LOG_LEVEL",
    "BACKOFF_BASE_SECONDS",
    "BACKOFF_MAX_SECONDS",
    "GENESYS_API",
    "GENESYS_API_BASE_URL",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
    "GENESYS_LOGIN_BASE_URL",
    "GENESYS_ORG_ID",
    "GENESYS_REGION",
    "GENESYS_SECRET_ID",
    "IDEMPOTENCY_TABLE_NAME",
    "IDEMPOTENCY_TTL_DAYS",
    "MAX_ATTEMPTS",
    "MAX_CONCURRENCY",
    "MAX_RECEIVES",
    "MAX_ROUNDS",
    "MAX_WAIT_SECONDS",
    "REPLAY_MALFORMED",
    "REPLAY_PERMANENT",
    "REPLAY_TARGET",
    "RETRY_FOR_HOURS",
    "RETRY_STATE",
    "STALE_AFTER_SECONDS",
    "TARGET_AUTH",
    "TARGET_REDIRECTS",
    "TARGET_SECRET_ID",
    "TARGET_TIMEOUT_SECONDS",
];

/// Every variable that ingest reads.
pub const INGEST_VARIABLES: &[&str] = &[
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_LAMBDA_RUNTIME_API",
    "GENESYS_API",
    "GENESYS_API_BASE_URL",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
    "GENESYS_LOGIN_BASE_URL",
    "GENESYS_ORG_ID",
    "GENESYS_REGION",
    "GENESYS_SECRET_ID",
    "INGEST_AUTH",
    "INGEST_BASE_PATH",
    "INGEST_SECRET",
    "INGEST_SECRET_ID",
    "LISTEN_ADDR",
    "MAX_BODY_BYTES",
    "REPLAY_QUEUE_URL",
    "SUBSCRIPTION_CHECK",
];

/// The variables that make `reqwest` use a proxy.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// All settings of the replay function.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The setting for retry statuses in Genesys Cloud.
    pub retry_state: RetryStateSetting,
    /// The `DynamoDB` table of the ledger.
    pub table: String,
    /// The retention of finished ledger items.
    pub remember: Duration,
    /// The target of replayed events.
    pub target: ReplayTarget,
    /// The authentication of deliveries over HTTP.
    pub target_auth: TargetAuth,
    /// The addresses that HTTP targets may have.
    pub reach: AddressPolicy,
    /// The archive of rejected dead letters.
    pub archive: Option<ArchiveSettings>,
    /// The limits of retries.
    pub limits: Limits,
    /// The time limit of one delivery.
    pub target_timeout: Duration,
    /// The maximum number of records of a batch in flight.
    pub max_concurrency: usize,
    /// The former names of settings that are in use.
    pub former_names: Vec<FormerName>,
    /// The variables in use that are not settings.
    pub other_names: Vec<OtherName>,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
}

/// A bucket and a prefix in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The bucket.
    pub bucket: String,
    /// The prefix of every object key.
    pub prefix: String,
}

/// The setting `RETRY_STATE`.
#[derive(Clone, Debug)]
pub enum RetryStateSetting {
    /// Every interaction is marked. If marking fails, the event is not replayed.
    Required(GenesysSettings),
    /// Interactions are marked if possible.
    BestEffort(GenesysSettings),
    /// Genesys Cloud is not called.
    Off,
}

/// All problems of the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings cannot be used: {}", .problems.join("; "))]
pub struct SettingsError {
    /// The problems, each one sentence that names its variable.
    pub problems: Vec<String>,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// Lists every missing or wrong setting; the function must not start.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads settings from `lookup`; an empty value counts as not set.
    ///
    /// # Errors
    /// Lists every missing or wrong setting.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(&lookup);
        let retry_state = retry_state(&mut reader);
        let target = target(&mut reader);
        let target_auth = target_auth::read(&mut reader, &target);
        let settings = Self {
            retry_state,
            table: table(&mut reader),
            remember: remember(&mut reader),
            target,
            target_auth,
            reach: reader.choice(
                "ALLOW_LINK_LOCAL_TARGETS",
                AddressPolicy::BlockLinkLocal,
                &[("true", AddressPolicy::AllowAll), ("false", AddressPolicy::BlockLinkLocal)],
            ),
            archive: archive(&mut reader),
            limits: limits(&mut reader),
            target_timeout: reader.seconds("TARGET_TIMEOUT_SECONDS", 10, 1..=900),
            former_names: former_names(&reader),
            other_names: other_names::in_use(&reader),
            max_concurrency: usize::try_from(reader.number("MAX_CONCURRENCY", 10, 1..=1_000))
                .unwrap_or(1),
            log_level: log_level(&mut reader),
        };
        reader.finish(settings)
    }
}

impl Settings {
    /// Returns the settings whose URLs are plain `http://`.
    #[must_use]
    pub fn unencrypted(&self) -> Vec<&'static str> {
        let genesys = self.retry_state.genesys();
        let target = match &self.target {
            ReplayTarget::Fixed(Destination::Http(url)) => Some(url),
            ReplayTarget::Fixed(_) | ReplayTarget::Original(_) => None,
        };
        unencrypted(("REPLAY_TARGET", target), genesys)
    }
}

/// Returns true if HTTP calls of this process may go through a proxy. These variables are those of the process, also for
/// a command that uses the settings of a function.
#[must_use]
pub fn is_proxied() -> bool {
    PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()))
}

/// Returns true if a URL contains a user or a password. Settings are logged at start-up, so their URLs must not.
#[must_use]
pub fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Returns the names of the settings whose URLs are plain `http://`.
#[must_use]
pub fn unencrypted(
    own: (&'static str, Option<&Url>),
    genesys: Option<&GenesysSettings>,
) -> Vec<&'static str> {
    [
        own,
        ("GENESYS_API_BASE_URL", genesys.map(|it| &it.api_base)),
        ("GENESYS_LOGIN_BASE_URL", genesys.map(|it| &it.login_base)),
    ]
    .into_iter()
    .filter(|(_, url)| url.is_some_and(|url| url.scheme() == "http"))
    .map(|(name, _)| name)
    .collect()
}

impl RetryStateSetting {
    /// Returns the value of the setting.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Required(_) => "required",
            Self::BestEffort(_) => "best-effort",
            Self::Off => "off",
        }
    }

    /// Returns the settings of Genesys Cloud; `None` if it is not called.
    #[must_use]
    pub const fn genesys(&self) -> Option<&GenesysSettings> {
        match self {
            Self::Required(genesys) | Self::BestEffort(genesys) => Some(genesys),
            Self::Off => None,
        }
    }
}

fn retry_state(reader: &mut Reader<'_>) -> RetryStateSetting {
    const OTHERWISE: &str = "RETRY_STATE=off";
    #[derive(Clone, Copy)]
    enum RetryStateMode {
        Required,
        BestEffort,
        Off,
    }
    let modes = [
        ("required", RetryStateMode::Required),
        ("best-effort", RetryStateMode::BestEffort),
        ("off", RetryStateMode::Off),
    ];
    match reader.choice("RETRY_STATE", RetryStateMode::Required, &modes) {
        RetryStateMode::Required => RetryStateSetting::Required(genesys::read(reader, OTHERWISE)),
        RetryStateMode::BestEffort => {
            RetryStateSetting::BestEffort(genesys::read(reader, OTHERWISE))
        }
        RetryStateMode::Off => RetryStateSetting::Off,
    }
}

/// Reads `AWS_LAMBDA_LOG_LEVEL`.
pub fn log_level(reader: &mut Reader<'_>) -> LogLevel {
    reader.choice(
        "AWS_LAMBDA_LOG_LEVEL",
        LogLevel::Info,
        &LogLevel::ALL.map(|level| (level.as_str(), level)),
    )
}

/// Reads `IDEMPOTENCY_TABLE_NAME`.
pub fn table(reader: &mut Reader<'_>) -> String {
    let table = reader
        .text("IDEMPOTENCY_TABLE_NAME")
        .unwrap_or_else(|| "GenesysRetryIdempotency".to_owned());
    let arn = Arn::parse(&table);
    let name = match &arn {
        Some(arn) if arn.service() == "dynamodb" => arn.resource().strip_prefix("table/"),
        Some(_) | None => Some(table.as_str()),
    };
    let fits = |name: &str| {
        (3..=255).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !name.is_some_and(fits) {
        reader.problem("IDEMPOTENCY_TABLE_NAME", "is not the name or ARN of a DynamoDB table");
    }
    table
}

/// A setting under a former name from an older version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerName {
    /// The former name, which is in use.
    pub former: &'static str,
    /// The current name.
    pub current: &'static str,
}

const REPLAY_MALFORMED: FormerName =
    FormerName { former: "REPLAY_PERMANENT", current: "REPLAY_MALFORMED" };

fn former_names(reader: &Reader<'_>) -> Vec<FormerName> {
    // "false" was a default in the template of an older version, so it does not count as use.
    let is_used = |name: &FormerName| {
        let value = reader.text(name.former);
        value.is_some_and(|value| value != "false" || reader.text(name.current).is_some())
    };
    [REPLAY_MALFORMED].into_iter().filter(is_used).collect()
}

/// If both names are set, the current name decides.
fn replay_malformed(reader: &mut Reader<'_>) -> bool {
    let FormerName { former, current } = REPLAY_MALFORMED;
    let name = if reader.text(current).is_some() { current } else { former };
    reader.choice(name, false, &[("true", true), ("false", false)])
}

/// Reads `STALE_AFTER_SECONDS`. The minimum is longer than SQS's redelivery interval, because otherwise every
/// event would be stale.
fn stale_after(reader: &mut Reader<'_>) -> Option<Duration> {
    const NAME: &str = "STALE_AFTER_SECONDS";
    reader.text(NAME)?;
    Some(reader.seconds(NAME, 0, 60..=31_536_000))
}

/// Reads the limits of retries.
pub fn limits(reader: &mut Reader<'_>) -> Limits {
    let base = reader.seconds("BACKOFF_BASE_SECONDS", 2, 0..=900);
    let max = reader.seconds("BACKOFF_MAX_SECONDS", 3_600, 1..=43_200);
    if base > max {
        reader.problem("BACKOFF_BASE_SECONDS", "must not be more than BACKOFF_MAX_SECONDS");
    }
    Limits {
        max_attempts: reader.number("MAX_ATTEMPTS", 3, 1..=100),
        retry_for: reader.hours("RETRY_FOR_HOURS", 72, 1..=336),
        max_receives: reader.number("MAX_RECEIVES", 200, 1..=1_000),
        stale_after: stale_after(reader),
        backoff: Backoff { base, max },
        max_wait: reader.seconds("MAX_WAIT_SECONDS", 2, 0..=900),
        replay_malformed: replay_malformed(reader),
        max_rounds: reader.number("MAX_ROUNDS", 10, 1..=12),
    }
}

/// Reads `IDEMPOTENCY_TTL_DAYS`.
pub fn remember(reader: &mut Reader<'_>) -> Duration {
    let days = reader.number("IDEMPOTENCY_TTL_DAYS", 15, 15..=3_650);
    Duration::from_secs(u64::from(days) * 24 * 3_600)
}

/// Reads `ARCHIVE_BUCKET` and `ARCHIVE_PREFIX`; `None` without a bucket.
pub fn archive(reader: &mut Reader<'_>) -> Option<ArchiveSettings> {
    const BUCKET: &str = "ARCHIVE_BUCKET";
    let prefix = reader.text("ARCHIVE_PREFIX").unwrap_or_else(|| "dlq/archives/".to_owned());
    // Event types and ids are cut to 200 bytes each; S3 limits keys to 1,024.
    if prefix.len() > 256 || prefix.starts_with('/') || !prefix.is_ascii() {
        reader.problem(
            "ARCHIVE_PREFIX",
            "must be at most 256 ASCII characters and not start with a slash",
        );
    }
    let bucket = reader.text(BUCKET)?;
    let is_name = (3..=255).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_access_point = Arn::parse(&bucket).is_some_and(|arn| {
        arn.service().starts_with("s3") && arn.resource().contains("accesspoint")
    });
    if !is_name && !is_access_point {
        reader.problem(BUCKET, "is not the name of an S3 bucket or the ARN of an access point");
    }
    Some(ArchiveSettings { bucket, prefix })
}

fn allowed_targets(reader: &mut Reader<'_>) -> AllowedTargets {
    const NAME: &str = "ALLOWED_TARGETS";
    let Some(text) = reader.text(NAME) else {
        return AllowedTargets::Any;
    };
    let patterns: Vec<&str> =
        text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
    if patterns.is_empty() {
        reader.problem(NAME, "contains no pattern: every event would be rejected");
    }
    if patterns.iter().any(|pattern| pattern.trim_matches('*').is_empty()) {
        return AllowedTargets::Any;
    }
    if patterns.iter().any(|pattern| !pattern.starts_with("arn:")) {
        reader.problem(
            NAME,
            "must be patterns of ARNs such as arn:aws:lambda:*:*:function:crm-*, comma-separated",
        );
    }
    AllowedTargets::only(patterns)
}

fn redirects(reader: &mut Reader<'_>, allowed: &AllowedTargets) -> Redirects {
    const NAME: &str = "TARGET_REDIRECTS";
    let redirects = Redirects::parse(&reader.text(NAME).unwrap_or_default());
    let redirects = redirects.unwrap_or_else(|fault| {
        reader.problem(NAME, &fault.to_string());
        Redirects::NONE
    });
    for Redirect { to, .. } in redirects.iter().filter(|redirect| !allowed.contains(&redirect.to)) {
        reader.problem(NAME, &format!("redirects to {to}, which ALLOWED_TARGETS does not cover"));
    }
    redirects
}

/// Reads `REPLAY_TARGET`, `ALLOWED_TARGETS` and `TARGET_REDIRECTS`.
pub fn target(reader: &mut Reader<'_>) -> ReplayTarget {
    const NAME: &str = "REPLAY_TARGET";
    let allowed = allowed_targets(reader);
    let redirects = redirects(reader, &allowed);
    match reader.text(NAME).as_deref() {
        None | Some("original") => ReplayTarget::Original(OriginalTargets { allowed, redirects }),
        Some(arn) if arn.starts_with("arn:") => {
            let destination = Destination::of_arn(arn);
            if matches!(destination, Destination::Unsupported(_)) || arn.len() > MAX_TARGET_BYTES {
                reader.problem(
                    NAME,
                    "is not the ARN of a supported target: docs/TARGETS.md lists them",
                );
            }
            if !allowed.contains(arn) {
                reader.problem(NAME, "is not covered by ALLOWED_TARGETS");
            }
            ReplayTarget::Fixed(destination)
        }
        Some("none") => ReplayTarget::Fixed(Destination::None),
        Some(text) => match Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "https" | "http")
                    && url.as_str().len() <= MAX_TARGET_BYTES =>
            {
                if has_credentials(&url) {
                    reader.problem(NAME, "must not contain a user or a password");
                }
                if names_refused(&url)
                    && reader.text("ALLOW_LINK_LOCAL_TARGETS").as_deref() != Some("true")
                {
                    reader.problem(
                        NAME,
                        "is a link-local or metadata address; set ALLOW_LINK_LOCAL_TARGETS=true if this is intended",
                    );
                }
                ReplayTarget::Fixed(Destination::Http(url))
            }
            Ok(_) | Err(_) => {
                reader.problem(
                    NAME,
                    "must be 'original', 'none', an ARN, or an https:// URL of at most 1024 bytes",
                );
                ReplayTarget::original(allowed)
            }
        },
    }
}

#[cfg(test)]
mod tests;
