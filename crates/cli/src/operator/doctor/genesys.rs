//! Checks the OAuth client's token and permissions in Genesys Cloud.

use genesys_replay::genesys::{ApiForm, Call, GenesysError};
use genesys_replay_genesys::GenesysClient;

use super::{AreaChecks, Check, DoctorInput, Verdict};
use crate::genesys::permissions;

const TOKEN: &str = "Genesys token";
const READ: &str = "may read interactions";
const MARK: &str = "may mark interactions";
const SEARCH: &str = "may search conversations";

/// The remedy for an OAuth client without a permission.
const ROLES: &str = "give the OAuth client a role with the permission that Genesys Cloud names (Admin, Integrations, OAuth, Roles), in the divisions of the interactions";

pub(super) async fn checks(input: &DoctorInput, client: Option<&GenesysClient>) -> AreaChecks {
    let Some(client) = client else {
        let (found, remedy) = if input.settings.is_some() && input.problems.is_empty() {
            let found = "RETRY_STATE=off: Genesys Cloud is not called";
            (found, "no action, if this is intended")
        } else {
            ("the settings cannot be used", "repair the settings first")
        };
        return (vec![Check::skipped(TOKEN, found, remedy)], Vec::new());
    };
    // This answer is not from AWS, and proves that the network works even if all calls of AWS fail.
    let answers = |checks: &[Check]| match checks {
        [only] if only.name == TOKEN => Vec::new(),
        _ => vec![Ok(())],
    };
    let checks = genesys_access(client).await;
    let answers = answers(&checks);
    (checks, answers)
}

/// Checks the token and the permissions of an OAuth client. Changes nothing in Genesys Cloud.
pub(crate) async fn genesys_access(client: &GenesysClient) -> Vec<Check> {
    let read = permissions::may_read(client).await;
    if let Some(check) = read.as_ref().err().and_then(no_token) {
        return vec![check];
    }
    let mut checks = vec![Check::ok(TOKEN, "Genesys Cloud accepts the OAuth client")];
    checks.push(match &read {
        Ok(_) => Check::ok(READ, "Genesys Cloud answers"),
        // Genesys Cloud rejected the id, not our permissions.
        Err(GenesysError::Refused { .. }) => Check::ok(READ, "Genesys Cloud checked the request"),
        Err(error) => failed(READ, error),
    });
    let is_real = client.form() == ApiForm::Conversations;
    // Never write on an existing interaction.
    let marked =
        if is_real && read == Ok(false) { permissions::may_mark(client).await } else { Ok(()) };
    checks.push(match marked {
        Err(error) => failed(MARK, &error),
        Ok(()) => Check::skipped(
            MARK,
            "not refused; cannot be verified without modifying an interaction",
            "search the log for GENESYS_CREDENTIALS after the first replay",
        ),
    });
    if is_real {
        checks.push(match permissions::may_search(client).await {
            Ok(()) => Check::ok(SEARCH, "diagnose --correlate can be used"),
            Err(error) => Check::warning(
                SEARCH,
                format!("{error}; only diagnose --correlate needs it"),
                "for --correlate, give the OAuth client a role with Analytics > Conversation Detail > View",
            ),
        });
    }
    checks
}

/// Returns the check for an error of the token; `None` for other errors.
fn no_token(error: &GenesysError) -> Option<Check> {
    let (verdict, remedy) = match error {
        GenesysError::NoCredentials(_) => (
            Verdict::Error,
            r#"put {"client_id":"…","client_secret":"…"} into the secret, and permit the function and yourself to read it"#,
        ),
        GenesysError::Credentials { call: Call::Token, .. } => (
            Verdict::Error,
            "check GENESYS_REGION first, because another region rejects the client too; then the client's id and secret, and that its grant type is client credentials",
        ),
        GenesysError::RateLimited { call: Call::Token, .. } => {
            (Verdict::Warning, "wait a few minutes, because too many tokens were requested")
        }
        GenesysError::Unavailable { call: Call::Token, .. } => (
            Verdict::Error,
            "check GENESYS_REGION or GENESYS_LOGIN_BASE_URL, and the network: tokens are at https://login.<domain>/oauth/token",
        ),
        GenesysError::NotFound
        | GenesysError::Refused { .. }
        | GenesysError::Conflict { .. }
        | GenesysError::Forbidden { .. }
        | GenesysError::RateLimited { .. }
        | GenesysError::LocallyRateLimited { .. }
        | GenesysError::Unavailable { .. }
        | GenesysError::Credentials { .. } => return None,
    };
    Some(Check::with_remedy(verdict, TOKEN, error.to_string(), remedy))
}

fn failed(name: &'static str, error: &GenesysError) -> Check {
    let (verdict, remedy) = match error {
        GenesysError::Credentials { status: 403, .. } | GenesysError::Forbidden { .. } => {
            (Verdict::Error, ROLES.to_owned())
        }
        GenesysError::Credentials {
            status: 300..=399, ..
        } => (
            Verdict::Error,
            "check GENESYS_API_BASE_URL: it answers with a redirect, and the API is at https://api.<domain>".to_owned(),
        ),
        GenesysError::RateLimited { .. } | GenesysError::LocallyRateLimited { .. } => (
            Verdict::Warning,
            "wait a minute, then run doctor again; something else may use up the client's rate limit".to_owned(),
        ),
        GenesysError::Credentials { .. }
        | GenesysError::NotFound
        | GenesysError::Refused { .. }
        | GenesysError::Conflict { .. }
        | GenesysError::Unavailable { .. }
        | GenesysError::NoCredentials(_) => (
            Verdict::Error,
            format!(
                "check GENESYS_REGION or GENESYS_API_BASE_URL, and the network; genesys-replay explain {}",
                error.failure_code().as_str()
            ),
        ),
    };
    Check::with_remedy(verdict, name, error.to_string(), remedy)
}
