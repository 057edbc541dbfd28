//! The settings of ingest.

use std::net::SocketAddr;

use genesys_replay::genesys::{ApiForm, SubscriptionForm};
use genesys_replay::queue::MAX_MESSAGE_BYTES;
use genesys_replay_genesys::GenesysSettings;
use genesys_replay_settings::genesys::is_secret_id;
use genesys_replay_settings::other_names::{self, OtherName};
use genesys_replay_settings::{
    Reader, SettingsError, genesys, has_credentials, log_level, unencrypted,
};
use genesys_replay_telemetry::LogLevel;
use url::Url;

use crate::{BasePath, KeyRing};

/// All settings of ingest.
#[derive(Debug)]
pub struct IngestSettings {
    /// The host of ingest.
    pub host: Host,
    /// The queue that the replay function drains.
    pub queue_url: Url,
    /// The authentication of callers.
    pub auth: Auth,
    /// The API form and the settings of the subscription check; `None` disables the check.
    pub check: Option<(SubscriptionForm, GenesysSettings)>,
    /// The path in front of the paths of ingest.
    pub base_path: BasePath,
    /// The maximum length of a body, in bytes.
    pub max_body_bytes: usize,
    /// The variables in use that are not settings.
    pub other_names: Vec<OtherName>,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
}

/// The host of ingest: Lambda or a standalone server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A Lambda function with this name.
    Lambda(String),
    /// A standalone server at this address.
    Server(SocketAddr),
}

/// The setting `INGEST_AUTH`.
#[derive(Debug)]
pub enum Auth {
    /// A Standard Webhooks signature.
    Signature(KeySetting),
    /// Authorization by AWS IAM.
    Iam,
    /// Every caller is accepted without authentication.
    Anyone,
}

/// The setting of the secrets for signatures.
#[derive(Debug)]
pub enum KeySetting {
    /// The secrets themselves.
    Given(KeyRing),
    /// The name or ARN of the secret that holds them.
    Secret(String),
}

impl Auth {
    /// Returns the value of the setting.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Iam => "iam",
            Self::Anyone => "none",
        }
    }
}

impl IngestSettings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// The error names every missing or wrong setting; ingest must not start then.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads settings from `lookup`; an empty value counts as missing.
    ///
    /// # Errors
    /// The error names every missing or wrong setting.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(&lookup);
        let host = host(&mut reader);
        let largest = u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX);
        let settings = Self {
            auth: auth(&mut reader, &host),
            host,
            queue_url: queue_url(&mut reader),
            check: check(&mut reader),
            base_path: base_path(&mut reader),
            max_body_bytes: usize::try_from(reader.number(
                "MAX_BODY_BYTES",
                largest,
                1_024..=largest,
            ))
            .unwrap_or(MAX_MESSAGE_BYTES),
            other_names: other_names::in_use(&reader),
            log_level: log_level(&mut reader),
        };
        reader.finish(settings)
    }

    /// Returns the settings whose URLs are plain `http://`.
    #[must_use]
    pub fn unencrypted(&self) -> Vec<&'static str> {
        let genesys = self.check.as_ref().map(|(_, genesys)| genesys);
        unencrypted(("REPLAY_QUEUE_URL", Some(&self.queue_url)), genesys)
    }
}

fn host(reader: &mut Reader<'_>) -> Host {
    const NAME: &str = "LISTEN_ADDR";
    if reader.text("AWS_LAMBDA_RUNTIME_API").is_some() {
        let function = reader.text("AWS_LAMBDA_FUNCTION_NAME");
        return Host::Lambda(function.unwrap_or_else(|| "ingest".to_owned()));
    }
    let text = reader.text(NAME).unwrap_or_else(|| "0.0.0.0:8080".to_owned());
    Host::Server(text.parse().unwrap_or_else(|_| {
        reader.problem(NAME, "must be an IP address and a port, such as 0.0.0.0:8080");
        SocketAddr::from(([127, 0, 0, 1], 0))
    }))
}

