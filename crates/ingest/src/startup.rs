//! The log lines of ingest's start-up.

use genesys_replay_genesys::GenesysSettings;
use genesys_replay_telemetry::{warn_of_other_names, warn_of_plain_http};

use crate::config::{Auth, Host, IngestSettings, KeySetting};
use crate::warn_of_short;

/// Logs the version and all settings that are not secret. Warns of each setting with a risk.
pub fn started(settings: &IngestSettings) {
    let genesys = settings.check.as_ref().map(|(_, genesys)| genesys);
    tracing::info!(
        version = genesys_replay_version::VERSION,
        commit = genesys_replay_version::COMMIT,
        queue_url = settings.queue_url.as_str(),
        auth = settings.auth.as_str(),
        ingest_secret_id = match &settings.auth {
            Auth::Signature(KeySetting::Secret(id)) => Some(id.as_str()),
            Auth::Signature(KeySetting::Given(_)) | Auth::Iam | Auth::Anyone => None,
        },
        subscription_check = settings.check.as_ref().map_or("off", |(form, _)| form.as_str()),
        genesys_api_base_url = genesys.map(|genesys| genesys.api_base.as_str()),
        genesys_login_base_url = genesys.map(|genesys| genesys.login_base.as_str()),
        genesys_secret_id = genesys.and_then(GenesysSettings::secret_id),
        max_body_bytes = settings.max_body_bytes,
        log_level = settings.log_level.as_str(),
        "started"
    );
    warn_of_plain_http(&settings.unencrypted());
    warn_of_other_names(settings.other_names.iter().map(|other| (other.name, other.remedy)));
    if matches!(settings.auth, Auth::Anyone) {
        tracing::warn!(
            setting = "INGEST_AUTH",
            "none: anyone with access to this address can put events on the queue"
        );
    }
    if let Auth::Signature(KeySetting::Given(ring)) = &settings.auth {
        warn_of_short(ring);
    }
    if let (Host::Server(address), false) = (&settings.host, matches!(settings.auth, Auth::Iam))
        && !address.ip().is_loopback()
    {
        tracing::warn!(
            setting = "LISTEN_ADDR",
            "plain http: terminate TLS in front of this server"
        );
    }
}
