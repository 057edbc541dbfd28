//! The responses of Genesys Cloud and its token endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::failure::Disposition;
use genesys_replay::genesys::{ApiForm, Call, GenesysError, Interaction, UnavailableCause};
use genesys_replay::retry_after::MAX_RETRY_AFTER;
use genesys_replay_genesys::{ApiResponse, Grant, RateLimiter};
use http::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::value::RawValue;

use crate::NOW;
use crate::parts::Parts;

/// The maximum length of an error message, in bytes.
const LONGEST_ERROR: usize = 256;

/// The default maximum delay of the rate limiter.
const MAX_WAIT: Duration = Duration::from_secs(2);

type Members<'b> = BTreeMap<String, &'b RawValue>;

/// Checks a response. Line `call`: `conversation`, `interaction` or `mark`; line `status`; line
/// `participant`: the one of the event; other lines: headers; the rest: the body.
///
/// # Panics
/// An event is rejected without a clear refusal, a delay exceeds the maximum, an error quotes the body,
/// or a mark goes to a participant that is not in the conversation.
pub fn genesys_answer(input: &[u8]) {
    let mut parts = Parts::read(input);
    let (call, form) = match parts.take("call").as_deref() {
        Some("mark") => (Call::Mark, ApiForm::Conversations),
        Some("interaction") => (Call::Fetch, ApiForm::Interactions),
        Some(_) | None => (Call::Fetch, ApiForm::Conversations),
    };
    let Some(id) = InteractionId::new("33713474-6571-43ac-82be-a1f62976c171") else {
        return;
    };
    let participant = parts.take("participant");
    let wanted = InteractionRef { id, participant };
    let Some((status, answer)) = answer(parts, call) else {
        return;
    };
    delay_is_bounded(&answer);
    match answer.into_success_body() {
        Ok(body) => {
            assert!((200..=299).contains(&status), "{status}");
            if call == Call::Fetch {
                match genesys_replay_genesys::interaction(form, &body, &wanted) {
                    Ok(found) => interaction_is_from_the_response(&found, &body, &wanted),
                    Err(error) => assert_eq!(error, unreadable_body(call)),
                }
            }
        }
        Err(error) => {
            error_is_one_line(call, status, &error);
            // Only a refusal rejects an event, and not an invalid response.
            if error.disposition() == Disposition::Permanent {
                assert!((400..=499).contains(&status), "{status}");
                assert!(![401, 403, 408, 425, 429].contains(&status), "{status}");
            }
        }
    }
}

/// Checks a token response. Line `status`; other lines: headers; the rest: the body.
///
/// # Panics
/// A missing token would reject an event, a token cannot be a header, or an error quotes the body.
pub fn token_answer(input: &[u8]) {
    let call = Call::Token;
    let Some((status, answer)) = answer(Parts::read(input), call) else {
        return;
    };
    delay_is_bounded(&answer);
    match answer.into_success_body() {
        Ok(body) => {
            assert!((200..=299).contains(&status), "{status}");
            match Grant::read(&body) {
                Ok(grant) => token_is_from_the_response(&grant, &body),
                // The error does not quote the invalid value, which may be a token.
                Err(error) => assert_eq!(error, unreadable_body(call)),
            }
        }
        Err(error) => {
            error_is_one_line(call, status, &error);
            assert_ne!(error.disposition(), Disposition::Permanent, "{error}");
        }
    }
}

/// Returns the response with this status, these headers and this body. `None`: it is not valid HTTP.
fn answer(mut parts: Parts<'_>, call: Call) -> Option<(u16, ApiResponse)> {
    let status = parts.take_as("status").unwrap_or(200);
    let mut response = http::Response::builder().status(status);
    for (name, value) in &parts.lines {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        response = response.header(name, HeaderValue::from_str(value).ok()?);
    }
    let response = response.body(parts.rest.to_vec()).ok()?;
    let answer = ApiResponse::read(response.into(), call, NOW).now_or_never();
    // The body is complete and shorter than the limit.
    assert!(matches!(answer, Some(Ok(_))), "an answer is read");
    Some((status, answer?.ok()?))
}

