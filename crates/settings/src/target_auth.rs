//! The settings `TARGET_AUTH` and `TARGET_SECRET_ID`: the authentication of deliveries over HTTP.

use genesys_replay::destination::{Arn, Destination, ReplayTarget};

use super::Reader;

const AUTH: &str = "TARGET_AUTH";
const SECRET: &str = "TARGET_SECRET_ID";

/// The setting `TARGET_AUTH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAuth {
    /// No authentication.
    None,
    /// The headers of a secret: a JSON object of names and values.
    Headers {
        /// The name or ARN of the secret.
        secret_id: String,
    },
    /// Standard Webhooks, with the keys of a secret.
    Signature {
        /// The name or ARN of the secret.
        secret_id: String,
    },
    /// Signature Version 4, with the function's credentials of AWS.
    SigV4 {
        /// The service, such as `lambda` or `execute-api`.
        service: String,
        /// The region in the host name; `None` for the function's own.
        region: Option<String>,
    },
}

impl TargetAuth {
    /// Returns the value of the setting.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headers { .. } => "headers",
            Self::Signature { .. } => "signature",
            Self::SigV4 { .. } => "sigv4",
        }
    }

    /// Returns the name or ARN of the secret, if there is one.
    #[must_use]
    pub fn secret_id(&self) -> Option<&str> {
        match self {
            Self::Headers { secret_id } | Self::Signature { secret_id } => Some(secret_id),
            Self::None | Self::SigV4 { .. } => None,
        }
    }
}

/// Reads `TARGET_AUTH` and `TARGET_SECRET_ID` for deliveries to `target`.
pub(super) fn read(reader: &mut Reader<'_>, target: &ReplayTarget) -> TargetAuth {
    let (auth, secret_id) = (reader.text(AUTH), reader.text(SECRET));
    let needs_secret = matches!(auth.as_deref(), Some("headers" | "signature"));
    match (&secret_id, needs_secret) {
        (None, true) => reader.problem(SECRET, "is required with TARGET_AUTH=headers or signature"),
        (Some(_), false) => reader.problem(
            SECRET,
            "is not used: TARGET_AUTH must be 'headers' or 'signature', or remove the secret",
        ),
        (Some(_), true) | (None, false) => {}
    }
    let secret_id = secret_id.unwrap_or_default();
    match auth.as_deref() {
        None | Some("none") => TargetAuth::None,
        Some("headers") => TargetAuth::Headers { secret_id },
        Some("signature") => TargetAuth::Signature { secret_id },
        Some(text) if text == "sigv4" || text.starts_with("sigv4:") => {
            sigv4(reader, target, text.strip_prefix("sigv4:"))
        }
        Some(_) => {
            reader.problem(
                AUTH,
                "must be one of 'none', 'headers', 'signature', 'sigv4', 'sigv4:<service>'",
            );
            TargetAuth::None
        }
    }
}

fn sigv4(reader: &mut Reader<'_>, target: &ReplayTarget, named: Option<&str>) -> TargetAuth {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-' || it.is_ascii_digit())
    };
    let host = match target {
        ReplayTarget::Fixed(Destination::Http(url)) => url.host_str(),
        ReplayTarget::Fixed(_) | ReplayTarget::Original(_) => None,
    };
    let of_host = host.and_then(service_and_region);
    let region = of_host.map(|(_, region)| region.to_owned());
    let service = match (named, of_host, host) {
        (Some(named), _, _) if is_name(named) => named,
        (None, Some((service, _)), _) => service,
        // Without an HTTP target, no request is signed.
        (None, None, None) => "execute-api",
        (Some(_), _, _) | (None, None, Some(_)) => {
            reader.problem(
                AUTH,
                "must name the service, such as 'sigv4:execute-api', because the host of REPLAY_TARGET does not",
            );
            ""
        }
    };
    TargetAuth::SigV4 { service: service.to_owned(), region }
}

/// Returns the service and the region in a host name of AWS: `<api>.execute-api.<region>.<suffix>`, or
/// `<id>.lambda-url.<region>.on.aws` of a function URL.
fn service_and_region(host: &str) -> Option<(&str, &str)> {
    let mut labels = host.split('.');
    let (service, region) = (labels.nth(1)?, labels.next()?);
    let rest = host.split_once(region)?.1;
    let is_of_aws = matches!(rest, ".on.aws")
        || rest.starts_with(".amazonaws.")
        || matches!(rest, ".c2s.ic.gov" | ".sc2s.sgov.gov" | ".cloud.adc-e.uk" | ".csp.hci.ic.gov");
    let service = if service == "lambda-url" { "lambda" } else { service };
    (is_of_aws && Arn::is_region(region)).then_some((service, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_and_region_follow_from_the_host() {
        for (host, expected) in [
            ("a1b2.lambda-url.eu-central-1.on.aws", Some(("lambda", "eu-central-1"))),
            (
                "a1b2.execute-api.us-gov-west-1.amazonaws.com",
                Some(("execute-api", "us-gov-west-1")),
            ),
            ("a1b2.execute-api.cn-north-1.amazonaws.com.cn", Some(("execute-api", "cn-north-1"))),
            ("a1b2.appsync-api.eu-west-1.amazonaws.com", Some(("appsync-api", "eu-west-1"))),
            ("a1b2.execute-api.eu-west-1.attacker.example", None),
            ("api.crm.example", None),
            ("localhost", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(service_and_region(host), expected, "{host}");
        }
    }
}
