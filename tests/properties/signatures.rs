//! Signatures, and the parsing of dead letters by ingest and by the replay function.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{ParsedMessage, Wrapper, parse};
use genesys_replay::message::{Message, MessageId};
use genesys_replay_ingest::{AuthenticationError, KeyRing, check_headers};
use proptest::prelude::*;
use proptest::sample::Index;
use standardwebhooks::Webhook;

use crate::samples::{json_text, odd_text};

fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 24..=64)
}

/// A request with a new signature.
#[derive(Clone, Debug)]
struct Signed {
    id: String,
    at: i64,
    body: String,
    signature: String,
}

impl Signed {
    fn new(secret: &[u8], id: &str, body: &str) -> Result<Self, TestCaseError> {
        let at = time::OffsetDateTime::now_utc().unix_timestamp();
        let failed = |error: standardwebhooks::WebhookError| TestCaseError::fail(error.to_string());
        let webhook = Webhook::from_bytes(secret.to_vec()).map_err(failed)?;
        let signature = webhook.sign(id, at, body.as_bytes()).map_err(failed)?;
        Ok(Self { id: id.to_owned(), at, body: body.to_owned(), signature })
    }

    /// Verifies the request with a key ring of these secrets.
    fn verified_by(
        &self,
        secrets: &[&[u8]],
    ) -> Result<Result<(), AuthenticationError>, TestCaseError> {
        let text: Vec<_> =
            secrets.iter().map(|secret| format!("whsec_{}", STANDARD.encode(secret))).collect();
        let ring = KeyRing::parse(&text.join(" "))
            .map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        Ok(ring.verify(&self.headers()?, self.body.as_bytes()))
    }

    fn headers(&self) -> Result<HeaderMap, TestCaseError> {
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| TestCaseError::reject(error.to_string()))
        };
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", value(&self.id)?);
        headers.insert("webhook-timestamp", value(&self.at.to_string())?);
        headers.insert("webhook-signature", value(&self.signature)?);
        Ok(headers)
    }
}

/// Returns the text with another character at one position.
fn changed(text: &str, at: Index) -> String {
    let mut dead_letters: Vec<char> = text.chars().collect();
    let at = at.index(dead_letters.len());
    dead_letters[at] = if dead_letters[at] == 'x' { 'y' } else { 'x' };
    dead_letters.into_iter().collect()
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn signature_is_valid_with_either_of_two_secrets_only(
        (old, new, other) in (secret(), secret(), secret()),
        id in "[!-~]{1,40}",
        body in odd_text(),
    ) {
        prop_assume!(other != old && other != new);
        for mine in [&old, &new] {
            let signed = Signed::new(mine, &id, &body)?;
            prop_assert_eq!(signed.verified_by(&[&old, &new])?, Ok(()));
        }
        let signed = Signed::new(&other, &id, &body)?;
        prop_assert_eq!(signed.verified_by(&[&old, &new])?, Err(AuthenticationError::Mismatch));
    }

    #[test]
    fn signature_is_invalid_after_any_change(
        secret in secret(),
        id in "[a-z0-9-]{1,40}",
        body in ".{1,200}",
        at in any::<Index>(),
    ) {
        let signed = Signed::new(&secret, &id, &body)?;
        let mismatch = Err(AuthenticationError::Mismatch);
        let mut other = signed.clone();
        other.id = changed(&id, at);
        prop_assert_eq!(other.verified_by(&[&secret])?, mismatch);
        let mut other = signed.clone();
        other.body = changed(&body, at);
        prop_assert_eq!(other.verified_by(&[&secret])?, mismatch);
        let mut other = signed.clone();
        other.at += 1;
        prop_assert_eq!(other.verified_by(&[&secret])?, mismatch);
        let mut other = signed.clone();
        other.signature = changed(&signed.signature, at);
        prop_assert_eq!(other.verified_by(&[&secret])?, mismatch);
        let mut other = signed;
        other.signature.truncate(at.index(other.signature.len()));
        prop_assert_eq!(other.verified_by(&[&secret])?, mismatch);
    }

    #[test]
    fn signature_is_valid_when_one_of_several_is(
        secret in secret(),
        others in prop::collection::vec("v[0-9],[A-Za-z0-9+/]{0,50}={0,2}", 0..4),
    ) {
        let mut signed = Signed::new(&secret, "msg-1", "{}")?;
        let mut all = others;
        all.push(signed.signature);
        signed.signature = all.join(" ");
        prop_assert_eq!(signed.verified_by(&[&secret])?, Ok(()));
    }

    #[test]
    fn signature_window_is_300_seconds_in_both_directions(now in 0_u64..=253_402_300_799, at in any::<u64>(), near in 0_u64..=600) {
        let clock = Timestamp::from_millis(now * 1_000);
        for at in [at, (now + near).saturating_sub(300)] {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-id", HeaderValue::from_static("msg-1"));
            headers.insert("webhook-signature", HeaderValue::from_static("v1,"));
            headers.insert("webhook-timestamp", HeaderValue::from(at));
            let expected = if at.abs_diff(now) <= 300 { Ok(()) } else { Err(AuthenticationError::Window) };
            prop_assert_eq!(check_headers(&headers, clock), expected);
        }
    }

    #[test]
    fn signature_check_survives_arbitrary_headers(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 3),
        body in prop::collection::vec(any::<u8>(), 0..40),
        secret in secret(),
    ) {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let mut headers = HeaderMap::new();
        for (name, value) in names.into_iter().zip(&values) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        }
        // The headers or the signature are refused.
        let _ = check_headers(&headers, Timestamp::from_millis(1_785_000_000_000));
        let ring = KeyRing::parse(&STANDARD.encode(&secret))
            .map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert!(ring.verify(&headers, &body).is_err());
    }

    #[test]
    fn key_ring_error_never_shows_its_text(text in odd_text()) {
        let shown = match KeyRing::parse(&text) {
            Ok(ring) => format!("{ring:?}"),
            Err(fault) => fault.to_string(),
        };
        prop_assert!(text.len() < 8 || !shown.contains(&text));
    }

    #[test]
    fn accepted_wrapper_is_parsed_as_a_dead_letter(
        members in prop::collection::btree_map("[a-z]{1,4}|retryCount|failureReason|timestamp", json_text(), 0..4),
        event in json_text(),
        retries in any::<u32>(),
    ) {
        let others: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value},"))
            .collect();
        let others = others.concat();
        let body = format!(
            "{{{others}\"eventType\":\"dead-letter\",\"subscriptionId\":\"s-1\",\"retryCount\":{retries},\"originalEvent\":{event}}}"
        );
        let Ok(wrapper) = Wrapper::read(&body, true) else {
            return Ok(());
        };
        prop_assert_eq!(wrapper.retry_count, retries);
        let id = MessageId::new("m-1").ok_or_else(|| TestCaseError::fail("no id"))?;
        let message = Message::new(id, body.clone());
        let ParsedMessage::DeadLetter(dead_letter) = parse(&message) else {
            return Err(TestCaseError::fail(format!("not opened: {body}")));
        };
        prop_assert_eq!(&*dead_letter.payload, event.trim());
        prop_assert_eq!(dead_letter.failure.retry_attempts, retries);
    }
}
