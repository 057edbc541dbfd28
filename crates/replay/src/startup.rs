//! The log lines of the replay function's start-up.

use genesys_replay::clock::millis;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay::destination::{AllowedTargets, Destination, OriginalTargets, ReplayTarget};
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_settings::{FormerName, Settings, TargetAuth};
use genesys_replay_telemetry::{warn_of_other_names, warn_of_plain_http};

/// Logs the version and all settings that are not secret, and a warning for each risky setting.
pub fn started(settings: &Settings) {
    let genesys = settings.retry_state.genesys();
    let limits = &settings.limits;
    tracing::info!(
        version = genesys_replay_version::VERSION,
        commit = genesys_replay_version::COMMIT,
        table = settings.table,
        target = %settings.target,
        allowed_targets = match &settings.target {
            ReplayTarget::Original(original) => Some(original.allowed.to_string()),
            ReplayTarget::Fixed(_) => None,
        },
        target_redirects = match &settings.target {
            ReplayTarget::Original(original) if !original.redirects.is_empty() => {
                Some(original.redirects.to_string())
            }
            ReplayTarget::Original(_) | ReplayTarget::Fixed(_) => None,
        },
        target_auth = settings.target_auth.as_str(),
        target_secret_id = settings.target_auth.secret_id(),
        link_local_targets = settings.reach == AddressPolicy::AllowAll,
        retry_state = settings.retry_state.as_str(),
        genesys_api = genesys.map(|genesys| genesys.form.as_str()),
        genesys_api_base_url = genesys.map(|genesys| genesys.api_base.as_str()),
        genesys_login_base_url = genesys.map(|genesys| genesys.login_base.as_str()),
        genesys_secret_id = genesys.and_then(GenesysSettings::secret_id),
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
    let is_http = matches!(&settings.target, ReplayTarget::Fixed(Destination::Http(_)));
    if settings.target_auth != TargetAuth::None && !is_http {
        tracing::warn!(
            setting = "TARGET_AUTH",
            "setting without effect: it authenticates deliveries to an https:// URL in REPLAY_TARGET only"
        );
    }
    warn_of_other_names(settings.other_names.iter().map(|other| (other.name, other.remedy)));
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
    let ReplayTarget::Original(OriginalTargets { allowed, .. }) = &settings.target else {
        return;
    };
    match allowed {
        AllowedTargets::Any => tracing::warn!(
            setting = "ALLOWED_TARGETS",
            "all targets allowed: anyone with write access to the queue can choose the target"
        ),
        AllowedTargets::Only(_) if !allowed.has_callable() => tracing::warn!(
            setting = "ALLOWED_TARGETS",
            "no allowed target can be called: every event is rejected as TARGET_UNSUPPORTED or TARGET_NOT_ALLOWED"
        ),
        AllowedTargets::Only(_) => {}
    }
}