fn base_path(reader: &mut Reader<'_>) -> BasePath {
    const NAME: &str = "INGEST_BASE_PATH";
    let text = reader.text(NAME).unwrap_or_default();
    BasePath::parse(&text).unwrap_or_else(|| {
        reader.problem(
            NAME,
            "must be a path such as /hooks: letters, digits, and -._~ between slashes",
        );
        BasePath::default()
    })
}

fn queue_url(reader: &mut Reader<'_>) -> Url {
    const NAME: &str = "REPLAY_QUEUE_URL";
    let Some(text) = reader.text(NAME) else {
        reader.problem(
            NAME,
            "is missing: set it to the URL of the queue that the replay function drains",
        );
        return genesys::fallback();
    };
    let url = Url::parse(&text).ok();
    if url.as_ref().is_some_and(has_credentials) {
        reader.problem(NAME, "must not contain a user or a password");
        return genesys::fallback();
    }
    url.filter(|url| matches!(url.scheme(), "https" | "http") && url.path().len() > 1)
        .unwrap_or_else(|| {
            reader.problem(NAME, "must be the https:// URL of an SQS queue, not its ARN or name");
            genesys::fallback()
        })
}

fn auth(reader: &mut Reader<'_>, host: &Host) -> Auth {
    #[derive(Clone, Copy)]
    enum AuthMode {
        Signature,
        Iam,
        Anyone,
    }
    let modes =
        [("signature", AuthMode::Signature), ("iam", AuthMode::Iam), ("none", AuthMode::Anyone)];
    match reader.choice("INGEST_AUTH", AuthMode::Signature, &modes) {
        AuthMode::Signature => Auth::Signature(keys(reader)),
        AuthMode::Iam => {
            if matches!(host, Host::Server(_)) {
                reader.problem(
                    "INGEST_AUTH",
                    "must not be 'iam' outside of Lambda: requests would not be authenticated",
                );
            }
            Auth::Iam
        }
        AuthMode::Anyone => Auth::Anyone,
    }
}

fn keys(reader: &mut Reader<'_>) -> KeySetting {
    const SECRET: &str = "INGEST_SECRET";
    const ID: &str = "INGEST_SECRET_ID";
    let given = reader.text(SECRET);
    if let Some(id) = reader.text(ID) {
        if !is_secret_id(&id) {
            reader.problem(ID, "is not the name or ARN of a secret");
        }
        if given.is_some() {
            reader.problem(SECRET, "must not be set beside INGEST_SECRET_ID");
        }
        return KeySetting::Secret(id);
    }
    let ring = given.as_deref().map(KeyRing::parse);
    match ring {
        Some(Ok(ring)) => return KeySetting::Given(ring),
        Some(Err(fault)) => reader.problem(SECRET, &format!("cannot be used: {fault}")),
        None => reader.problem(
            ID,
            "is missing: set it to the secret that holds whsec_…, or set INGEST_SECRET, or INGEST_AUTH=iam or none",
        ),
    }
    KeySetting::Secret(String::new())
}

fn check(reader: &mut Reader<'_>) -> Option<(SubscriptionForm, GenesysSettings)> {
    #[derive(Clone, Copy, PartialEq)]
    enum CheckMode {
        AsTheApi,
        Form(SubscriptionForm),
        Off,
    }
    let modes = [
        ("eventstreams", CheckMode::Form(SubscriptionForm::EventStreams)),
        ("integration", CheckMode::Form(SubscriptionForm::Integration)),
        ("off", CheckMode::Off),
    ];
    let mode = reader.choice("SUBSCRIPTION_CHECK", CheckMode::AsTheApi, &modes);
    if mode == CheckMode::Off {
        return None;
    }
    let genesys = genesys::read(reader, "SUBSCRIPTION_CHECK=off");
    let form = match (mode, genesys.form) {
        (CheckMode::Form(form), _) => form,
        (CheckMode::AsTheApi | CheckMode::Off, ApiForm::Conversations) => {
            SubscriptionForm::Integration
        }
        (CheckMode::AsTheApi | CheckMode::Off, ApiForm::Interactions) => {
            SubscriptionForm::EventStreams
        }
    };
    Some((form, genesys))
}

#[cfg(test)]
mod tests;
