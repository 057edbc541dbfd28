//! The settings of Genesys Cloud: API, hosts and credentials.

use genesys_replay::genesys::{ApiForm, Credentials};
use genesys_replay_genesys::{CredentialSetting, GenesysSettings};
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;

/// Genesys Cloud's domains by AWS region, from its official SDKs. New domains appear, so the setting accepts
/// any domain instead of a region.
const DOMAINS: &[(&str, &str)] = &[
    ("us-east-1", "mypurecloud.com"),
    ("us-east-2", "use2.us-gov-pure.cloud"),
    ("us-west-2", "usw2.pure.cloud"),
    ("ca-central-1", "cac1.pure.cloud"),
    ("mx-central-1", "mxc1.pure.cloud"),
    ("sa-east-1", "sae1.pure.cloud"),
    ("eu-west-1", "mypurecloud.ie"),
    ("eu-west-2", "euw2.pure.cloud"),
    ("eu-central-1", "mypurecloud.de"),
    ("eu-central-2", "euc2.pure.cloud"),
    ("me-central-1", "mec1.pure.cloud"),
    ("ap-south-1", "aps1.pure.cloud"),
    ("ap-southeast-1", "apse1.pure.cloud"),
    ("ap-southeast-2", "mypurecloud.com.au"),
    ("ap-northeast-1", "mypurecloud.jp"),
    ("ap-northeast-2", "apne2.pure.cloud"),
    ("ap-northeast-3", "apne3.pure.cloud"),
    ("eusc-de-east-1", "edee1.eusc-pure.cloud"),
];

/// The placeholder for a URL that is missing or wrong, until all settings are rejected together.
const NOWHERE: &str = "https://genesys.invalid";

/// Reads the settings. `otherwise` is the setting that makes Genesys credentials unnecessary.
pub fn read(reader: &mut Reader<'_>, otherwise: &str) -> GenesysSettings {
    let domain = domain(reader);
    let organisation = organisation(reader);
    let api_base = base_url(reader, "GENESYS_API_BASE_URL");
    let login_base = base_url(reader, "GENESYS_LOGIN_BASE_URL");
    if domain.is_none() && organisation.is_none() && (api_base.is_none() || login_base.is_none()) {
        reader.problem(
            "GENESYS_REGION",
            "is missing: set it to the AWS region or the domain of your Genesys Cloud organisation \
             (or set GENESYS_ORG_ID, or both GENESYS_API_BASE_URL and GENESYS_LOGIN_BASE_URL)",
        );
    }
    let host = |prefix: &str| match (&domain, &organisation) {
        (Some(domain), _) => format!("https://{prefix}.{domain}"),
        (None, Some(organisation)) => format!("https://{organisation}.mypurecloud.com"),
        (None, None) => NOWHERE.to_owned(),
    };
    let (form, names_the_host) = if domain.is_none() && organisation.is_some() {
        (ApiForm::Interactions, "GENESYS_ORG_ID")
    } else {
        (ApiForm::Conversations, "GENESYS_REGION")
    };
    let mut url = |given: Option<Url>, prefix: &str| {
        given.or_else(|| Url::parse(&host(prefix)).ok()).unwrap_or_else(|| {
            reader.problem(names_the_host, "does not make a host name");
            fallback()
        })
    };
    GenesysSettings {
        api_base: url(api_base, "api"),
        login_base: url(login_base, "login"),
        form: reader.choice(
            "GENESYS_API",
            form,
            &[("conversations", ApiForm::Conversations), ("interactions", ApiForm::Interactions)],
        ),
        credentials: credentials(reader, otherwise),
    }
}

/// Returns the placeholder for a wrong URL setting.
///
/// # Panics
/// Never: a test parses the constant.
#[must_use]
#[expect(clippy::expect_used, reason = "a constant that a test parses")]
pub fn fallback() -> Url {
    Url::parse(NOWHERE).expect("a constant URL")
}

fn domain(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "GENESYS_REGION";
    let text = reader.text(NAME)?.to_lowercase();
    if let Some((_, domain)) = DOMAINS.iter().find(|(region, _)| *region == text) {
        return Some((*domain).to_owned());
    }
    if !(text.contains('.') && text.split('.').all(is_label)) {
        let regions: Vec<_> = DOMAINS.iter().map(|(region, _)| *region).collect();
        reader.problem(
            NAME,
            &format!("must be a Genesys Cloud domain or one of {}", regions.join(", ")),
        );
    }
    Some(text)
}

fn organisation(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "GENESYS_ORG_ID";
    let text = reader.text(NAME)?;
    if !is_label(&text) {
        reader.problem(NAME, "must be the name before .mypurecloud.com");
    }
    Some(text)
}

/// Returns true if a text can be one label of a host name.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn base_url(reader: &mut Reader<'_>, name: &str) -> Option<Url> {
    let text = reader.text(name)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && !super::has_credentials(url)
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        reader.problem(name, "must be an https:// URL without user, query and fragment");
        return Some(fallback());
    }
    url
}

/// Returns true if a text can be the name or ARN of a secret.
#[must_use]
pub fn is_secret_id(text: &str) -> bool {
    text.len() <= 2_048
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+=.@-:!".contains(&byte))
}

fn credentials(reader: &mut Reader<'_>, otherwise: &str) -> CredentialSetting {
    const SECRET: &str = "GENESYS_SECRET_ID";
    if let Some(secret) = reader.text(SECRET) {
        if !is_secret_id(&secret) {
            reader.problem(SECRET, "is not the name or ARN of a secret");
        }
        for name in ["GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"] {
            if reader.text(name).is_some() {
                reader.problem(name, "must not be set beside GENESYS_SECRET_ID");
            }
        }
        return CredentialSetting::Secret(secret);
    }
    let mut required = |name: &str| {
        reader.text(name).unwrap_or_else(|| {
            reader.problem(
                name,
                &format!("is missing: set it to the OAuth client's, or set GENESYS_SECRET_ID, or {otherwise}"),
            );
            String::new()
        })
    };
    CredentialSetting::Given(Credentials {
        client_id: required("GENESYS_CLIENT_ID"),
        client_secret: SecretString::from(required("GENESYS_CLIENT_SECRET")),
    })
}
