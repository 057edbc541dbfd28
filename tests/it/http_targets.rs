//! The requests to an HTTP target, against mockito and bare sockets.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::first_delivery;
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::destination::address::AddressPolicy;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::MessageId;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryProgress};
use genesys_replay_genesys::http_pool;
use genesys_replay_targets::http::resolver::GuardedResolver;
use genesys_replay_targets::http::{HttpAuth, HttpSender, HttpTarget};
use genesys_stand_in::{EVENTUALLY_LIMIT, Fault, StandIn};
use genesys_test_support::{TestResult, closed_port};
use mockito::Server;
use reqwest::ClientBuilder;
use url::Url;

const PAYLOAD: &str = "{ \"id\" : \"e-1\",\n\t\"text\":\"Zoë\" }";

async fn deliver(url: &str) -> Result<Result<(), DeliveryError>, Box<dyn std::error::Error>> {
    deliver_within(url, EVENTUALLY_LIMIT).await
}

async fn deliver_within(
    url: &str,
    limit: Duration,
) -> Result<Result<(), DeliveryError>, Box<dyn std::error::Error>> {
    post(&target(limit)?, url).await
}

/// Returns an adapter whose pool is not replaced during the test.
pub(crate) fn target(limit: Duration) -> Result<HttpTarget, Box<dyn std::error::Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let detector = FreezeDetector::new(Arc::clone(&clock), EVENTUALLY_LIMIT);
    let resolver = Arc::new(GuardedResolver);
    let guarded = move |client: ClientBuilder| client.dns_resolver(Arc::clone(&resolver));
    let http = http_pool(EVENTUALLY_LIMIT, detector, guarded)?;
    let sender = HttpSender::new(http, AddressPolicy::BlockLinkLocal, false, limit, clock);
    Ok(HttpTarget::new(sender, HttpAuth::NONE))
}

pub(crate) async fn post(
    target: &HttpTarget,
    url: &str,
) -> Result<Result<(), DeliveryError>, Box<dyn std::error::Error>> {
    let url = Url::parse(url)?;
    let destination = Destination::Http(url.clone());
    let message_id = MessageId::new("m-1").ok_or("id")?;
    let key = EventKey::new(EventId::new("e-1").as_ref(), &message_id, &destination);
    let progress = DeliveryProgress::default();
    Ok(target
        .post(
            &url,
            &Delivery {
                attempt_count: 7,
                ..first_delivery(&destination, &key, PAYLOAD, &progress)
            },
        )
        .await)
}

#[tokio::test]
async fn payload_is_sent_byte_for_byte_with_idempotency_headers() -> TestResult {
    let mut server = Server::new_async().await;
    let url = format!("{}/events?tenant=7", server.url());
    let key = EventKey::stored(&format!("e-1|{url}"));
    let post = server
        .mock("POST", "/events?tenant=7")
        .match_header("content-type", "application/json")
        .match_header("x-attempt-count", "7")
        .match_header("x-resubmit-source", "genesys-replay")
        .match_header("user-agent", genesys_replay_version::USER_AGENT)
        .match_header("idempotency-key", key.digest().as_str())
        .match_body(PAYLOAD)
        .with_status(202)
        .create_async()
        .await;
    deliver(&url).await??;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn redirect_is_a_configuration_error_and_not_followed() -> TestResult {
    let mut server = Server::new_async().await;
    let elsewhere = server.mock("POST", "/elsewhere").expect(0).create_async().await;
    server
        .mock("POST", "/events")
        .with_status(307)
        .with_header("Location", &format!("{}/elsewhere", server.url()))
        .create_async()
        .await;
    let error = deliver(&format!("{}/events", server.url())).await?.err().ok_or("accepted")?;
    assert_eq!(
        (error.code, error.disposition),
        (FailureCode::TargetMisconfigured, Disposition::Operator)
    );
    elsewhere.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn retry_after_reaches_policy() -> TestResult {
    let mut server = Server::new_async().await;
    server
        .mock("POST", "/events")
        .with_status(503)
        .with_header("Retry-After", "120")
        .create_async()
        .await;
    let error = deliver(&format!("{}/events", server.url())).await?.err().ok_or("accepted")?;
    let after = Some(Duration::from_secs(120));
    assert_eq!(error.disposition, Disposition::Transient { after });
    Ok(())
}

#[tokio::test]
async fn missing_response_shows_if_the_target_may_have_acted() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    stand_in.fault(Fault::on("POST", "/targets/hangs").hang().act());
    stand_in.fault(Fault::on("POST", "/targets/closes").close());
    let (_socket, closed) = closed_port()?;
    let (short, ample) = (Duration::from_secs(1), EVENTUALLY_LIMIT);
    for (url, certainty, limit) in [
        (format!("{}/targets/hangs", stand_in.url()), Certainty::Unknown, short),
        (format!("{}/targets/closes", stand_in.url()), Certainty::Unknown, ample),
        (closed, Certainty::NotSent, ample),
    ] {
        let error = deliver_within(&url, limit).await?.err().ok_or("accepted")?;
        assert_eq!(error.certainty, certainty, "{url}");
        assert_eq!(error.code, FailureCode::TargetUnavailable, "{url}");
        assert_eq!(error.disposition, Disposition::Transient { after: None }, "{url}");
    }
    Ok(())
}

#[tokio::test]
async fn link_local_address_is_not_called() -> TestResult {
    let error = deliver("http://169.254.169.254/latest/meta-data").await?;
    let error = error.err().ok_or("accepted")?;
    assert_eq!(error.code, FailureCode::TargetNotAllowed);
    assert_eq!((error.disposition, error.certainty), (Disposition::Operator, Certainty::NotSent));
    Ok(())
}

#[tokio::test]
async fn host_name_is_resolved() -> TestResult {
    let mut server = Server::new_async().await;
    let post = server.mock("POST", "/events").create_async().await;
    let url = server.url().replace("127.0.0.1", "localhost");
    deliver(&format!("{url}/events")).await??;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn error_does_not_show_the_url() -> TestResult {
    let error = deliver("http://127.0.0.1:1/events?token=hush").await?.err().ok_or("accepted")?;
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("hush"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn refused_credentials_are_an_operator_error() -> TestResult {
    let mut server = Server::new_async().await;
    for status in [401, 403] {
        let post = server.mock("POST", "/events").with_status(status).create_async().await;
        let error = deliver(&format!("{}/events", server.url())).await?;
        let error = error.err().ok_or("accepted")?;
        assert_eq!(error.code, FailureCode::TargetCredentials);
        assert_eq!(error.disposition, Disposition::Operator);
        assert!(error.reason.contains("wrong region or credentials?"), "{error}");
        post.remove_async().await;
    }
    Ok(())
}
