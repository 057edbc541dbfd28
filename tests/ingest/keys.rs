//! The secrets of signatures: rotation and the cache of Secrets Manager.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use genesys_fakes::{ManualClock, MemorySecret};
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::RefusalCode;
use genesys_replay::secret::SecretError;
use genesys_replay_ingest::{KeyRing, KeyRingFault, KeySource, Keys, Refusal};
use genesys_test_support::TestResult;
use genesys_test_support::ingest_harness::{SECRET, signature};

const NEW: &str = "whsec_YS1uZXdlci1zZWNyZXQtYW4tZXZlbi1sb25nZXItb25l";
const BODY: &str = "{}";

/// Keys from a secret in memory, with a manual clock.
struct KeysHarness {
    secret: MemorySecret,
    clock: Arc<ManualClock>,
    keys: Keys<MemorySecret>,
}

impl KeysHarness {
    fn of(text: &str) -> Self {
        let secret = MemorySecret::of(text);
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_785_000_000_000)));
        let keys = Keys::new(KeySource::Secret(secret.clone()), clock.clone());
        Self { secret, clock, keys }
    }

    fn pass(&self, seconds: u64) {
        self.clock.pass(Duration::from_secs(seconds));
    }

    /// Returns the error of a request that is signed with this secret. `None`: it is accepted.
    async fn refusal(&self, secret: &str) -> Result<Option<RefusalCode>, Box<dyn Error>> {
        let verified = self.keys.verify(&headers(secret)?, BODY.as_bytes()).await;
        Ok(verified.err().map(|error| Refusal::from(error).code()))
    }
}

fn headers(secret: &str) -> Result<HeaderMap, Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    for (name, value) in signature(secret, "msg-1", 0, BODY)? {
        headers.insert(HeaderName::from_static(name), value.parse()?);
    }
    Ok(headers)
}

const UNKNOWN: Option<RefusalCode> = Some(RefusalCode::NotAuthenticated);
const UNCHECKED: Option<RefusalCode> = Some(RefusalCode::SecretUnavailable);

#[test]
fn key_ring_accepts_one_or_two_secrets_and_nothing_else() {
    for (text, expected) in [
        (SECRET.to_owned(), None),
        (format!("{SECRET} {NEW}"), None),
        (format!("\n{SECRET},\r\n{NEW},"), None),
        ("c2l4dGVlbiBieXRlcyBvaw==".to_owned(), None),
        // 15 bytes.
        ("ZmlmdGVlbiBsZXR0ZXJz".to_owned(), Some(KeyRingFault::NotBase64(1))),
        (String::new(), Some(KeyRingFault::Count(0))),
        (" ,\n".to_owned(), Some(KeyRingFault::Count(0))),
        (format!("{SECRET} {NEW} {SECRET}"), Some(KeyRingFault::Count(3))),
        ("whsec_".to_owned(), Some(KeyRingFault::NotBase64(1))),
        (format!("{SECRET} hush-hush"), Some(KeyRingFault::NotBase64(2))),
        ("{\"secret\":1}".to_owned(), Some(KeyRingFault::NotBase64(1))),
    ] {
        let ring = KeyRing::parse(&text);
        assert_eq!(ring.as_ref().err().copied(), expected, "{text}");
        assert!(!format!("{ring:?}").contains("hush"));
    }
    let short = KeyRing::parse("c2l4dGVlbiBieXRlcyBvaw==");
    assert!(short.is_ok_and(|ring| ring.has_short()));
    assert!(KeyRing::parse(SECRET).is_ok_and(|ring| !ring.has_short()));
}

#[tokio::test]
async fn old_and_new_secret_are_both_valid_during_rotation() -> TestResult {
    let harness = KeysHarness::of(&format!("{NEW} {SECRET}"));
    for secret in [SECRET, NEW] {
        assert_eq!(harness.refusal(secret).await?, None);
    }
    assert_eq!(harness.refusal("c29tZWJvZHkgZWxzZSdzIGtleQ==").await?, UNKNOWN);
    Ok(())
}

