//! The authentication of senders.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_replay::clock::Timestamp;
use genesys_replay_ingest::{Authentication, AuthenticationError, KeyRing, check_headers};
use genesys_test_support::TestResult;
use genesys_test_support::ingest_harness::{IngestHarness, SECRET, now, signature, wrapper};
use hmac_sha256::HMAC;
use standardwebhooks::Webhook;

const PATHS: [&str; 2] = ["/dead-letter", "/webhooks/genesys-outbound"];

fn borrowed<'h>(headers: &'h [(&'static str, String)]) -> Vec<(&'h str, &'h str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test]
async fn request_is_accepted_when_signed_with_the_secret() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let dead_letter = wrapper("s-1", 0, r#"{"é":1}"#);
    for (path, body, age) in [(PATHS[0], dead_letter.as_str(), -60), (PATHS[1], "{}", 60)] {
        let headers = signature(SECRET, "msg-1", age, body)?;
        let headers = borrowed(&headers);
        let answer = ingest.post_with(path, &headers, body.to_owned()).await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(ingest.queued().len(), 2);
    Ok(())
}

#[tokio::test]
async fn request_is_rejected_when_its_signature_is_wrong() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let body = wrapper("s-1", 0, "[1]");
    let other = "whsec_c29tZWJvZHktZWxzZXMtc2VjcmV0LWtleQ==";
    let good = || signature(SECRET, "msg-1", 0, &body);
    let without = |name: &str| -> Result<_, Box<dyn std::error::Error>> {
        let mut headers = good()?;
        headers.retain(|(header, _)| *header != name);
        Ok(headers)
    };
    let with = |name: &str, value: &str| -> Result<_, Box<dyn std::error::Error>> {
        let mut headers = without(name)?;
        let name = good()?.iter().map(|(header, _)| *header).find(|header| *header == name);
        headers.push((name.ok_or("no such header")?, value.to_owned()));
        Ok(headers)
    };
    let cases = [
        (without("webhook-id")?, "webhook-id"),
        (without("webhook-timestamp")?, "webhook-timestamp"),
        (without("webhook-signature")?, "webhook-signature"),
        (with("webhook-timestamp", "yesterday")?, "webhook-timestamp"),
        (with("webhook-timestamp", "-9223372036854775808")?, "webhook-timestamp"),
        (with("webhook-timestamp", "18446744073709551615")?, "five minutes"),
        (with("webhook-id", "msg-2")?, "no signature"),
        (with("webhook-signature", "v1,")?, "no signature"),
        (with("webhook-signature", "v2,AAAA")?, "no signature"),
        (signature(SECRET, "msg-1", 3_600, &body)?, "five minutes"),
        (signature(SECRET, "msg-1", -3_600, &body)?, "five minutes"),
        (signature(SECRET, "msg-1", 0, &wrapper("s-2", 0, "[1]"))?, "no signature"),
        (signature(other, "msg-1", 0, &body)?, "no signature"),
    ];
    for (headers, says) in cases {
        for path in PATHS {
            let answer = ingest.post_with(path, &borrowed(&headers), body.clone()).await?;
            assert_eq!(answer.status, 401, "{headers:?}");
            assert_eq!(answer.json()["code"], "INGEST_NOT_AUTHENTICATED");
            assert_eq!(answer.header("www-authenticate"), Some("Webhook-Signature"));
            assert!(answer.text.contains(says), "{says} in {}", answer.text);
        }
    }
    assert!(ingest.queued().is_empty());
    assert!(ingest.subscriptions.asked().is_empty());
    Ok(())
}

#[tokio::test]
async fn binary_body_is_accepted_when_signed() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_"))?;
    let (body, at) = ([0xff, 0xfe], now());
    let signed = [format!("msg-1.{at}.").as_bytes(), &body].concat();
    let signature = format!("v1,{}", STANDARD.encode(HMAC::mac(&signed, &key)));
    let at = at.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "msg-1"),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let post = async |body: Vec<u8>| ingest.post_with(PATHS[1], &headers, body).await;
    assert_eq!(post(vec![0xff, 0xfd]).await?.status, 401);
    assert_eq!(post(body.to_vec()).await?.status, 200);
    let not_ours = ingest.post_with(PATHS[0], &headers, body.to_vec()).await?;
    assert_eq!(not_ours.status, 400, "a dead letter has to be text");
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}

