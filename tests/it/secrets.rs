//! Credentials in Secrets Manager: read at startup, and again when Genesys Cloud refuses them.

use std::error::Error;

use aws_sdk_secretsmanager::Client;
use genesys_replay_lambda::app;
use genesys_stand_in::Fault;
use genesys_test_support::replay_harness::invoke;
use genesys_test_support::{Record, ReplayHarness, TestResult, event};

const RIGHT: &str = r#"{"client_id":"demo-client","client_secret":"demo-secret"}"#;
const WRONG: &str = r#"{"client_id":"demo-client","client_secret":"an-older-one"}"#;

/// Returns a harness whose credentials are in this secret.
async fn harness(
    name: &str,
    secret: Option<&str>,
) -> Result<(ReplayHarness, Client), Box<dyn Error>> {
    let mut harness = ReplayHarness::start().await?;
    harness.set("GENESYS_CLIENT_ID", "");
    harness.set("GENESYS_CLIENT_SECRET", "");
    harness.set("GENESYS_SECRET_ID", name);
    let secrets = Client::new(&harness.aws.config());
    if let Some(text) = secret {
        let create = secrets.create_secret().name(name).secret_string(text);
        create.send().await?;
    }
    Ok((harness, secrets))
}

async fn put(secrets: &Client, name: &str, text: &str) -> TestResult {
    let put = secrets.put_secret_value().secret_id(name);
    put.secret_string(text).send().await?;
    Ok(())
}

fn token_requests(harness: &ReplayHarness) -> usize {
    harness.genesys.calls_to("POST", "/oauth/token").len()
}

fn batch(number: u32) -> serde_json::Value {
    let id = number.to_string();
    event(&[Record::dead_letter(&id, &format!("e-{id}"), "c-1")])
}

#[tokio::test]
async fn secret_is_read_at_startup() -> TestResult {
    let (harness, secrets) = harness("read-at-start-up", Some(RIGHT)).await?;
    let function = harness.function()?;
    app::prepare(&function).await;
    // From now on, only the cached secret exists.
    let delete = secrets.delete_secret().secret_id("read-at-start-up");
    delete.force_delete_without_recovery(true).send().await?;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn rotated_secret_is_read_again_in_the_same_batch() -> TestResult {
    let (harness, secrets) = harness("rotated", Some(WRONG)).await?;
    let function = harness.function()?;
    app::prepare(&function).await;
    put(&secrets, "rotated", RIGHT).await?;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    assert_eq!(harness.deliveries(), 1);
    assert_eq!(token_requests(&harness), 2, "with the old secret and the new");
    Ok(())
}

#[tokio::test]
async fn rotated_secret_is_read_once_for_concurrent_records() -> TestResult {
    let (harness, secrets) = harness("rotated-for-all", Some(WRONG)).await?;
    let function = harness.function()?;
    app::prepare(&function).await;
    put(&secrets, "rotated-for-all", RIGHT).await?;
    let records: Vec<_> = (0..10)
        .map(|number| {
            let (message, name) = (format!("m-{number}"), format!("e-{number}"));
            Record::dead_letter(&message, &name, "c-1")
        })
        .collect();
    assert!(invoke(&function, event(&records)).await??.is_empty());
    assert_eq!(harness.deliveries(), 10);
    assert_eq!(token_requests(&harness), 2, "for all of them");
    Ok(())
}

#[tokio::test]
async fn unchanged_secret_is_not_tried_twice() -> TestResult {
    let (harness, secrets) = harness("unchanged", Some(WRONG)).await?;
    let function = harness.function()?;
    app::prepare(&function).await;
    assert_eq!(invoke(&function, batch(1)).await??, ["1"]);
    assert_eq!(token_requests(&harness), 1);
    assert_eq!(harness.state("e-1").await?, "DEFERRED GENESYS_CREDENTIALS");
    // A repaired secret needs no deployment.
    put(&secrets, "unchanged", RIGHT).await?;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn token_refusal_with_403_makes_no_second_request() -> TestResult {
    let (harness, secrets) = harness("forbidden", Some(WRONG)).await?;
    let function = harness.function()?;
    app::prepare(&function).await;
    put(&secrets, "forbidden", RIGHT).await?;
    harness.genesys.fault(Fault::on("POST", "/oauth/token").status(403));
    assert_eq!(invoke(&function, batch(1)).await??, ["1"]);
    assert_eq!(token_requests(&harness), 1);
    Ok(())
}

#[tokio::test]
async fn unusable_secret_rejects_no_event_and_makes_no_call() -> TestResult {
    for (name, secret) in [
        ("missing", None),
        ("no-json", Some("demo-secret")),
        ("incomplete", Some(r#"{"client_id":"demo-client"}"#)),
    ] {
        let (harness, secrets) = harness(name, secret).await?;
        let function = harness.function()?;
        app::prepare(&function).await;
        let record = Record::dead_letter("m-1", "e-1", "c-1").received(12);
        assert_eq!(invoke(&function, event(&[record])).await??, ["m-1"], "{name}");
        assert!(harness.genesys.calls().is_empty(), "{name}");
        assert_eq!(harness.state("e-1").await?, "DEFERRED GENESYS_CREDENTIALS", "{name}");
        // The next batch reads it again.
        if secret.is_none() {
            let create = secrets.create_secret().name(name).secret_string(RIGHT);
            create.send().await?;
        } else {
            put(&secrets, name, RIGHT).await?;
        }
        assert!(invoke(&function, batch(1)).await??.is_empty(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn best_effort_replays_when_the_secret_is_missing() -> TestResult {
    let (mut harness, _) = harness("missing-but-best-effort", None).await?;
    harness.set("RETRY_STATE", "best-effort");
    let function = harness.function()?;
    app::prepare(&function).await;
    assert!(invoke(&function, batch(1)).await??.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}
