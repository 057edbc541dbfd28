//! `pause` and `resume`.

use std::error::Error;

use genesys_test_support::TestResult;
use mockito::{Matcher, Mock, ServerGuard};
use serde_json::json;

use super::cloudwatch::CloudWatch;
use super::deployed::DrainedQueue;
use crate::schemas::check;
use crate::support::harness::OperatorHarness;
use crate::support::program::{Ran, run};

const PAUSE: [&str; 4] = ["pause", "--reason", "CRM's outage (INC-7)", "--yes"];

#[tokio::test]
async fn pause_is_shown_with_reason_and_author_until_resume() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, true).await?;
    let ran = drained.run(&PAUSE).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("is Disabled"), "{ran:?}");
    assert!(ran.stderr.contains("ReplayEnabled=false"), "{ran:?}");
    assert_eq!(drained.state().await?, "Disabled");

    drained.desk.put(&drained.desk.queue, "{}", &[]).await?;
    let cloudwatch = CloudWatch::with_metrics(&[]).await?;
    let (name, url) = cloudwatch.endpoint();
    let status = drained.run_with(&[(name, &url)], &["status"]).await?;
    assert_eq!(status.code, Some(1), "a message waits: {status:?}");
    let summary = status.stdout.lines().next().unwrap_or_default();
    assert!(summary.starts_with("paused since 20"), "{summary}");
    assert!(summary.ends_with(" by marta: CRM s outage INC-7; 1 dead letter waiting"), "{summary}");

    let resume = ["resume", "--by", "ben", "--yes", "--output", "json"];
    let ran = drained.run(&resume).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    check("pause", &ran)?;
    assert_eq!(ran.json()?["state"], "Enabled");
    assert_eq!(ran.json()?["recorded"], true);
    let status = drained.run_with(&[(name, &url)], &["status", "--output", "json"]).await?;
    let change = &status.json()?["last_change"];
    assert_eq!((&change["change"], &change["by"]), (&json!("resumed"), &json!("ben")));
    assert_eq!(change["reason"], "", "the reason of the pause is over");
    Ok(())
}

#[tokio::test]
async fn pause_and_resume_change_nothing_without_yes() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, true).await?;
    let ran = drained.run(&PAUSE[..3]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("would disable the event source mapping"), "{ran:?}");
    assert!(ran.stderr.contains("nothing was changed: add --yes"), "{ran:?}");
    assert_eq!(drained.state().await?, "Enabled");
    let ran = drained.run(&["resume", "--yes", "--output", "json"]).await?;
    assert_eq!((ran.code, ran.json()?["applied"].as_bool()), (Some(0), Some(false)));
    assert!(ran.stderr.contains("nothing was changed"), "{ran:?}");
    let tags = drained.lambda().get_event_source_mapping().uuid(&drained.mapping).send().await?;
    let arn = tags.event_source_mapping_arn.ok_or("no ARN")?;
    let tags = drained.lambda().list_tags().resource(arn).send().await?.tags;
    assert_eq!(tags.unwrap_or_default().len(), 0, "nothing was recorded");
    Ok(())
}

