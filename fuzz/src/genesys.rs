//! What Genesys Cloud and its token endpoint answer.

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

/// The longest error that anybody would read, in bytes.
const LONGEST_ERROR: usize = 256;

/// How long a call waits for its turn by default.
const MAX_WAIT: Duration = Duration::from_secs(2);

type Members<'b> = BTreeMap<String, &'b RawValue>;

/// Line `call`: `conversation`, `interaction` or `mark`; line `status`; line `participant`: the
/// one that the event names; other lines: headers; the rest: the body.
///
/// # Panics
/// When an event is given up for less than a clear refusal, a wait has no bound, an error quotes
/// what it should not, or a mark goes to somebody who is not in the conversation.
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
    nobody_waits_for_ever(&answer);
    match answer.into_success_body() {
        Ok(body) => {
            assert!((200..=299).contains(&status), "{status}");
            if call == Call::Fetch {
                match genesys_replay_genesys::interaction(form, &body, &wanted) {
                    Ok(found) => interaction_is_the_answers(&found, &body, &wanted),
                    Err(error) => assert_eq!(error, unreadable_body(call)),
                }
            }
        }
        Err(error) => {
            failure_is_told(call, status, &error);
            // What is given up is given up because it was refused, not because of nonsense.
            if error.disposition() == Disposition::Permanent {
                assert!((400..=499).contains(&status), "{status}");
                assert!(![401, 403, 408, 425, 429].contains(&status), "{status}");
            }
        }
    }
}

/// Line `status`; other lines: headers; the rest: the body.
///
/// # Panics
/// When an event would be given up for the want of a token, a token could not be sent, or an error
/// quotes what it should not.
pub fn token_answer(input: &[u8]) {
    let call = Call::Token;
    let Some((status, answer)) = answer(Parts::read(input), call) else {
        return;
    };
    nobody_waits_for_ever(&answer);
    match answer.into_success_body() {
        Ok(body) => {
            assert!((200..=299).contains(&status), "{status}");
            match Grant::read(&body) {
                Ok(grant) => token_is_the_answers(&grant, &body),
                // It says nothing of what stands there instead, which may be a token.
                Err(error) => assert_eq!(error, unreadable_body(call)),
            }
        }
        Err(error) => {
            failure_is_told(call, status, &error);
            assert_ne!(error.disposition(), Disposition::Permanent, "{error}");
        }
    }
}

/// The answer with this status, these headers and this body; `None` for what is no HTTP.
fn answer(mut parts: Parts<'_>, call: Call) -> Option<(u16, ApiResponse)> {
    let status = parts.take_as("status").unwrap_or(200);
    let mut response = http::Response::builder().status(status);
    for (name, value) in &parts.lines {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        response = response.header(name, HeaderValue::from_str(value).ok()?);
    }
    let response = response.body(parts.rest.to_vec()).ok()?;
    let answer = ApiResponse::read(response.into(), call, NOW).now_or_never();
    // It is whole, and shorter than what is read.
    assert!(matches!(answer, Some(Ok(_))), "an answer is read");
    Some((status, answer?.ok()?))
}

const fn unreadable_body(call: Call) -> GenesysError {
    GenesysError::Unavailable {
        call,
        problem: UnavailableCause::Unreadable,
        after: None,
    }
}

fn nobody_waits_for_ever(answer: &ApiResponse) {
    let pace = RateLimiter::default();
    for _ in 0..3 {
        pace.observe(answer.reading(), answer.throttled_for(), NOW);
        match pace.reserve(NOW, MAX_WAIT) {
            Ok(wait) => assert!(wait <= MAX_WAIT, "{wait:?}"),
            Err(wait) => assert!(wait <= MAX_RETRY_AFTER + MAX_WAIT, "{wait:?}"),
        }
    }
    let afterwards = NOW.plus(MAX_RETRY_AFTER + MAX_WAIT);
    assert_eq!(pace.reserve(afterwards, MAX_WAIT), Ok(Duration::ZERO));
}

/// An error is one line that anybody may read: the body is not in it, but for a code.
fn failure_is_told(call: Call, status: u16, error: &GenesysError) {
    let shown = error.to_string();
    assert!(shown.len() <= LONGEST_ERROR, "{} bytes", shown.len());
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    if let GenesysError::Refused { code, .. } | GenesysError::Credentials { code, .. } = error {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(
            code.iter().all(|code| code.bytes().all(is_name)),
            "{code:?}"
        );
    }
    match error.disposition() {
        Disposition::Transient { after } => {
            assert!(
                after.is_none_or(|wait| wait <= MAX_RETRY_AFTER),
                "{after:?}"
            );
        }
        Disposition::Permanent | Disposition::Operator => {
            assert!(!(500..=599).contains(&status), "{status} is no refusal");
            assert_ne!(status, 429, "{call}");
        }
    }
}

/// No event has to wait because a text that nobody reads is garbled.
fn tolerated(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

fn interaction_is_the_answers(found: &Interaction, body: &[u8], wanted: &InteractionRef) {
    let body = tolerated(body);
    let members: Option<Members<'_>> = serde_json::from_str(&body).ok();
    assert!(members.is_some(), "an interaction is an object");
    let Interaction::Conversation { id, participant } = found else {
        assert_eq!(
            *found,
            Interaction::Record {
                id: wanted.id.clone()
            }
        );
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

/// The id of a participant; serde takes a list for one, too, and that does no harm.
fn id_of(participant: &RawValue) -> Option<String> {
    let text = participant.get();
    let id = match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => members.get("id").copied(),
        Err(_) => serde_json::from_str::<Vec<&RawValue>>(text)
            .ok()?
            .first()
            .copied(),
    };
    serde_json::from_str(id?.get()).ok()
}

fn token_is_the_answers(grant: &Grant, body: &[u8]) {
    let token = grant.secret.expose_secret();
    let body = tolerated(body);
    let members: Option<Members<'_>> = serde_json::from_str(&body).ok();
    let granted: Option<String> =
        members.and_then(|members| serde_json::from_str(members.get("access_token")?.get()).ok());
    assert_eq!(granted.as_deref(), Some(token));
    assert!(!token.is_empty(), "a token");
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    assert!(
        header.is_ok_and(|header| header.to_str().is_ok()),
        "can be sent"
    );
    let shown = format!("{grant:?}");
    assert!(token.len() < 16 || !shown.contains(token), "{shown}");
}
