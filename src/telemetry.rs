//! What is said about the work: JSON lines for `CloudWatch`, never a payload, token or secret.
//! `docs/LOGGING.md` lists them all.

pub mod ingest;
mod level;
pub mod metrics;

use std::time::Duration;

pub use level::LogLevel;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::UtcTime;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::{CredentialSetting, FormerName, GenesysSettings, Settings};
use crate::destination::{AllowedTargets, ReplayTarget};
use crate::failure::FailureCode;
use crate::queue::PostponeError;
use crate::replay::{Counts, Handled};
use crate::target::http::Reach;

/// Starts logging to stdout: one JSON object a line, with an RFC 3339 `timestamp` and the `level`,
/// by which Lambda files each line. Only this crate's own lines: what libraries trace may hold
/// requests and answers.
pub fn init(level: LogLevel) {
    let filter = Targets::new().with_target("genesys_replay", level.tracing());
    // What the span of an invocation knows stands beside the fields of each line: queries for one
    // request need no path.
    let lines = json_subscriber::layer()
        .flatten_event(true)
        .flatten_current_span_on_top_level(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_timer(UtcTime::rfc_3339());
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    // A second start-up in the same process (tests) keeps the first one's.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        // The panic's message may quote data; its place is enough to find it.
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}

/// The last line of a start-up that failed.
pub fn start_refused(error: &dyn std::error::Error) {
    init(LogLevel::Error);
    tracing::error!(error = with_causes(error), "start-up refused");
}

/// A SIGTERM has come.
pub fn ending() {
    tracing::info!("told to end: finishing or releasing what is in flight");
}

/// The start-up line: what runs and with which settings, those that are secret left out.
pub fn started(settings: &Settings) {
    let genesys = settings.retry_state.genesys();
    let limits = &settings.limits;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        table = settings.table,
        target = %settings.target,
        allowed_targets = match &settings.target {
            ReplayTarget::Original(allowed) => Some(allowed.to_string()),
            ReplayTarget::Fixed(_) => None,
        },
        link_local_targets = settings.reach == Reach::Anywhere,
        retry_state = settings.retry_state.as_str(),
        genesys_api = genesys.map(|genesys| genesys.form.as_str()),
        genesys_api_base_url = genesys.map(|genesys| genesys.api_base.as_str()),
        genesys_login_base_url = genesys.map(|genesys| genesys.login_base.as_str()),
        genesys_secret_id = genesys.and_then(secret_id_of),
        max_attempts = limits.max_attempts,
        max_receives = limits.max_receives,
        backoff_base_ms = millis(limits.backoff.base),
        backoff_max_ms = millis(limits.backoff.max),
        max_wait_ms = millis(limits.max_wait),
        max_rounds = limits.max_rounds,
        retry_for_s = limits.retry_for.as_secs(),
        stale_after_s = limits.stale_after.map(|after| after.as_secs()),
        target_timeout_ms = millis(settings.target_timeout),
        replay_malformed = limits.replay_malformed,
        max_concurrency = settings.max_concurrency,
        archive = settings.archive.as_ref().map(|archive| archive.bucket.as_str()),
        archive_prefix = settings.archive.as_ref().map(|archive| archive.prefix.as_str()),
        remember_s = settings.remember.as_secs(),
        log_level = settings.log_level.as_str(),
        "started"
    );
    warn_of_plain_http(&settings.unencrypted());
    for FormerName { former, current } in &settings.former_names {
        tracing::warn!(setting = former, current, "former name of a setting");
    }
    let receives_last = limits.receives_last();
    if receives_last < limits.retry_for {
        tracing::warn!(
            setting = "MAX_RECEIVES",
            max_receives = limits.max_receives,
            receives_last_s = receives_last.as_secs(),
            retry_for_s = limits.retry_for.as_secs(),
            "receives may be used up before the time of RETRY_FOR_HOURS is over: raise MAX_RECEIVES or BACKOFF_MAX_SECONDS"
        );
    }
    if matches!(settings.target, ReplayTarget::Original(AllowedTargets::Any)) {
        tracing::warn!(
            setting = "ALLOWED_TARGETS",
            "not set: whoever can write to the queue chooses what is called"
        );
    }
}

