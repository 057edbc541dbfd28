//! The answers of AWS about API destinations: secrets, tokens of their OAuth servers, and parameters.

use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay_targets::api_destination::connection::{Connection, PlainHttp};
use genesys_replay_targets::api_destination::oauth::TokenGrant;
use genesys_replay_targets::http_parameters::fill_path;
use genesys_replay_targets::parameters::EventValues;
use serde_json::Value;
use url::Url;

use crate::parts::Parts;

/// The types of connections.
const AUTHORIZATIONS: [&str; 4] = ["BASIC", "API_KEY", "OAUTH_CLIENT_CREDENTIALS", "NTLM"];

/// The members whose values may be shown.
const SHOWN: [&str; 7] = [
    "username",
    "api_key_name",
    "client_id",
    "authorization_endpoint",
    "http_method",
    "key",
    "Key",
];

/// Values from this length do not occur in a shown text by chance.
const MIN_SECRET_BYTES: usize = 16;

/// Checks the secret of a connection, and the answer of its OAuth server.
///
/// # Panics
/// A shown connection contains a secret, or a token cannot be sent.
pub fn connection_secret(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for authorization in AUTHORIZATIONS {
        let Ok(connection) = Connection::parse(authorization, &text, PlainHttp::Loopback) else {
            continue;
        };
        assert_ne!(authorization, "NTLM");
        let shown = format!("{connection:?}");
        let mut secrets = Vec::new();
        let text = text.trim_start_matches('\u{feff}');
        collect_secrets(&serde_json::from_str(text).unwrap_or_default(), &mut secrets);
        for secret in secrets {
            assert!(!shown.contains(&secret), "{shown}");
        }
    }
    if let Some(grant) = TokenGrant::parse(input) {
        let header = grant.header().to_str().map(str::to_owned).unwrap_or_default();
        let words: Vec<&str> = header.split(' ').collect();
        assert_eq!(words.len(), 2, "{header}");
        let shown = format!("{:?}", grant.header());
        assert!(words[1].len() < MIN_SECRET_BYTES || !shown.contains(words[1]), "{shown}");
    }
}

/// Collects the texts that may be secret. Texts that also occur where they are shown are left out.
fn collect_secrets(value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if !SHOWN.contains(&name.as_str()) {
                    collect_secrets(value, secrets);
                }
            }
            let shown = members.iter().filter(|(name, _)| SHOWN.contains(&name.as_str()));
            let shown: Vec<String> = shown.map(|(name, value)| format!("{name}{value}")).collect();
            secrets.retain(|secret| !shown.iter().any(|text| text.contains(secret.as_str())));
            secrets.retain(|secret| !members.keys().any(|name| name.contains(secret.as_str())));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, secrets)),
        Value::String(text) if text.len() >= MIN_SECRET_BYTES => {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            secrets.extend(is_plain.then(|| text.clone()));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks the path of an endpoint. Line `endpoint`; lines `value`, `second`: the values of the rule; the rest: the payload.
///
/// # Panics
/// A value changes another part of the URL, adds a segment, or rejects an event without a code.
pub fn path_parameters(input: &[u8]) {
    let mut parts = Parts::read(input);
    let endpoint = parts.take("endpoint").unwrap_or_else(|| "https://crm.example/*/e*".to_owned());
    let values: Vec<String> =
        ["value", "second"].iter().filter_map(|name| parts.take(name)).collect();
    let payload = String::from_utf8_lossy(parts.rest);
    let Ok(url) = Url::parse(&endpoint) else {
        return;
    };
    if !matches!(url.scheme(), "http" | "https") {
        return;
    }
    match fill_path(url.clone(), &values, &EventValues::new(&payload)) {
        Ok(filled) => {
            let fixed = |url: &Url| {
                let (scheme, host) = (url.scheme().to_owned(), url.host_str().map(str::to_owned));
                (scheme, host, url.port(), url.query().map(str::to_owned), segments(url))
            };
            assert_eq!(fixed(&filled), fixed(&url), "{filled}");
            assert!(Url::parse(filled.as_str()).as_ref() == Ok(&filled), "{filled}");
        }
        Err(error) => {
            assert_eq!(error.certainty, Certainty::NotSent);
            let is_unknown = error.code == FailureCode::TargetParametersUnknown;
            let expected = if is_unknown { Disposition::Permanent } else { Disposition::Operator };
            assert_eq!(error.disposition, expected, "{error}");
        }
    }
}

fn segments(url: &Url) -> usize {
    url.path_segments().map_or(0, Iterator::count)
}