const fn unreadable_body(call: Call) -> GenesysError {
    GenesysError::Unavailable { call, problem: UnavailableCause::Unreadable, after: None }
}

fn delay_is_bounded(answer: &ApiResponse) {
    let pace = RateLimiter::default();
    for _ in 0..3 {
        pace.observe(answer.reading(), answer.throttled_for(), NOW);
        match pace.reserve(1, NOW, MAX_WAIT) {
            Ok(wait) => assert!(wait <= MAX_WAIT, "{wait:?}"),
            Err(wait) => assert!(wait <= MAX_RETRY_AFTER + MAX_WAIT, "{wait:?}"),
        }
    }
    let afterwards = NOW.plus(MAX_RETRY_AFTER + MAX_WAIT);
    assert_eq!(pace.reserve(1, afterwards, MAX_WAIT), Ok(Duration::ZERO));
}

/// Checks that an error is one line without the body, except for its code.
fn error_is_one_line(call: Call, status: u16, error: &GenesysError) {
    let shown = error.to_string();
    assert!(shown.len() <= LONGEST_ERROR, "{} bytes", shown.len());
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    if let GenesysError::Refused { code, .. } | GenesysError::Credentials { code, .. } = error {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(code.iter().all(|code| code.bytes().all(is_name)), "{code:?}");
    }
    match error.disposition() {
        Disposition::Transient { after } => {
            assert!(after.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{after:?}");
        }
        Disposition::Permanent | Disposition::Operator => {
            assert!(!(500..=599).contains(&status), "{status} is not a refusal");
            assert_ne!(status, 429, "{call}");
        }
    }
}

/// Removes invalid UTF-8 from texts that the client ignores.
fn lossy_text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

fn interaction_is_from_the_response(found: &Interaction, body: &[u8], wanted: &InteractionRef) {
    let body = lossy_text(body);
    let members: Option<Members<'_>> = serde_json::from_str(&body).ok();
    assert!(members.is_some(), "an interaction is an object");
    let Interaction::Conversation { id, participant } = found else {
        assert_eq!(*found, Interaction::Record { id: wanted.id.clone() });
        return;
    };
    assert_eq!(*id, wanted.id);
    let participants: Vec<&RawValue> = members
        .and_then(|members| serde_json::from_str(members.get("participants")?.get()).ok())
        .unwrap_or_default();
    let ids: Vec<String> = participants.into_iter().filter_map(id_of).collect();
    assert!(ids.iter().any(|id| id == participant.as_str()), "{ids:?}");
    if let Some(own) = wanted.participant.as_ref().filter(|own| ids.contains(own)) {
        assert_eq!(participant.as_str(), own, "the event's own participant");
    }
}

/// The id of a participant. Serde also accepts a list, which is harmless.
fn id_of(participant: &RawValue) -> Option<String> {
    let text = participant.get();
    let id = match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => members.get("id").copied(),
        Err(_) => serde_json::from_str::<Vec<&RawValue>>(text).ok()?.first().copied(),
    };
    serde_json::from_str(id?.get()).ok()
}

fn token_is_from_the_response(grant: &Grant, body: &[u8]) {
    let token = grant.secret.expose_secret();
    let body = lossy_text(body);
    let members: Option<Members<'_>> = serde_json::from_str(&body).ok();
    let granted: Option<String> =
        members.and_then(|members| serde_json::from_str(members.get("access_token")?.get()).ok());
    assert_eq!(granted.as_deref(), Some(token));
    assert!(!token.is_empty(), "a token");
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    assert!(header.is_ok_and(|header| header.to_str().is_ok()), "can be sent");
    let shown = format!("{grant:?}");
    assert!(token.len() < 16 || !shown.contains(token), "{shown}");
}