#[tokio::test]
async fn rotated_secret_is_valid_at_once_and_the_old_one_for_300_s() -> TestResult {
    let harness = KeysHarness::of(SECRET);
    assert_eq!(harness.refusal(SECRET).await?, None);
    harness.secret.put(Ok(NEW));
    assert_eq!(harness.refusal(NEW).await?, None);
    assert_eq!(harness.refusal(SECRET).await?, UNKNOWN);

    let harness = KeysHarness::of(SECRET);
    assert_eq!(harness.refusal(SECRET).await?, None);
    harness.secret.put(Ok(NEW));
    harness.pass(299);
    assert_eq!(harness.refusal(SECRET).await?, None);
    harness.pass(1);
    assert_eq!(harness.refusal(SECRET).await?, UNKNOWN);
    Ok(())
}

#[tokio::test]
async fn secret_reads_are_limited_when_signatures_do_not_match() -> TestResult {
    let harness = KeysHarness::of(SECRET);
    for _ in 0..50 {
        assert_eq!(harness.refusal(NEW).await?, UNKNOWN);
    }
    assert_eq!(harness.secret.reads(), 2);
    harness.pass(10);
    for _ in 0..50 {
        assert_eq!(harness.refusal(NEW).await?, UNKNOWN);
    }
    assert_eq!(harness.secret.reads(), 3);
    Ok(())
}

#[tokio::test]
async fn cached_secret_stays_valid_for_1_h_of_secrets_manager_outage() -> TestResult {
    for code in [None, Some("ThrottlingException"), Some("InternalServiceError")] {
        let harness = KeysHarness::of(SECRET);
        assert_eq!(harness.refusal(SECRET).await?, None);
        let outage =
            code.map_or(SecretError::Unreachable, |code| SecretError::Refused(code.to_owned()));
        harness.secret.put(Err(outage));
        harness.pass(3_599);
        for _ in 0..50 {
            assert_eq!(harness.refusal(SECRET).await?, None);
        }
        assert_eq!(harness.secret.reads(), 2, "the next read waits for the minimum interval");
        harness.pass(1);
        assert_eq!(harness.refusal(SECRET).await?, UNCHECKED);
    }
    Ok(())
}

#[tokio::test]
async fn removed_secret_is_invalid_after_the_next_read() -> TestResult {
    for gone in [
        Err(SecretError::Refused("ResourceNotFoundException".to_owned())),
        Err(SecretError::Refused("AccessDeniedException".to_owned())),
        Err(SecretError::Binary),
        Ok("rubbish"),
    ] {
        let harness = KeysHarness::of(SECRET);
        assert_eq!(harness.refusal(SECRET).await?, None);
        harness.secret.put(gone.clone());
        harness.pass(300);
        assert_eq!(harness.refusal(SECRET).await?, UNCHECKED);
        // Also when Secrets Manager is down afterwards.
        harness.secret.put(Err(SecretError::Unreachable));
        harness.pass(10);
        assert_eq!(harness.refusal(SECRET).await?, UNCHECKED);

        let harness = KeysHarness::of(SECRET);
        assert_eq!(harness.refusal(SECRET).await?, None);
        harness.secret.put(gone);
        // A wrong signature of any sender causes a new read.
        assert_eq!(harness.refusal(NEW).await?, UNKNOWN);
        assert_eq!(harness.refusal(SECRET).await?, UNCHECKED);
    }
    Ok(())
}

#[tokio::test]
async fn unreadable_secret_is_unavailable_and_read_again_later() -> TestResult {
    for outage in [Err(SecretError::Unreachable), Err(SecretError::Binary), Ok("not a secret")] {
        let harness = KeysHarness::of("");
        harness.secret.put(outage);
        for _ in 0..50 {
            assert_eq!(harness.refusal(SECRET).await?, UNCHECKED);
        }
        assert_eq!(harness.secret.reads(), 1);
        harness.secret.put(Ok(SECRET));
        harness.pass(10);
        assert_eq!(harness.refusal(SECRET).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn concurrent_requests_share_one_read_of_the_secret() -> TestResult {
    let harness = KeysHarness::of(SECRET);
    let headers = headers(SECRET)?;
    let all = (0..20).map(|_| harness.keys.verify(&headers, BODY.as_bytes()));
    let verified = futures_util::future::join_all(all).await;
    assert!(verified.iter().all(Result::is_ok));
    assert_eq!(harness.secret.reads(), 1);
    Ok(())
}
