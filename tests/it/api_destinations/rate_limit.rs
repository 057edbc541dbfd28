//! The rate limit of an API destination.

use genesys_test_support::{Record, ReplayHarness, event, replay_harness::invoke};

use super::*;

fn described(crm: &Crm, per_second: u32) -> Value {
    json!({
        "ApiDestinationArn": CRM, "ConnectionArn": CONNECTION, "HttpMethod": "PUT",
        "InvocationEndpoint": format!("{}/events", crm.endpoint.url()),
        "InvocationRateLimitPerSecond": per_second,
    })
}

#[tokio::test]
async fn delivery_over_the_rate_limit_is_locally_throttled() -> TestResult {
    let mut crm = Crm::start().await?;
    let described = described(&crm, 1);
    crm.call("AWSEvents.DescribeApiDestination", 200, described, 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    let put = crm.endpoint.mock("PUT", "/events").expect_at_least(1).create_async().await;
    // The first is sent at once. The last ones would have to wait longer than MAX_WAIT_SECONDS.
    let deliveries = (0..10).map(|_| crm.deliver(EVENT, None));
    let answers = futures_util::future::join_all(deliveries).await;
    let throttled: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!((1..=9).contains(&throttled.len()), "{} of 10 throttled", throttled.len());
    for error in throttled {
        assert!(error.locally_throttled, "{error}");
        assert_eq!(error.code, FailureCode::TargetRateLimited);
        assert_eq!(error.certainty, Certainty::NotSent);
        assert!(matches!(error.disposition, Disposition::Transient { after: Some(_) }));
    }
    put.assert_async().await;
    Ok(())
}

#[tokio::test]
async fn locally_throttled_deliveries_do_not_open_the_circuit() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("MAX_WAIT_SECONDS", "0");
    let mut crm = Crm::start().await?;
    let described = described(&crm, 1);
    crm.call("AWSEvents.DescribeApiDestination", 200, described, 1).await;
    crm.connection("API_KEY", api_key(), 1).await;
    crm.call("AWSEvents.ListTargetsByRule", 200, json!({ "Targets": [] }), 1).await;
    crm.endpoint.mock("PUT", "/events").create_async().await;
    let mut function = harness.function()?;
    function.target = crm.function.target;
    let records: Vec<Record> = (0..9)
        .map(|n| Record::dead_letter(&format!("m-{n}"), &format!("e-{n}"), "c-1"))
        .map(|record| record.with("TARGET_ARN", CRM))
        .collect();
    let left = invoke(&function, event(&records)).await??;
    assert!((1..=8).contains(&left.len()), "{left:?}");
    for id in left {
        let key = format!("{}|{CRM}", id.replace("m-", "e-"));
        let code = harness.aws.attribute(&key, "FailureCode").await?;
        // BREAKER_OPEN would leave no item.
        assert_eq!(code.as_deref(), Some("TARGET_RATE_LIMITED"), "{key}");
    }
    Ok(())
}
