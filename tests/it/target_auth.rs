//! Authenticated deliveries to an HTTP target: secrets in the local AWS, requests at mockito.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::Client;
use genesys_replay_lambda::app;
use genesys_test_support::replay_harness::invoke;
use genesys_test_support::{LocalAws, Record, ReplayHarness, TestResult, event};
use mockito::{Matcher, Server, ServerGuard};
use standardwebhooks::Webhook;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl+Qw1zoN8";

/// A harness with an HTTP target and its authentication.
struct Target {
    harness: ReplayHarness,
    secrets: Client,
    secret: String,
    server: ServerGuard,
}

impl Target {
    async fn start(auth: &str, text: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let mut harness = ReplayHarness::start().await?;
        let server = Server::new_async().await;
        let secrets = Client::new(&harness.aws.config());
        let secret = LocalAws::name("target");
        secrets.create_secret().name(&secret).secret_string(text).send().await?;
        harness.set("REPLAY_TARGET", &format!("{}/events", server.url()));
        harness.set("TARGET_AUTH", auth);
        harness.set("TARGET_SECRET_ID", &secret);
        Ok(Self { harness, secrets, secret, server })
    }

    async fn rotate(&self, text: &str) -> TestResult {
        self.secrets.put_secret_value().secret_id(&self.secret).secret_string(text).send().await?;
        Ok(())
    }

    /// Returns the failure code of the event in the ledger.
    async fn code(&self, event: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let key = format!("{event}|{}/events", self.server.url());
        self.harness.aws.attribute(&key, "FailureCode").await
    }
}

fn batch(number: u32) -> serde_json::Value {
    event(&[Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "c-1")])
}

#[tokio::test]
async fn headers_of_the_secret_are_sent() -> TestResult {
    let secret = "\u{feff}{\"Authorization\":\"Bearer hush\",\"X-Tenant\":\"acme\"}";
    let mut target = Target::start("headers", secret).await?;
    let post = target.server.mock("POST", "/events").match_header("authorization", "Bearer hush");
    let post = post.match_header("x-tenant", "acme").create_async().await;
    let function = target.harness.function()?;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn secret_is_read_again_when_the_target_refuses_its_headers() -> TestResult {
    let mut target = Target::start("headers", r#"{"X-Key":"old"}"#).await?;
    let clock = std::sync::Arc::new(genesys_test_support::ForwardClock::default());
    let settings = target.harness.settings().clone();
    let settings =
        genesys_replay_settings::Settings::from_lookup(|name| settings.get(name).cloned())?;
    let aws = target.harness.aws.config();
    let function = app::build_with_clock(settings, &aws, clock.clone())?;
    let old = target.server.mock("POST", "/events").match_header("x-key", "old");
    let old = old.with_status(401).expect(2).create_async().await;
    let new = target.server.mock("POST", "/events").match_header("x-key", "new");
    let new = new.expect(1).create_async().await;
    assert_eq!(invoke(&function, batch(1)).await??, ["m-1"]);
    assert_eq!(target.code("e-1").await?.as_deref(), Some("TARGET_CREDENTIALS"));
    target.rotate(r#"{"X-Key":"new"}"#).await?;
    clock.advance_seconds(11);
    // The same event is posted again with the new headers.
    assert!(invoke(&function, batch(2)).await??.is_empty());
    old.assert_async().await;
    new.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn signature_is_verified_by_the_library_of_standard_webhooks() -> TestResult {
    let mut target = Target::start("signature", &format!("{KEY} {OTHER_KEY}")).await?;
    let verified = move |request: &mockito::Request| {
        let body = request.body().cloned().unwrap_or_default();
        let mut headers = http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            for value in request.header(name) {
                headers.insert(name, value.clone());
            }
        }
        let is_signed = |key: &str| {
            Webhook::new(key).is_ok_and(|webhook| webhook.verify(&body, &headers).is_ok())
        };
        let has_digest = request.header("webhook-id") == request.header("idempotency-key");
        is_signed(KEY) && is_signed(OTHER_KEY) && has_digest
    };
    let post = target.server.mock("POST", "/events").match_request(verified);
    let post = post.create_async().await;
    let function = target.harness.function()?;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn unusable_secret_defers_the_event_without_a_request() -> TestResult {
    for (auth, text) in [("headers", "hush"), ("signature", "whsec_hush"), ("headers", "{}")] {
        let mut target = Target::start(auth, text).await?;
        let post = target.server.mock("POST", "/events").expect(0).create_async().await;
        let function = target.harness.function()?;
        assert_eq!(invoke(&function, batch(1)).await??, ["m-1"], "{auth} {text}");
        assert_eq!(target.code("e-1").await?.as_deref(), Some("TARGET_CREDENTIALS"));
        post.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn sigv4_signs_with_the_credentials_of_the_function() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let mut server = Server::new_async().await;
    harness.set("REPLAY_TARGET", &format!("{}/events", server.url()));
    harness.set("TARGET_AUTH", "sigv4:execute-api");
    let pattern = "^AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]{8}/eu-central-1/execute-api/aws4_request, SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}$";
    let post = server.mock("POST", "/events");
    let post = post.match_header("authorization", Matcher::Regex(pattern.to_owned()));
    let post = post.match_header("x-amz-security-token", Matcher::Any).create_async().await;
    let credentials = Credentials::new("id", "hush", Some("session".to_owned()), None, "test");
    let aws = harness.aws.config().into_builder();
    let aws = aws.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    let settings = harness.settings().clone();
    let settings =
        genesys_replay_settings::Settings::from_lookup(|name| settings.get(name).cloned())?;
    let mut function = harness.function()?;
    function.target = app::build(settings, &aws)?.target;
    let left = invoke(&function, batch(1)).await??;
    post.assert_async().await;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