#[tokio::test]
async fn pause_again_keeps_the_first_reason() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, true).await?;
    drained.run(&PAUSE).await?.with(0)?;
    let ran = drained.run(&["pause", "--reason", "another", "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("is already Disabled"), "{ran:?}");
    let status = drained.run(&["status", "--output", "json"]).await?.json()?;
    assert_eq!(status["last_change"]["reason"], "CRM s outage INC-7", "{status}");

    // As a deployment does.
    let lambda = drained.lambda();
    lambda.update_event_source_mapping().uuid(&drained.mapping).enabled(true).send().await?;
    let status = drained.run(&["status"]).await?;
    assert!(status.stdout.contains("Enabled; enabled again after the pause of 20"), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn pause_changes_only_the_mapping_of_the_named_queue() -> TestResult {
    let drained = DrainedQueue::of(OperatorHarness::open().await?, true).await?;
    let other = drained.desk.world.aws.create_queue(false).await?;
    let second = drained.map(&other, true).await?;
    let ran = drained.run(&PAUSE).await?;
    assert_eq!(ran.code, Some(3), "two queues: {ran:?}");
    let stranger = drained.desk.world.aws.create_queue(false).await?;
    let ran = drained.run(&[&PAUSE[..], &["--queue", &stranger]].concat()).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains(&second), "the mappings are listed: {ran:?}");
    drained.run(&[&PAUSE[..], &["--queue", &other]].concat()).await?.with(0)?;
    assert_eq!(drained.state().await?, "Enabled");
    let second = drained.lambda().get_event_source_mapping().uuid(second).send().await?;
    assert_eq!(second.state.as_deref(), Some("Disabled"));
    Ok(())
}

#[tokio::test]
async fn pause_refuses_a_reason_that_tags_cannot_keep() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let ran = desk.run(&["pause", "--reason", "?!"]).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    Ok(())
}

/// Returns a stand-in of Lambda with a mapping whose state is `listed` in the list, `changed` in the answer to a change,
/// and one of `read` at each reading; the last one stays.
async fn lambda(listed: &str, changed: &str, read: &[&str]) -> ServerGuard {
    let mut lambda = mockito::Server::new_async().await;
    let region = "eu-central-1:271828182845";
    let mapping = |state: &str| {
        json!({
            "UUID": "u-1",
            "EventSourceArn": format!("arn:aws:sqs:{region}:dead-letters"),
            "EventSourceMappingArn": format!("arn:aws:lambda:{region}:event-source-mapping:u-1"),
            "State": state,
        })
    };
    let function = format!("arn:aws:lambda:{region}:function:replay");
    let mappings = "/2015-03-31/event-source-mappings";
    for (method, path, body) in [
        (
            "GET",
            "/2015-03-31/functions/replay/configuration".to_owned(),
            json!({ "FunctionName": "replay", "FunctionArn": function }),
        ),
        ("GET", mappings.to_owned(), json!({ "EventSourceMappings": [mapping(listed)] })),
        ("PUT", format!("{mappings}/u-1"), mapping(changed)),
    ] {
        let path = Matcher::Regex(format!("^{path}/?(\\?.*)?$"));
        lambda.mock(method, path).with_body(body.to_string()).create_async().await;
    }
    for state in read {
        let path = Matcher::Regex(format!("^{mappings}/u-1$"));
        let answer = lambda.mock("GET", path).with_body(mapping(state).to_string());
        // Each answer is given once before the next one.
        answer.expect(1).create_async().await;
    }
    lambda
}

/// Answers every request for tags with this status.
async fn tags(lambda: &mut ServerGuard, status: usize) -> Mock {
    let tags = lambda.mock("POST", Matcher::Regex("^/2017-03-31/tags/".to_owned()));
    let tags = tags.with_status(status).with_body("{}");
    tags.with_header("x-amzn-errortype", "AccessDeniedException").create_async().await
}

async fn run_at(lambda: &ServerGuard, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
    let url = lambda.url();
    let common = ["--endpoint-url", url.as_str(), "--function", "replay", "--output", "json"];
    run(&[], &[arguments, &common].concat()).await
}

#[tokio::test]
async fn pause_warns_and_waits_when_tags_are_denied() -> TestResult {
    let mut lambda = lambda("Enabled", "Disabling", &["Disabling", "Disabled"]).await;
    let _denied = tags(&mut lambda, 403).await;
    let ran = run_at(&lambda, &PAUSE).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json()?;
    assert_eq!((&document["state"], &document["recorded"]), (&json!("Disabled"), &json!(false)));
    assert!(ran.stderr.contains("(lambda:TagResource): AWS denies the permission"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn pause_ends_with_1_when_its_state_cannot_be_read() -> TestResult {
    let mut lambda = lambda("Enabled", "Disabling", &[]).await;
    let _tagged = tags(&mut lambda, 204).await;
    let ran = run_at(&lambda, &PAUSE).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.json()?["state"], "Disabling", "the change was made");
    assert!(ran.stderr.contains("(lambda:GetEventSourceMapping)"), "{ran:?}");
    assert!(ran.stderr.contains("genesys-replay status"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn resume_waits_for_the_end_of_another_change() -> TestResult {
    let states = ["Disabling", "Disabled", "Enabling", "Enabled"];
    let mut lambda = lambda("Disabling", "Enabling", &states).await;
    let tagged = tags(&mut lambda, 204).await;
    let ran = run_at(&lambda, &["resume", "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()?["state"], "Enabled");
    tagged.assert_async().await;
    Ok(())
}