#[tokio::test]
async fn unsigned_genesys_headers_are_ignored_when_senders_sign() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let body = r#"{"campaignId":"c-1"}"#;
    for other in ["other-1", "other-2"] {
        let mut headers = signature(SECRET, "msg-1", 0, body)?;
        headers.push(("x-genesys-webhook-id", other.to_owned()));
        headers.push(("x-genesys-webhook-timestamp", "2001-01-01".to_owned()));
        let answer = ingest.post_with(PATHS[1], &borrowed(&headers), body).await?;
        assert_eq!(answer.status, 200);
    }
    for (_, message) in ingest.queued() {
        let said: Vec<_> = message
            .attributes
            .iter()
            .filter(|(name, _)| name.starts_with("Webhook"))
            .map(|(name, value)| (name.as_ref(), value.as_text().unwrap_or_default().to_owned()))
            .collect();
        assert_eq!(said[0], ("WebhookId", "msg-1".to_owned()));
        assert_ne!(said[1].1, "2001-01-01");
    }
    Ok(())
}

#[tokio::test]
async fn duplicate_request_to_the_other_path_is_rejected() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let dead_letter = wrapper("s-1", 0, r#"{"id":"e-1"}"#);
    let webhook = r#"{"campaignId":"c-1"}"#;
    for (path, other, body) in
        [(PATHS[0], PATHS[1], dead_letter.as_str()), (PATHS[1], PATHS[0], webhook)]
    {
        let headers = signature(SECRET, "msg-1", 0, body)?;
        let headers = borrowed(&headers);
        let first = ingest.post_with(path, &headers, body.to_owned()).await?;
        assert_eq!(first.status, 200);
        let copy = ingest.post_with(other, &headers, body.to_owned()).await?;
        assert_eq!(copy.status, 400, "{}", copy.text);
    }
    assert_eq!(ingest.queued().len(), 2);
    Ok(())
}

#[tokio::test]
async fn signature_window_ends_after_300_seconds() -> TestResult {
    const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);
    let check = |at: u64| -> Result<Result<(), AuthenticationError>, Box<dyn std::error::Error>> {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg-1".parse()?);
        headers.insert("webhook-signature", "v1,".parse()?);
        headers.insert("webhook-timestamp", at.to_string().parse()?);
        Ok(check_headers(&headers, NOW))
    };
    for (at, expected) in [
        (1_785_000_300, Ok(())),
        (1_785_000_301, Err(AuthenticationError::Window)),
        (1_784_999_700, Ok(())),
        (1_784_999_699, Err(AuthenticationError::Window)),
    ] {
        assert_eq!(check(at)?, expected, "{at}");
    }
    Ok(())
}

#[tokio::test]
async fn signed_request_is_rejected_when_iam_authenticates() -> TestResult {
    let ingest = IngestHarness::with(Authentication::Iam, |ingest| ingest).await?;
    let body = wrapper("s-1", 0, "[1]");
    let headers = signature(SECRET, "msg-1", 0, &body)?;
    for path in PATHS {
        let answer = ingest.post_with(path, &borrowed(&headers), body.clone()).await?;
        assert_eq!(answer.status, 401);
        assert!(answer.text.contains("IAM"), "{}", answer.text);
    }
    assert!(ingest.queued().is_empty());
    Ok(())
}

/// Returns the result of verifying a body with these secrets.
fn verified(
    secrets: &str,
    headers: Vec<(&'static str, String)>,
    body: &str,
) -> Result<Result<(), AuthenticationError>, Box<dyn std::error::Error>> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name, value.parse()?);
    }
    Ok(KeyRing::parse(secrets)?.verify(&map, body.as_bytes()))
}

#[test]
fn secret_is_read_without_padding_and_after_a_byte_order_mark() -> TestResult {
    // 16, 17 and 18 bytes: two, one and no character of padding.
    for encoded in
        ["c2l4dGVlbiBieXRlcyEhIQ==", "c2V2ZW50ZWVuIGJ5dGVzISE=", "ZWlnaHRlZW4gYnl0ZXMgISEh"]
    {
        let padded = format!("whsec_{encoded}");
        let bare = encoded.trim_end_matches('=');
        for text in [&padded, bare, &format!("whsec_{bare}"), &format!("\u{feff}{padded}\n")] {
            let headers = signature(&padded, "m-1", 0, "{}")?;
            assert_eq!(verified(text, headers, "{}")?, Ok(()), "{text:?}");
        }
    }
    Ok(())
}

#[test]
fn signature_with_the_text_of_the_secret_is_refused_by_name() -> TestResult {
    let encoded = SECRET.trim_start_matches("whsec_");
    for key in [SECRET, encoded] {
        let at = now();
        let signed = Webhook::from_bytes(key.as_bytes().to_vec())?.sign("m-1", at, b"{}")?;
        let mut headers = signature(SECRET, "m-1", 0, "{}")?;
        headers.retain(|(name, _)| !name.starts_with("webhook-"));
        headers.extend([
            ("webhook-id", "m-1".to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signed),
        ]);
        assert_eq!(verified(SECRET, headers, "{}")?, Err(AuthenticationError::TextAsKey));
    }
    let headers = signature("whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5", "m-1", 0, "{}")?;
    assert_eq!(verified(SECRET, headers, "{}")?, Err(AuthenticationError::Mismatch));
    Ok(())
}
