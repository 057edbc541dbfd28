//! API destinations: mockito plays `EventBridge`, Secrets Manager, the endpoint and the OAuth server.

mod credentials;
mod oauth;
mod parameters;
mod rate_limit;

use std::sync::Arc;

use genesys_fakes::first_delivery;
use genesys_replay::clock::Clock;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Certainty, Disposition, FailureCode};
use genesys_replay::ledger::EventKey;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryProgress, RuleTarget, Target};
use genesys_replay_lambda::app;
use genesys_replay_lambda::app::ReplayFunction;
use genesys_replay_settings::Settings;
use genesys_test_support::{ForwardClock, TestResult, aws_at};
use mockito::{Matcher, Mock, Server, ServerGuard};
use serde_json::{Value, json};

const CRM: &str = "arn:aws:events:eu-central-1:271828182845:api-destination/crm/5b6c";
const RULE: &str = "arn:aws:events:eu-central-1:271828182845:rule/orders/crm";
const CONNECTION: &str = "arn:aws:events:eu-central-1:271828182845:connection/crm-key/77";
const SECRET: &str =
    "arn:aws:secretsmanager:eu-central-1:271828182845:secret:events!connection/crm-key/77-AbCdEf";

/// An event as `EventBridge` delivers it.
const EVENT: &str = r#"{"id":"e-1", "source":"aws.partner/genesys.com","detail-type":"t","detail":{"tenant":"acme/1"}}"#;

/// A function whose AWS is a mock.
pub(super) struct Crm {
    aws: ServerGuard,
    endpoint: ServerGuard,
    clock: Arc<ForwardClock>,
    function: ReplayFunction,
}

impl Crm {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let aws = Server::new_async().await;
        let settings = |name: &str| match name {
            "RETRY_STATE" => Some("off".to_owned()),
            _ => None,
        };
        let clock = Arc::new(ForwardClock::default());
        let settings = Settings::from_lookup(settings)?;
        let in_function: Arc<dyn Clock> = Arc::<ForwardClock>::clone(&clock);
        let function = app::build_with_clock(settings, &aws_at(&aws.url()), in_function)?;
        Ok(Self { aws, endpoint: Server::new_async().await, clock, function })
    }

    /// Mocks one call of AWS.
    async fn call(&mut self, call: &str, status: usize, body: Value, times: usize) -> Mock {
        let mock = self.aws.mock("POST", "/").match_header("x-amz-target", call);
        mock.with_status(status).with_body(body.to_string()).expect(times).create_async().await
    }

    /// Mocks the API destination with an endpoint at this path, called at most `times` times.
    async fn described(&mut self, path: &str, times: usize) -> Mock {
        let described = json!({
            "ApiDestinationArn": CRM, "Name": "crm", "ConnectionArn": CONNECTION, "HttpMethod": "POST",
            "InvocationEndpoint": format!("{}{path}", self.endpoint.url()),
        });
        self.call("AWSEvents.DescribeApiDestination", 200, described, times).await
    }

    /// Mocks a connection with its secret, called `times` times.
    async fn connection(&mut self, authorization: &str, secret: Value, times: usize) -> [Mock; 2] {
        let connection = json!({
            "ConnectionArn": CONNECTION, "AuthorizationType": authorization, "SecretArn": SECRET,
        });
        let connection = self.call("AWSEvents.DescribeConnection", 200, connection, times).await;
        [connection, self.secret(secret, times).await]
    }

    /// Mocks the secret of the connection.
    async fn secret(&mut self, secret: Value, times: usize) -> Mock {
        let mock = self.aws.mock("POST", "/");
        let mock = mock
            .match_header("x-amz-target", "secretsmanager.GetSecretValue")
            .match_body(Matcher::PartialJson(json!({ "SecretId": SECRET })))
            .with_body(json!({ "SecretString": secret.to_string() }).to_string());
        mock.expect(times).create_async().await
    }

    /// Mocks the target of the rule with these HTTP parameters.
    async fn rule(&mut self, parameters: Value, times: usize) -> Mock {
        let mock = self.aws.mock("POST", "/");
        let mock = mock
            .match_header("x-amz-target", "AWSEvents.ListTargetsByRule")
            .match_body(Matcher::PartialJson(json!({ "Rule": "crm", "EventBusName": "orders" })));
        let targets = json!({ "Targets": [
            { "Id": "1", "Arn": "arn:aws:sqs:eu-central-1:271828182845:q" },
            { "Id": "2", "Arn": CRM, "HttpParameters": parameters },
        ] });
        mock.with_body(targets.to_string()).expect(times).create_async().await
    }

    /// Delivers an event, as one attempt.
    async fn deliver(&self, payload: &str, rule: Option<&str>) -> Result<(), DeliveryError> {
        let destination = Destination::of_arn(CRM);
        let key = EventKey::stored(&format!("e-1|{CRM}"));
        let progress = DeliveryProgress::default();
        let delivery = Delivery {
            attempt_count: 3,
            rule_target: rule.map(|rule_arn| RuleTarget { rule_arn, target_arn: CRM }),
            ..first_delivery(&destination, &key, payload, &progress)
        };
        self.function.target.deliver(&delivery).await.map(|_| ())
    }

    async fn fault(&self) -> Result<DeliveryError, Box<dyn std::error::Error>> {
        Ok(self.deliver(EVENT, None).await.err().ok_or("accepted")?)
    }
}

