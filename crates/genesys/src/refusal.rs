//! The meaning of an unsuccessful answer, of the API and of its token endpoint.

use std::time::Duration;

use genesys_replay::failure::answers;
use genesys_replay::failure::answers::Meaning;
use genesys_replay::genesys::{Call, GenesysError, UnavailableCause};
use serde::Deserialize;

use super::body::{parse_object, printable_code};

/// The error body of the API. An error in another form is not from Genesys Cloud.
#[derive(Deserialize)]
struct ApiRefusal {
    code: Option<String>,
    status: Option<serde_json::Number>,
}

/// Returns the error of an unsuccessful answer of the API.
pub(super) fn of_api(
    call: Call,
    status: u16,
    after: Option<Duration>,
    body: &[u8],
) -> GenesysError {
    let error = parse_object::<ApiRefusal>(body);
    let is_genesys = error.as_ref().is_some_and(|it| it.code.is_some() && it.status.is_some());
    let code = error.and_then(|error| printable_code(error.code));
    // The form of the error body is only verified for interactions.
    let of_interaction = matches!(call, Call::Fetch | Call::Mark);
    let meaning = answers::of_genesys(status, is_genesys || !of_interaction);
    match meaning {
        Meaning::Conflict if !of_interaction => GenesysError::Refused { call, status, code },
        Meaning::Missing => GenesysError::NotFound,
        Meaning::RateLimited => GenesysError::RateLimited { call, after },
        Meaning::Conflict => GenesysError::Conflict { call, status, code, after },
        Meaning::Credentials if status == 403 && code.as_deref().is_some_and(names_object) => {
            GenesysError::Forbidden { call, code }
        }
        Meaning::Credentials | Meaning::Misconfigured => {
            GenesysError::Credentials { call, status, code }
        }
        Meaning::Refused => GenesysError::Refused { call, status, code },
        Meaning::Unavailable | Meaning::AnswerLost => {
            GenesysError::Unavailable { call, problem: UnavailableCause::Status(status), after }
        }
    }
}

/// Returns true if the code of a 403 is about a division or one object, such as
/// `missing.any.division.permissions`. The client may have access to other interactions.
fn names_object(code: &str) -> bool {
    let words = ["division", "object", "entity", "conversation", "participant", "interaction"];
    let code = code.to_ascii_lowercase();
    words.iter().any(|word| code.contains(word))
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: Option<String>,
    description: Option<String>,
    error_description: Option<String>,
}

/// Returns the error of a token endpoint's unsuccessful answer.
///
/// A reached rate limit is a 400 with a description. An operator must repair everything else below 500.
pub(super) fn of_token(status: u16, after: Option<Duration>, body: &[u8]) -> GenesysError {
    let call = Call::Token;
    let said: Option<TokenRefusal> = parse_object(body);
    let rate_limited = said.as_ref().is_some_and(|said| {
        [&said.description, &said.error_description]
            .into_iter()
            .flatten()
            .any(|text| text.to_lowercase().starts_with("rate limit exceeded"))
    });
    match status {
        429 => GenesysError::RateLimited { call, after },
        400 if rate_limited => GenesysError::RateLimited { call, after },
        408 | 425 | 500..=599 => {
            GenesysError::Unavailable { call, problem: UnavailableCause::Status(status), after }
        }
        _ => GenesysError::Credentials {
            call,
            status,
            code: said.and_then(|said| printable_code(said.error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::MAX_CODE_BYTES;
    use super::*;
    use genesys_replay::failure::{Disposition, FailureCode};

    /// Genesys' own error body.
    fn body(code: &str, status: u16) -> Vec<u8> {
        serde_json::json!({ "message": "no", "code": code, "status": status, "contextId": "x" })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn event_is_rejected_only_by_a_refusal_of_genesys() {
        let transient = Disposition::Transient { after: None };
        for call in [Call::Fetch, Call::Mark] {
            for status in [100, 103, 408, 409, 412, 423, 425, 429, 500, 503, 599, 600, 799, 999] {
                let error = of_api(call, status, None, &body("some.code", status));
                assert_eq!(error.disposition(), transient, "{status}");
            }
            for status in [400, 404, 405, 410, 413, 422, 451, 499] {
                let error = of_api(call, status, None, &body("some.code", status));
                assert_eq!(error.disposition(), Disposition::Permanent, "{status}");
            }
            for text in
                ["", "<html>", "{}", r#"{"code":"not.found"}"#, r#"{"status":404}"#, "[404]"]
            {
                let error = of_api(call, 404, None, text.as_bytes());
                assert_eq!(error.disposition(), Disposition::Operator, "{text}");
                assert_eq!(error.failure_code(), FailureCode::GenesysCredentials, "{text}");
            }
        }
    }

    #[test]
    fn refusal_with_403_is_about_one_object_by_its_code() {
        for (code, is_about_one) in [
            ("missing.any.division.permissions", true),
            ("Missing.Division.Permission", true),
            ("conversation.access.denied", true),
            ("missing.permissions", false),
            ("missing.any.permissions", false),
            ("not.authorized", false),
        ] {
            let error = of_api(Call::Fetch, 403, None, &body(code, 403));
            assert_eq!(error.is_about_one_object(), is_about_one, "{code}");
            assert_eq!(error.disposition(), Disposition::Operator, "{code}");
            assert_eq!(error.failure_code(), FailureCode::GenesysCredentials, "{code}");
        }
    }

    #[test]
    fn error_shows_its_code_and_no_other_text() {
        let shown = |code: &str| {
            let body = serde_json::json!({ "code": code }).to_string();
            of_api(Call::Mark, 400, None, body.as_bytes()).to_string()
        };
        assert!(shown("bad.request").ends_with("with status 400 (bad.request)"));
        for text in [
            "",
            "no such attribute: Marta Muster",
            "two\nlines",
            "+49-30-1234567",
            &"a.".repeat(MAX_CODE_BYTES),
        ] {
            assert!(shown(text).ends_with("with status 400"), "{text}");
        }
    }

    #[test]
    fn token_refusal_shows_its_code_and_no_other_text() {
        let shown = |error: &str| {
            let body = serde_json::json!({ "error": error }).to_string();
            of_token(401, None, body.as_bytes()).to_string()
        };
        assert!(shown("invalid_client").contains("(invalid_client)"));
        assert!(!shown("no client with secret hush-hush").contains("hush"));
    }
}
