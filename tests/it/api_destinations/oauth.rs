//! OAuth connections.

use super::*;

fn client(crm: &Crm) -> Value {
    json!({
        "client_id": "id", "client_secret": "hush", "http_method": "POST",
        "authorization_endpoint": format!("{}/token", crm.endpoint.url()),
        "oauth_http_parameters": { "body_parameters": [{ "key": "scope", "value": "a b" }] },
    })
}

const FORM: &str = "grant_type=client_credentials&client_id=id&client_secret=hush&scope=a+b";

/// Mocks the token endpoint, which grants this token `times` times.
async fn grants(crm: &mut Crm, token: &str, times: usize) -> Mock {
    let grant = json!({ "access_token": token, "token_type": "bearer", "expires_in": 3_600 });
    let mock = crm.endpoint.mock("POST", "/token").match_body(FORM);
    let mock = mock.match_header("content-type", "application/x-www-form-urlencoded");
    mock.with_body(grant.to_string()).expect(times).create_async().await
}

/// Mocks the endpoint for requests with this token.
async fn accepts(crm: &mut Crm, token: &str, status: usize, times: usize) -> Mock {
    let mock = crm.endpoint.mock("POST", "/events");
    let mock = mock.match_header("authorization", format!("Bearer {token}").as_str());
    mock.with_status(status).expect(times).create_async().await
}

#[tokio::test]
async fn oauth_token_is_cached_until_it_expires() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 3).await;
    let secret = client(&crm);
    crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 3).await;
    let granted = grants(&mut crm, "t-1", 1).await;
    let post = accepts(&mut crm, "t-1", 200, 2).await;
    crm.deliver(EVENT, None).await?;
    crm.clock.advance_seconds(3_500);
    crm.deliver(EVENT, None).await?;
    granted.assert_async().await;
    post.assert_async().await;
    granted.remove_async().await;
    crm.clock.advance_seconds(100);
    let granted = grants(&mut crm, "t-2", 1).await;
    let post = accepts(&mut crm, "t-2", 200, 1).await;
    crm.deliver(EVENT, None).await?;
    granted.assert_async().await;
    post.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn oauth_token_is_renewed_once_when_the_target_refuses_it() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    let secret = client(&crm);
    crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 1).await;
    let granted = grants(&mut crm, "t-1", 1).await;
    let post = accepts(&mut crm, "t-1", 200, 1).await;
    crm.deliver(EVENT, None).await?;
    granted.remove_async().await;
    post.remove_async().await;
    let refused = accepts(&mut crm, "t-1", 401, 1).await;
    let granted = grants(&mut crm, "t-2", 1).await;
    let post = accepts(&mut crm, "t-2", 200, 1).await;
    crm.deliver(EVENT, None).await?;
    for mock in [refused, granted, post] {
        mock.assert_async().await;
        mock.remove_async().await;
    }
    // A target that refuses every token gets two requests.
    let granted = grants(&mut crm, "t-3", 1).await;
    let refused = [accepts(&mut crm, "t-2", 401, 1).await, accepts(&mut crm, "t-3", 401, 1).await];
    let error = crm.fault().await?;
    assert_eq!((error.code, error.certainty), (FailureCode::TargetCredentials, Certainty::Refused));
    granted.assert_async().await;
    for mock in refused {
        mock.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn oauth_client_is_sent_as_a_header_when_the_body_is_refused() -> TestResult {
    let mut crm = Crm::start().await?;
    crm.described("/events", 1).await;
    let secret = client(&crm);
    crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 1).await;
    let body = crm.endpoint.mock("POST", "/token").match_body(FORM).with_status(401);
    let body = body.with_body(r#"{"error":"invalid_client"}"#).expect(1).create_async().await;
    let header = crm.endpoint.mock("POST", "/token");
    let header = header
        .match_header("authorization", "Basic aWQ6aHVzaA==")
        .match_body("grant_type=client_credentials&scope=a+b")
        .with_body(r#"{"access_token":"t"}"#)
        .create_async()
        .await;
    let post = accepts(&mut crm, "t", 200, 1).await;
    crm.deliver(EVENT, None).await?;
    for mock in [body, header, post] {
        mock.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn oauth_failure_never_is_the_events_fault() -> TestResult {
    let transient = Disposition::Transient { after: None };
    for (status, body, code, disposition) in [
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            FailureCode::TargetCredentials,
            Disposition::Operator,
        ),
        (403, "", FailureCode::TargetCredentials, Disposition::Operator),
        (404, "", FailureCode::TargetMisconfigured, Disposition::Operator),
        (302, "", FailureCode::TargetMisconfigured, Disposition::Operator),
        (429, "", FailureCode::TargetRateLimited, transient),
        (502, "", FailureCode::TargetUnavailable, transient),
        (200, "{}", FailureCode::TargetUnavailable, transient),
    ] {
        let mut crm = Crm::start().await?;
        crm.described("/events", 1).await;
        let secret = client(&crm);
        crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 1).await;
        let token = crm.endpoint.mock("POST", "/token").with_status(status).with_body(body);
        token.create_async().await;
        let post = crm.endpoint.mock("POST", "/events").expect(0).create_async().await;
        let error = crm.fault().await?;
        let seen = (error.code, error.disposition, error.certainty);
        assert_eq!(seen, (code, disposition, Certainty::NotSent), "{status} {error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        post.assert_async().await;
    }
    Ok(())
}

#[tokio::test]
async fn oauth_endpoint_must_be_https_and_at_an_allowed_address() -> TestResult {
    for (endpoint, code, reason) in [
        (
            "http://login.example/token",
            FailureCode::TargetMisconfigured,
            "has an authorization_endpoint that is not an https:// URL",
        ),
        (
            "https://169.254.169.254/token",
            FailureCode::TargetNotAllowed,
            "link-local or metadata address",
        ),
    ] {
        let mut crm = Crm::start().await?;
        crm.described("/events", 1).await;
        let mut secret = client(&crm);
        secret["authorization_endpoint"] = endpoint.into();
        crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 1).await;
        let error = crm.fault().await?;
        assert_eq!((error.code, error.disposition), (code, Disposition::Operator));
        assert!(error.reason.contains(reason), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn oauth_client_is_sent_over_plain_http_only_beside_a_local_aws() -> TestResult {
    use genesys_replay_targets::aws::{AwsTargets, RegionalClients};
    let mut crm = Crm::start().await?;
    // The function has the endpoints of AWS itself, and only the targets' clients call the mock.
    let aws = aws_at(&crm.aws.url());
    let mut real = aws.to_builder();
    real.set_endpoint_url(None);
    let settings = Settings::from_lookup(|name| (name == "RETRY_STATE").then(|| "off".to_owned()))?;
    let clock: Arc<dyn Clock> = Arc::<ForwardClock>::clone(&crm.clock);
    crm.function = app::build_with_clock(settings, &real.build(), Arc::clone(&clock))?;
    let clients = Box::new(move |_: &str| RegionalClients::new(&aws));
    crm.function.target.aws = AwsTargets::new(clients, clock);
    crm.described("/events", 1).await;
    let secret = client(&crm);
    crm.connection("OAUTH_CLIENT_CREDENTIALS", secret, 1).await;
    let granted = crm.endpoint.mock("POST", "/token").expect(0).create_async().await;
    let error = crm.fault().await?;
    assert_eq!(error.code, FailureCode::TargetMisconfigured);
    assert_eq!((error.disposition, error.certainty), (Disposition::Operator, Certainty::NotSent));
    assert!(error.reason.contains("not an https:// URL"), "{error}");
    granted.assert_async().await;
    Ok(())
}