fn api_key() -> Value {
    json!({ "api_key_name": "X-Api-Key", "api_key_value": "hush" })
}

#[tokio::test]
async fn api_destination_gets_the_event_with_the_api_key() -> TestResult {
    let mut crm = Crm::start().await?;
    // Descriptions and secret are read once for all deliveries.
    let described = crm.described("/events?v=1", 1).await;
    let [connection, secret] = crm.connection("API_KEY", api_key(), 1).await;
    let digest = EventKey::stored(&format!("e-1|{CRM}")).digest();
    let post = crm
        .endpoint
        .mock("POST", "/events?v=1")
        .match_header("content-type", "application/json")
        .match_header("x-api-key", "hush")
        .match_header("x-attempt-count", "3")
        .match_header("idempotency-key", digest.as_str())
        .match_body(EVENT)
        .expect(3)
        .create_async()
        .await;
    for _ in 0..3 {
        crm.deliver(EVENT, None).await?;
    }
    for mock in [described, connection, secret, post] {
        mock.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn api_destination_is_a_configuration_error_when_it_was_made_again() -> TestResult {
    let mut crm = Crm::start().await?;
    let new = "arn:aws:events:eu-central-1:271828182845:api-destination/crm/9f9f";
    let described = json!({ "ApiDestinationArn": new, "ConnectionArn": CONNECTION });
    crm.call("AWSEvents.DescribeApiDestination", 200, described, 1).await;
    let error = crm.fault().await?;
    assert_eq!(error.code, FailureCode::TargetMisconfigured);
    assert_eq!((error.disposition, error.certainty), (Disposition::Operator, Certainty::NotSent));
    assert!(error.reason.contains(new) && error.reason.contains("TARGET_REDIRECTS"), "{error}");
    Ok(())
}

#[tokio::test]
async fn api_destination_of_another_account_is_not_allowed() -> TestResult {
    let mut crm = Crm::start().await?;
    let other = "arn:aws:events:eu-central-1:111111111111:api-destination/crm/5b6c";
    let described = json!({ "ApiDestinationArn": other, "ConnectionArn": CONNECTION });
    crm.call("AWSEvents.DescribeApiDestination", 200, described, 1).await;
    let error = crm.fault().await?;
    assert_eq!(error.code, FailureCode::TargetNotAllowed);
    assert_eq!((error.disposition, error.certainty), (Disposition::Permanent, Certainty::NotSent));
    Ok(())
}

#[tokio::test]
async fn api_destination_errors_of_aws_decide_the_code() -> TestResult {
    for (call, kind, code, disposition, hint) in [
        (
            "AWSEvents.DescribeApiDestination",
            "ResourceNotFoundException",
            FailureCode::TargetMisconfigured,
            Disposition::Operator,
            "TARGET_REDIRECTS",
        ),
        (
            "AWSEvents.DescribeApiDestination",
            "AccessDeniedException",
            FailureCode::TargetCredentials,
            Disposition::Operator,
            "ConnectionNames",
        ),
        (
            "AWSEvents.DescribeConnection",
            "AccessDeniedException",
            FailureCode::TargetCredentials,
            Disposition::Operator,
            "ConnectionNames",
        ),
        (
            "secretsmanager.GetSecretValue",
            "AccessDeniedException",
            FailureCode::TargetCredentials,
            Disposition::Operator,
            "ConnectionNames",
        ),
        // A secret that is deleted, or whose key is disabled, is not the event's fault.
        (
            "secretsmanager.GetSecretValue",
            "InvalidRequestException",
            FailureCode::TargetMisconfigured,
            Disposition::Operator,
            "Secrets Manager",
        ),
        (
            "secretsmanager.GetSecretValue",
            "DecryptionFailure",
            FailureCode::TargetMisconfigured,
            Disposition::Operator,
            "Secrets Manager",
        ),
        (
            "secretsmanager.GetSecretValue",
            "ThrottlingException",
            FailureCode::TargetRateLimited,
            Disposition::Transient { after: None },
            "Secrets Manager",
        ),
        (
            "secretsmanager.GetSecretValue",
            "InternalServiceError",
            FailureCode::TargetUnavailable,
            Disposition::Transient { after: None },
            "Secrets Manager",
        ),
    ] {
        let mut crm = Crm::start().await?;
        // The mock that was created first is preferred.
        let error = json!({ "__type": kind, "message": "no" });
        crm.call(call, 400, error, 1).await;
        crm.described("/events", 1).await;
        crm.connection("API_KEY", api_key(), 1).await;
        let post = crm.endpoint.mock("POST", "/events").expect(0).create_async().await;
        let error = crm.fault().await?;
        let seen = (error.code, error.disposition, error.certainty);
        assert_eq!(seen, (code, disposition, Certainty::NotSent), "{call} {kind}");
        assert!(error.reason.contains(hint), "{call} {kind}: {error}");
        post.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn api_destination_answers_decide_as_those_of_an_http_target() -> TestResult {
    for (status, code, disposition, certainty) in [
        (400, FailureCode::TargetRefused, Disposition::Permanent, Certainty::Refused),
        (404, FailureCode::TargetMisconfigured, Disposition::Operator, Certainty::Refused),
        (302, FailureCode::TargetMisconfigured, Disposition::Operator, Certainty::Refused),
        (
            503,
            FailureCode::TargetUnavailable,
            Disposition::Transient { after: None },
            Certainty::Refused,
        ),
        (
            504,
            FailureCode::TargetUnavailable,
            Disposition::Transient { after: None },
            Certainty::Unknown,
        ),
    ] {
        let mut crm = Crm::start().await?;
        crm.described("/events", 1).await;
        crm.connection("API_KEY", api_key(), 1).await;
        crm.endpoint.mock("POST", "/events").with_status(status).create_async().await;
        let error = crm.fault().await?;
        assert_eq!(
            (error.code, error.disposition, error.certainty),
            (code, disposition, certainty),
            "{status}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn api_destination_at_a_metadata_address_is_not_called() -> TestResult {
    let mut crm = Crm::start().await?;
    let described = json!({
        "ApiDestinationArn": CRM, "ConnectionArn": CONNECTION, "HttpMethod": "POST",
        "InvocationEndpoint": "http://169.254.169.254/latest/meta-data",
    });
    crm.call("AWSEvents.DescribeApiDestination", 200, described, 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    assert_eq!(crm.fault().await?.code, FailureCode::TargetNotAllowed);
    Ok(())
}
