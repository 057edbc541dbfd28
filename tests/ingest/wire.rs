//! Every response of ingest, over the wire.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults, InMemory, MemorySubscriptions};
use genesys_replay::clock::SystemClock;
use genesys_replay::genesys::{Call, GenesysError, Standing, UnavailableCause};
use genesys_replay::queue::PutError;
use genesys_replay_ingest::{Authentication, Ingest, SubscriptionCheck};
use genesys_test_support::TestResult;
use genesys_test_support::ingest_harness::{Answer, IngestHarness, wrapper};
use reqwest::Method;
use serde_json::json;

const PATHS: [&str; 2] = ["/dead-letter", "/webhooks/genesys-outbound"];

/// Checks the format of a refusal.
fn is_problem(answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["code"], code);
    assert_eq!(problem["type"], format!("urn:genesys-replay:failure:{code}"));
    for member in ["title", "detail"] {
        assert!(
            problem[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member} of {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn accepted_dead_letter_response_has_attempt_and_message_id() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let body = wrapper("s-1", 2, r#"{"interactionId":"c-1"}"#);
    let answer = ingest.post("/dead-letter", &body).await?;
    let queued = ingest.queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.json(),
        json!({ "status": "accepted", "attempt": 3, "messageId": queued[0].0.as_str() })
    );
    assert_eq!(queued[0].1.body, body, "byte for byte");
    Ok(())
}

#[tokio::test]
async fn next_attempt_does_not_overflow_at_the_largest_retry_count() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let body = wrapper("s-1", u32::MAX, "[1]");
    let answer = ingest.post("/dead-letter", &body).await?;
    assert_eq!(answer.json()["attempt"], 4_294_967_296_u64);
    Ok(())
}

#[tokio::test]
async fn accepted_webhook_response_has_only_a_status() -> TestResult {
    let ingest = IngestHarness::open().await?;
    for body in [r#"{"campaignId":"c"}"#, "not json", "[]", "\u{ffff}"] {
        let answer = ingest.post(PATHS[1], body).await?;
        assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"status":"accepted"}"#));
    }
    assert_eq!(ingest.queued().len(), 4);
    Ok(())
}

#[tokio::test]
async fn health_check_needs_no_authentication() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let answer = Answer::of(reqwest::get(ingest.url("/health")).await?).await?;
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": "ok" })));
    Ok(())
}

#[tokio::test]
async fn unknown_methods_and_paths_are_refused() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let client = reqwest::Client::new();
    let ask = async |method: Method, path: &str| {
        let body = wrapper("s-1", 0, "[1]");
        let request = client.request(method, ingest.url(path)).body(body);
        Answer::of(request.send().await?).await
    };
    for path in PATHS {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let answer = ask(method, path).await?;
            is_problem(&answer, 405, "INGEST_METHOD");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
    }
    let answer = ask(Method::POST, "/health").await?;
    is_problem(&answer, 405, "INGEST_METHOD");
    assert_eq!(answer.header("allow"), Some("GET"));
    for path in ["/", "/dead-letter/", "/dead-letter/x", "/DEAD-LETTER", "/health/", "/%2e"] {
        is_problem(&ask(Method::POST, path).await?, 404, "INGEST_NOT_FOUND");
    }
    assert!(ingest.queued().is_empty());
    Ok(())
}

#[tokio::test]
async fn dead_letter_is_refused_when_its_content_type_is_not_json() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let body = wrapper("s-1", 0, "[1]");
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "text/json+json")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let answer = ingest.post_with(PATHS[0], headers, body.clone()).await?;
        is_problem(&answer, 415, "INGEST_MEDIA_TYPE");
    }
    assert!(ingest.queued().is_empty());
    for kind in
        ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"]
    {
        let answer = ingest.post_with(PATHS[0], &[("content-type", kind)], body.clone()).await?;
        assert_eq!(answer.status, 200, "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn malformed_wrapper_response_names_the_member() -> TestResult {
    let ingest = IngestHarness::open().await?;
    for (body, status, code, says) in [
        ("", 400, "INGEST_BODY_MALFORMED", "line 1"),
        ("not json", 400, "INGEST_BODY_MALFORMED", "line 1"),
        ("[]", 400, "INGEST_BODY_MALFORMED", "not a JSON object"),
        ("{}", 400, "INGEST_BODY_MALFORMED", "eventType"),
        (r#"{"eventType":"private"}"#, 400, "INGEST_BODY_MALFORMED", "eventType"),
        (
            r#"{"eventType":"dead-letter","originalEvent":[1]}"#,
            400,
            "INGEST_BODY_MALFORMED",
            "subscriptionId",
        ),
        (
            r#"{"eventType":"dead-letter","subscriptionId":"a/b","originalEvent":[1]}"#,
            400,
            "INGEST_BODY_MALFORMED",
            "subscriptionId",
        ),
        (
            r#"{"eventType":"dead-letter","subscriptionId":"s","retryCount":"private","originalEvent":[1]}"#,
            400,
            "INGEST_BODY_MALFORMED",
            "retryCount",
        ),
        (
            "{\"eventType\":\"dead-letter\",\"subscriptionId\":\"s\",\"originalEvent\":\"\u{fffe}\"}",
            400,
            "INGEST_BODY_MALFORMED",
            "characters",
        ),
        (
            r#"{"eventType":"dead-letter","subscriptionId":"s"}"#,
            422,
            "INGEST_EVENT_EMPTY",
            "originalEvent",
        ),
        (
            r#"{"eventType":"dead-letter","subscriptionId":"s","originalEvent":{ }}"#,
            422,
            "INGEST_EVENT_EMPTY",
            "originalEvent",
        ),
    ] {
        let answer = ingest.post(PATHS[0], body).await?;
        is_problem(&answer, status, code);
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(says), "{says} in {detail}");
        assert!(!detail.contains("private"), "{detail}");
    }
    let json = [("content-type", "application/json")];
    let not_text = ingest.post_with(PATHS[0], &json, vec![b'{', 0xff]).await?;
    is_problem(&not_text, 400, "INGEST_BODY_MALFORMED");
    let empty = ingest.post(PATHS[1], "").await?;
    is_problem(&empty, 422, "INGEST_EVENT_EMPTY");
    assert!(ingest.queued().is_empty());
    assert!(ingest.subscriptions.asked().is_empty(), "a refused request makes no lookup");
    Ok(())
}

#[tokio::test]
async fn subscription_is_refused_when_unknown_or_inactive() -> TestResult {
    let ingest = IngestHarness::open().await?;
    ingest.subscriptions.put("off", Standing::Inactive);
    ingest.subscriptions.put("gone", Standing::Unknown);
    for (id, says) in [("off", "not active"), ("gone", "unknown")] {
        let answer = ingest.post(PATHS[0], &wrapper(id, 0, "[1]")).await?;
        is_problem(&answer, 403, "INGEST_SUBSCRIPTION_REFUSED");
        assert!(answer.text.contains(says), "{}", answer.text);
    }
    assert!(ingest.queued().is_empty());
    Ok(())
}

/// A hook that fails every call with the same error.
struct Failing<E>(fn() -> E);

impl<E: Send + 'static> Faults<E> for Failing<E> {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, E> {
        Box::pin(ready(Err((self.0)())))
    }
}