fn secret_id_of(genesys: &GenesysSettings) -> Option<&str> {
    match &genesys.credentials {
        CredentialSetting::Secret(id) => Some(id),
        CredentialSetting::Given(_) => None,
    }
}

fn warn_of_plain_http(settings: &[&'static str]) {
    for setting in settings {
        tracing::warn!(
            setting,
            "plain http: what is sent there travels unencrypted"
        );
    }
}

/// The id in a tracing header such as `Root=1-5bef4de7-ad49b0e8;Parent=…;Sampled=1`.
#[must_use]
pub fn trace_id(header: &str) -> &str {
    let mut parts = header.split(';');
    let root = parts.find_map(|part| part.trim().strip_prefix("Root="));
    root.unwrap_or(header)
}

/// An error and its causes in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A duration in whole milliseconds, for log fields.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One line a record.
pub fn record_handled(handled: &Handled) {
    let verdict = &handled.verdict;
    let event = handled.event.as_ref();
    let deferred_ms = verdict.outcome.after().map(millis);
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                outcome = verdict.outcome.as_str(),
                failure_code = verdict.code().map(|code| code.as_str()),
                category = event.map(|event| event.category),
                disposition = verdict.disposition.map(|disposition| disposition.as_str()),
                message_id = %handled.message_id,
                event_id = event.and_then(|event| event.event_id.as_deref()),
                interaction_id = event.and_then(|event| event.interaction_id.as_deref()),
                topic = event.and_then(|event| event.event_type.as_deref()),
                attempt = verdict.attempt,
                receive_count = handled.receive_count,
                target = event.map(|event| event.target.as_str()),
                duration_ms = millis(handled.duration),
                deferred_ms,
                archived_as = verdict.archived_as.as_deref(),
                possible_duplicate = verdict.possible_duplicate,
                what_to_do = verdict.code().map(|code| code.what_to_do()),
                reason = verdict.reason.as_deref(),
                "dead letter handled"
            )
        };
    }
    if verdict.is_unrecorded() {
        // Delivered, and nothing but this line says so.
        line!(Level::ERROR);
    } else if verdict
        .code()
        .is_some_and(|code| code != FailureCode::OwnEcho)
    {
        line!(Level::WARN);
    } else {
        line!(Level::INFO);
    }
}

/// A message comes back sooner or later than it should.
pub fn not_postponed(error: &PostponeError) {
    tracing::warn!(
        message_id = %error.message_id,
        %error,
        "message stays away as long as its queue says"
    );
}

/// The deadline came before the queue was told.
pub fn postponing_cut_off(messages: usize) {
    tracing::warn!(
        messages,
        "no time left to postpone, messages stay away as long as their queue says"
    );
}

/// One line a batch.
pub fn batch_handled(records: usize, counts: &Counts, duration: Duration) {
    let unaccounted = counts.unaccounted(records);
    tracing::info!(
        records,
        replayed = counts.replayed,
        duplicates = counts.duplicates,
        archived = counts.archived,
        deferred = counts.deferred,
        returned = counts.returned,
        not_attempted = counts.not_attempted,
        possible_duplicates = counts.possible_duplicates,
        duration_ms = millis(duration),
        "batch handled"
    );
    if unaccounted > 0 {
        tracing::error!(
            unaccounted,
            "outcomes do not add up to the batch: a fault in this program"
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_a_tracing_header_the_id_is_logged() {
        for header in [
            "1-5bef4de7-ad49b0e8",
            "Root=1-5bef4de7-ad49b0e8",
            "Root=1-5bef4de7-ad49b0e8;Parent=53995c3f42cd8ad8;Sampled=1",
            "Sampled=0; Root=1-5bef4de7-ad49b0e8",
        ] {
            assert_eq!(super::trace_id(header), "1-5bef4de7-ad49b0e8", "{header}");
        }
    }
}
