//! Requests on connections that the server closes instead of an answer.

use std::error::Error;
use std::sync::Arc;

use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::connections::FreezeDetector;
use genesys_replay::failure::Certainty;
use genesys_replay::genesys::{
    ApiForm, Call, Credentials, Genesys, GenesysError, RetryMark, RetryStatus, UnavailableCause,
};
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::RetryState;
use genesys_replay_aws::secrets_manager::SecretsManagerSecret;
use genesys_replay_genesys::{
    CredentialSetting, GenesysClient, GenesysSettings, Parts, client, http_pool,
};
use genesys_stand_in::{EVENTUALLY_LIMIT, Fault, StandIn};
use genesys_test_support::replay_harness::invoke;
use genesys_test_support::{Record, ReplayHarness, TestResult, closed_port, event};
use reqwest::Method;
use url::Url;

use crate::aws_targets::{LAMBDA, deliver_at};
use crate::genesys_wire::interaction;
use crate::http_targets::{post, target};

/// Returns a client of the stand-in. Its pool is not replaced during the test, also on a slow machine.
fn genesys(
    stand_in: &StandIn,
    meter: &Arc<UpstreamCounters>,
) -> Result<GenesysClient, Box<dyn Error>> {
    let base = Url::parse(&stand_in.url())?;
    let settings = GenesysSettings {
        form: ApiForm::Conversations,
        api_base: base.clone(),
        login_base: base,
        credentials: CredentialSetting::Given(Credentials {
            client_id: "demo-client".to_owned(),
            client_secret: "demo-secret".into(),
        }),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let detector = FreezeDetector::new(Arc::clone(&clock), EVENTUALLY_LIMIT);
    let parts = Parts {
        http: http_pool(EVENTUALLY_LIMIT, detector, |client| client)?,
        max_wait: EVENTUALLY_LIMIT,
        clock,
        meter: Arc::clone(meter),
    };
    Ok(client(settings, parts, |_| -> SecretsManagerSecret { unreachable!("no secret is set") }))
}

const MARK: RetryMark = RetryMark { attempt: 1, status: RetryStatus::Retrying };

const fn broken(call: Call) -> GenesysError {
    GenesysError::Unavailable { call, problem: UnavailableCause::Broken, after: None }
}

#[tokio::test]
async fn request_is_repeated_once_when_a_reused_connection_breaks() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let meter = Arc::<UpstreamCounters>::default();
    let client = genesys(&stand_in, &meter)?;
    let found = client.fetch(&interaction()?).await?;
    let before = meter.take();
    assert_eq!((before.genesys_calls, before.token_fetches), (2, 1));

    stand_in.fault(Fault::on("GET", "/api/v2/").close().times(1));
    client.fetch(&interaction()?).await?;
    assert_eq!(meter.take().genesys_calls, 2);

    stand_in.fault(Fault::on("PATCH", "/api/v2/").close().times(1));
    client.mark(&found, MARK).await?;
    assert_eq!(meter.take().genesys_calls, 2);

    stand_in.revoke_tokens();
    stand_in.fault(Fault::on("POST", "/oauth/token").close().times(1));
    client.fetch(&interaction()?).await?;
    let counted = meter.take();
    assert_eq!((counted.genesys_calls, counted.token_fetches), (4, 2));
    Ok(())
}

#[tokio::test]
async fn request_fails_when_the_connection_breaks_twice() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let client = genesys(&stand_in, &Arc::default())?;
    client.fetch(&interaction()?).await?;
    stand_in.clear_calls();
    stand_in.fault(Fault::on("GET", "/api/v2/").close().times(2));
    assert_eq!(client.fetch(&interaction()?).await, Err(broken(Call::Fetch)));
    assert_eq!(stand_in.calls_to("GET", "/api/v2/").len(), 2);
    Ok(())
}

#[tokio::test]
async fn request_fails_when_a_new_connection_breaks() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let client = genesys(&stand_in, &Arc::default())?;
    stand_in.fault(Fault::on("POST", "/oauth/token").close().times(1));
    assert_eq!(client.fetch(&interaction()?).await, Err(broken(Call::Token)));
    assert_eq!(stand_in.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn request_is_not_repeated_when_its_answer_is_cut_off() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let client = genesys(&stand_in, &Arc::default())?;
    client.fetch(&interaction()?).await?;
    stand_in.clear_calls();
    stand_in.fault(Fault::on("GET", "/api/v2/").truncate().times(1));
    assert_eq!(client.fetch(&interaction()?).await, Err(broken(Call::Fetch)));
    assert_eq!(stand_in.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn request_with_an_effect_is_not_repeated() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let client = genesys(&stand_in, &Arc::default())?;
    client.fetch(&interaction()?).await?;
    stand_in.fault(Fault::on("POST", "/reinject").close());
    let url = Url::parse(&format!("{}/reinject", stand_in.url()))?;
    let answer = client.call(Call::Reinject, Method::POST, url, Some("{}".to_owned())).await;
    assert_eq!(answer, Err(broken(Call::Reinject)));
    assert_eq!(stand_in.calls_to("POST", "/reinject").len(), 1);
    Ok(())
}

#[tokio::test]
async fn circuit_breaker_does_not_count_repeated_requests() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("MAX_CONCURRENCY", "1");
    harness.set("MAX_ATTEMPTS", "1");
    let mut function = harness.function()?;
    let meter = Arc::clone(&function.meter);
    function.retry_state = RetryState::Required(genesys(&harness.genesys, &meter)?);
    // One more than the failures that open a circuit, for each kind of call.
    let records: Vec<Record> = (0..6)
        .map(|number| {
            let conversation = format!("c-{number}");
            for method in ["GET", "PATCH"] {
                let path = format!("/conversations/{conversation}");
                harness.genesys.fault(Fault::on(method, &path).close().times(1));
            }
            Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), &conversation)
        })
        .collect();
    let returned = invoke(&function, event(&records)).await??;
    assert!(returned.is_empty(), "{returned:?}");
    assert_eq!(harness.deliveries(), records.len());
    Ok(())
}

#[tokio::test]
async fn delivery_is_not_repeated_when_a_reused_connection_breaks() -> TestResult {
    let stand_in = StandIn::builder().start().await?;
    let target = target(EVENTUALLY_LIMIT)?;
    post(&target, &format!("{}/targets/crm", stand_in.url())).await??;
    stand_in.fault(Fault::on("POST", "/targets/crm").close());
    let failed = post(&target, &format!("{}/targets/crm", stand_in.url())).await?;
    let error = failed.err().ok_or("accepted")?;
    assert_eq!(error.certainty, Certainty::Unknown);
    assert_eq!(stand_in.calls().len(), 2);
    Ok(())
}

#[tokio::test]
async fn delivery_to_aws_is_unsent_when_the_connection_is_refused() -> TestResult {
    let (_socket, closed) = closed_port()?;
    let stand_in = StandIn::builder().start().await?;
    stand_in.fault(Fault::on("POST", "/").close());
    for (endpoint, certainty) in
        [(closed, Certainty::NotSent), (stand_in.url(), Certainty::Unknown)]
    {
        let error = deliver_at(&endpoint, LAMBDA, "{}").await?.err().ok_or("accepted")?;
        assert_eq!(error.certainty, certainty, "{error}");
    }
    assert_eq!(stand_in.calls().len(), 1);
    Ok(())
}