fn refused_by_genesys(
    error: fn() -> GenesysError,
) -> impl FnOnce(Ingest<InMemory>) -> Ingest<InMemory> {
    move |ingest| {
        let subscriptions = MemorySubscriptions::default().with_faults(Arc::new(Failing(error)));
        let check = SubscriptionCheck::new(subscriptions, Arc::new(SystemClock));
        Ingest { check: Some(check), ..ingest }
    }
}

#[tokio::test]
async fn retry_after_is_sent_when_genesys_cloud_fails() -> TestResult {
    type Fails = fn() -> GenesysError;
    const CALL: Call = Call::Subscription;
    let cases: [(Fails, &str); 4] = [
        (
            || GenesysError::RateLimited { call: CALL, after: Some(Duration::from_millis(41_001)) },
            "42",
        ),
        (|| GenesysError::LocallyRateLimited { call: CALL, after: Duration::from_secs(7) }, "7"),
        (
            || GenesysError::Unavailable {
                call: CALL,
                problem: UnavailableCause::Status(503),
                after: None,
            },
            "5",
        ),
        (
            || GenesysError::Credentials {
                call: CALL,
                status: 401,
                code: Some("bad.credentials".to_owned()),
            },
            "60",
        ),
    ];
    for (error, retry_after) in cases {
        let ingest = IngestHarness::with(Authentication::None, refused_by_genesys(error)).await?;
        let answer = ingest.post(PATHS[0], &wrapper("s-1", 0, "[1]")).await?;
        is_problem(&answer, 503, "INGEST_GENESYS_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some(retry_after));
        for internal in ["credentials", "401", "503 ", "rate limit"] {
            let detail = answer.json()["detail"].to_string();
            assert!(!detail.contains(internal), "{internal} in {detail}");
        }
        assert!(ingest.queued().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn retry_after_is_sent_when_the_queue_is_down() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, |ingest| Ingest {
        sender: ingest.sender.with_faults(Arc::new(Failing(|| PutError::Unavailable {
            reason: "SQS answered AccessDenied for arn:aws:iam::1".to_owned(),
        }))),
        ..ingest
    })
    .await?;
    for (path, body) in PATHS.into_iter().zip([&wrapper("s-1", 0, "[1]"), "{}"]) {
        let answer = ingest.post(path, body).await?;
        is_problem(&answer, 503, "INGEST_QUEUE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(!answer.text.contains("AccessDenied"), "{}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn event_larger_than_a_message_is_refused_without_retry_after() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, |ingest| Ingest {
        sender: ingest
            .sender
            .with_faults(Arc::new(Failing(|| PutError::TooLong { bytes: 7, limit: None }))),
        ..ingest
    })
    .await?;
    for (path, body) in PATHS.into_iter().zip([&wrapper("s-1", 0, "[1]"), "{}"]) {
        let answer = ingest.post(path, body).await?;
        is_problem(&answer, 413, "INGEST_BODY_TOO_LARGE");
        assert_eq!(answer.header("retry-after"), None);
    }
    Ok(())
}

/// A hook that panics at the first call only.
struct Panics(std::sync::atomic::AtomicBool);

impl Faults<PutError> for Panics {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, PutError> {
        use std::sync::atomic::Ordering::SeqCst;
        assert!(self.0.swap(true, SeqCst), "a fault in the program");
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test]
async fn panic_fails_its_own_request_only() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, |ingest| Ingest {
        sender: ingest
            .sender
            .with_faults(Arc::new(Panics(std::sync::atomic::AtomicBool::new(false)))),
        ..ingest
    })
    .await?;
    let body = wrapper("s-1", 0, "[1]");
    let first = ingest.post(PATHS[0], &body).await?;
    is_problem(&first, 500, "INGEST_INTERNAL");
    assert_eq!(first.header("retry-after"), Some("5"));
    let second = ingest.post(PATHS[0], &body).await?;
    assert_eq!(second.status, 200);
    assert_eq!(ingest.queued().len(), 1);
    Ok(())
}
