//! The reader of buses, rules and targets.

use std::collections::BTreeSet;
use std::error::Error;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::Target;
use genesys_replay_cli::app;
use genesys_test_support::{LocalAws, TestResult, aws_at};
use mockito::Matcher;
use serde_json::json;

async fn put_rule(client: &Client, bus: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let pattern = r#"{"source":["genesys"]}"#;
    client.put_rule().event_bus_name(bus).name(name).event_pattern(pattern).send().await?;
    Ok(())
}

#[tokio::test]
async fn reader_reads_every_rule_when_a_bus_has_more_than_a_page() -> TestResult {
    let aws = LocalAws::start().await?;
    let client = Client::new(&aws.config());
    let bus = LocalAws::name("bus");
    client.create_event_bus().name(&bus).kms_key_identifier("a-key").send().await?;
    for number in 0..101 {
        put_rule(&client, &bus, &format!("rule-{number}")).await?;
    }
    client.disable_rule().event_bus_name(&bus).name("rule-7").send().await?;
    let targets = (0..6).map(|number| {
        let id = format!("t-{number}");
        let arn = format!("arn:aws:lambda:eu-central-1:271828182845:function:{id}");
        Target::builder().id(id).arn(arn).build()
    });
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let put = client.put_targets().event_bus_name(&bus).rule("rule-100");
    put.set_targets(Some(targets)).send().await?;

    let reader = app::event_rules(&aws.config());
    let read = reader.read(Some(&bus)).await?;
    assert_eq!(read.failures, []);
    let [found] = read.buses.as_slice() else { return Err("not one bus".into()) };
    assert_eq!((&found.name, &found.key), (&bus, &Ok(Some("a-key".to_owned()))));
    assert!(found.arn.ends_with(&format!(":event-bus/{bus}")), "{}", found.arn);
    let names: BTreeSet<&str> = read.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names.len(), 101);
    let disabled = read.rules.iter().filter(|rule| !rule.is_enabled).map(|rule| &rule.name);
    assert_eq!(disabled.collect::<Vec<_>>(), ["rule-7"]);
    for rule in &read.rules {
        let targets = rule.targets.clone()?;
        assert_eq!(targets.len(), if rule.name == "rule-100" { 6 } else { 0 }, "{}", rule.name);
    }

    let all = reader.read(None).await?;
    let buses: BTreeSet<&str> = all.buses.iter().map(|bus| bus.name.as_str()).collect();
    assert!(buses.contains(bus.as_str()) && buses.contains("default"), "{buses:?}");
    assert!(all.rules.len() >= 101);
    Ok(())
}

#[tokio::test]
async fn reader_reads_every_target_when_a_rule_has_more_than_a_page() -> TestResult {
    // The local AWS sends all targets in one page.
    let mut server = mockito::Server::new_async().await;
    let target =
        |id: &str| json!({ "Id": id, "Arn": format!("arn:aws:sns:x:y:{id}"), "New": [id] });
    let pages = [
        (
            json!({ "Rule": "r", "EventBusName": "b" }),
            json!({ "Targets": [target("1"), target("2")], "NextToken": "n" }),
        ),
        (
            json!({ "Rule": "r", "EventBusName": "b", "NextToken": "n" }),
            json!({ "Targets": [target("3")] }),
        ),
    ];
    for (request, answer) in &pages {
        let mock = server
            .mock("POST", "/")
            .match_header("x-amz-target", "AWSEvents.ListTargetsByRule")
            .match_body(Matcher::Json(request.clone()))
            .with_header("content-type", "application/x-amz-json-1.1")
            .with_body(answer.to_string());
        mock.create_async().await;
    }
    let reader = app::event_rules(&aws_at(&server.url()));
    let targets = reader.targets("b", "r").await?;
    let ids: Vec<&str> = targets.iter().map(|target| target.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    // A member that the SDK does not know is kept.
    assert_eq!(targets[2].definition, target("3"));
    Ok(())
}

#[tokio::test]
async fn reader_names_the_action_when_a_bus_does_not_exist() -> TestResult {
    let aws = LocalAws::start().await?;
    let error = app::event_rules(&aws.config()).read(Some("absent")).await;
    let error = error.err().ok_or("a bus that does not exist was found")?.to_string();
    assert!(error.contains("absent (events:DescribeEventBus)"), "{error}");
    Ok(())
}
