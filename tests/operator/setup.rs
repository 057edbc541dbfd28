//! The guided first deployment.

mod account;

use std::error::Error;

use genesys_test_support::TestResult;
use serde_json::{Value, json};

use crate::doctor::deployed::{Genesys, SECRET};
use crate::support::program::Ran;
use account::Account;

/// Returns the steps of a run as `name: state`.
fn states(ran: &Ran) -> Result<Vec<String>, Box<dyn Error>> {
    let document = ran.json()?;
    let steps = document["steps"].as_array().cloned().unwrap_or_default();
    Ok(steps
        .iter()
        .map(|step| format!("{}: {}", text(&step["name"]), text(&step["state"])))
        .collect())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the step with this name.
fn step(ran: &Ran, name: &str) -> Result<Value, Box<dyn Error>> {
    let document = ran.json()?;
    let mut steps = document["steps"].as_array().into_iter().flatten();
    let found = steps.find(|step| step["name"] == name);
    Ok(found.ok_or_else(|| format!("no step {name}: {ran:?}"))?.clone())
}

/// Checks a run that stops at a step with a problem: the finding and the hint contain these texts.
fn is_stopped(ran: &Ran, name: &str, found: &str, hint: &str) -> TestResult {
    let step = step(ran, name)?;
    assert_eq!(step["state"], "problem", "{step}");
    assert!(text(&step["found"]).contains(found), "{step}");
    assert!(text(&step["hint"]).contains(hint), "{step}");
    assert_eq!(ran.code, Some(1));
    Ok(())
}

/// The states before the deployment: the changes have this state.
fn before_the_deployment(changes: &str) -> Vec<String> {
    [
        "queue: done",
        "readers: done",
        "targets: done",
        "genesys: done",
        &format!("secret: {changes}"),
        &format!("queue_attributes: {changes}"),
        &format!("configuration: {changes}"),
        "stack: waiting",
        "parking_queue: waiting",
        "first_message: waiting",
        "draining: waiting",
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test]
async fn setup_changes_nothing_without_yes() -> TestResult {
    let account = Account::open().await?;
    let before = account.queue_attributes().await?;
    let ran = account.setup(&[]).await?;
    assert_eq!(states(&ran)?, before_the_deployment("planned"));
    assert_eq!(ran.code, Some(1));
    assert_eq!(account.queue_attributes().await?, before);
    assert_eq!(account.secret().await?, None);
    assert_eq!(account.file("samconfig.toml"), None);
    let shown = account.setup_as_text(&[]).await?;
    assert!(shown.stdout.contains("- VisibilityTimeout 30\n"), "{shown:?}");
    assert!(shown.stdout.contains("+ VisibilityTimeout 360\n"), "{shown:?}");
    assert!(shown.stderr.contains("nothing was changed: add --yes"), "{shown:?}");
    assert!(!shown.says(SECRET), "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn setup_prepares_the_deployment_once() -> TestResult {
    let account = Account::open().await?;
    let ran = account.setup(&["--yes", "--write", "terraform", "--write", "cdk"]).await?;
    assert_eq!(states(&ran)?, before_the_deployment("applied"));
    assert!(!ran.says(SECRET), "{ran:?}");
    let (arn, value) = account.secret().await?.ok_or("no secret")?;
    assert_eq!(serde_json::from_str::<Value>(&value)?, Account::client());
    let attributes = account.queue_attributes().await?;
    assert_eq!(attributes["VisibilityTimeout"], "360");
    let policy: Value = serde_json::from_str(&attributes["Policy"])?;
    let sources = &policy["Statement"][0]["Condition"]["ArnLike"]["aws:SourceArn"];
    assert!(sources.to_string().contains(&account.rule_arn), "{policy}");
    let expected = json!({
        "AllowedTargets": account.target,
        "DeadLetterQueueArn": account.queue,
        "GenesysApiBaseUrl": account.genesys.url(),
        "GenesysLoginBaseUrl": account.genesys.url(),
        "GenesysSecretArn": arn,
    });
    let file = |name: &str| account.file(name).ok_or_else(|| format!("no {name}"));
    let variables: Value = serde_json::from_str(&file("genesys-replay.auto.tfvars.json")?)?;
    assert_eq!(variables["genesys_replay_parameters"], expected);
    let context: Value = serde_json::from_str(&file("cdk.context.json")?)?;
    assert_eq!(context["genesys-replay:parameters"], expected);
    let config = file("samconfig.toml")?;
    assert!(config.contains(&format!("stack_name = \"{}\"", account.stack)), "{config}");
    assert!(config.contains(&format!("AllowedTargets=\"{}\"", account.target)), "{config}");
    assert!(!config.contains(SECRET), "{config}");

    // The same command continues without the client, which is in the secret.
    let again = account.continued(&["--yes"]).await?;
    assert_eq!(states(&again)?, before_the_deployment("done"));
    assert_eq!(account.file("samconfig.toml"), Some(config));
    Ok(())
}

#[tokio::test]
async fn setup_replays_one_message_and_starts_when_deployed() -> TestResult {
    let account = Account::open().await?;
    account.setup(&["--yes"]).await?;
    account.deploy().await?;
    account.send_dead_letter().await?;
    account.settle_as("COMPLETED").await?;
    account.answers(&json!({ "batchItemFailures": [] })).await;

    let planned = account.continued(&[]).await?;
    let changes = |state: &str| {
        ["parking_queue", "first_message", "draining"].map(|name| format!("{name}: {state}"))
    };
    assert_eq!(states(&planned)?[8..], changes("planned"));
    assert_eq!(account.mapping_state().await?, "Disabled");
    assert_eq!(account.invocations(), 0);

    let ran = account.continued(&["--yes"]).await?;
    assert_eq!(states(&ran)?[8..], changes("applied"), "{ran:?}");
    let first = step(&ran, "first_message")?;
    assert!(text(&first["found"]).contains("was delivered"), "{first}");
    assert_eq!(ran.json()?["events"][0]["status"], "COMPLETED");
    assert_eq!(ran.code, Some(0));
    assert_eq!(account.invocations(), 1);
    assert_eq!(account.queue_attributes().await?["ApproximateNumberOfMessages"], "0");
    assert!(account.queue_attributes().await?["RedrivePolicy"].contains("\"203\""));
    assert_eq!(account.mapping_state().await?, "Enabled");
    let config = account.file("samconfig.toml").unwrap_or_default();
    assert!(config.contains("ReplayEnabled=\"true\""), "{config}");

    let again = account.continued(&["--yes"]).await?;
    assert!(states(&again)?.iter().all(|state| state.ends_with(": done")), "{again:?}");
    assert_eq!((again.code, again.json()?["complete"].as_bool()), (Some(0), Some(true)));
    assert_eq!(account.invocations(), 1);
    Ok(())
}

#[tokio::test]
async fn setup_does_not_start_when_the_first_message_fails() -> TestResult {
    let account = Account::open().await?;
    account.setup(&["--yes"]).await?;
    account.deploy().await?;
    let message = account.send_dead_letter().await?;
    account.settle_as("DEFERRED").await?;
    account.answers(&json!({ "batchItemFailures": [{ "itemIdentifier": message }] })).await;
    let ran = account.continued(&["--yes"]).await?;
    is_stopped(
        &ran,
        "first_message",
        "was not delivered: TARGET_CREDENTIALS",
        "explain TARGET_CREDENTIALS",
    )?;
    assert_eq!(account.mapping_state().await?, "Disabled");
    assert_eq!(account.messages().await?, 1, "the message stays in the queue");

    account.show_messages().await?;
    account.settle_as("ARCHIVED").await?;
    account.answers(&json!({ "batchItemFailures": [] })).await;
    let ran = account.continued(&["--yes"]).await?;
    is_stopped(
        &ran,
        "first_message",
        "was archived: TARGET_CREDENTIALS",
        "explain TARGET_CREDENTIALS",
    )?;
    assert_eq!(account.mapping_state().await?, "Disabled");
    assert_eq!(account.messages().await?, 0);
    Ok(())
}

#[tokio::test]
async fn setup_names_the_failure_when_the_function_fails() -> TestResult {
    let account = Account::open().await?;
    account.setup(&["--yes"]).await?;
    account.deploy().await?;
    account.send_dead_letter().await?;
    // The answer is not JSON, so the function fails.
    account.answers_with("not JSON").await;
    let ran = account.continued(&["--yes"]).await?;
    is_stopped(&ran, "first_message", "the function failed", "doctor")?;
    assert_eq!(account.mapping_state().await?, "Disabled");
    assert_eq!(account.messages().await?, 1);
    Ok(())
}

#[tokio::test]
async fn setup_stops_when_several_queues_fit() -> TestResult {
    let account = Account::open().await?;
    let other = account.aws.create_queue(false).await?;
    account.add_rule("billing", Some(&other)).await?;
    let ran = account.setup(&[]).await?;
    is_stopped(&ran, "queue", "several queues fit", "--queue")?;
    let found = step(&ran, "queue")?;
    for queue in [&other, &account.queue] {
        let name = queue.rsplit(':').next().unwrap_or_default();
        assert!(text(&found["found"]).contains(name), "{found}");
    }
    let ran = account.setup(&["--queue", &account.queue]).await?;
    assert_eq!(states(&ran)?[0], "queue: done");
    let ran = account.setup(&["--create-queue", "--parameter", "AllowedTargets=*"]).await?;
    assert_eq!(states(&ran)?[0], "queue: done");
    assert_eq!(states(&ran)?[7], "stack: waiting");
    Ok(())
}

#[tokio::test]
async fn setup_creates_nothing_when_genesys_refuses_the_client() -> TestResult {
    let mut account = Account::open().await?;
    account.genesys.become_like(Genesys::UnknownClient).await;
    let ran = account.setup(&["--yes"]).await?;
    is_stopped(&ran, "genesys", "Genesys token", "GENESYS_REGION")?;
    assert_eq!(account.secret().await?, None);
    assert_eq!(account.file("samconfig.toml"), None);
    assert!(!ran.says(SECRET), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn setup_asks_before_each_change() -> TestResult {
    let account = Account::open().await?;
    let before = account.queue_attributes().await?;
    let shown = account.setup_with_answers("y\nn\ny\n").await?;
    for question in ["Change secret? [y/N]", "Change queue attributes?", "Change configuration?"] {
        assert!(shown.contains(question), "{shown}");
    }
    assert!(account.secret().await?.is_some(), "{shown}");
    assert_eq!(account.queue_attributes().await?, before, "{shown}");
    assert!(account.file("samconfig.toml").is_some(), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
    Ok(())
}

#[tokio::test]
async fn setup_replaces_the_secret_when_the_client_changed() -> TestResult {
    let account = Account::open().await?;
    account.setup(&["--yes"]).await?;
    account.write("client.json", r#"{"client_id":"new-id","client_secret":"new-secret"}"#)?;
    let ran = account.setup(&[]).await?;
    let secret = step(&ran, "secret")?;
    assert_eq!(secret["changes"][0]["before"], "the OAuth client an-id", "{secret}");
    assert_eq!(secret["changes"][0]["after"], "the OAuth client new-id", "{secret}");
    account.setup(&["--yes"]).await?;
    let value = account.secret().await?.map(|(_, value)| value).unwrap_or_default();
    assert!(value.contains("new-secret"));
    Ok(())
}

#[tokio::test]
async fn setup_stops_when_another_function_reads_the_queue() -> TestResult {
    let account = Account::open().await?;
    let function = account.add_reader().await?;
    let ran = account.setup(&["--yes"]).await?;
    let name = function.rsplit(':').next().unwrap_or_default();
    is_stopped(&ran, "readers", name, "aws lambda update-event-source-mapping --uuid")?;
    assert_eq!(account.file("samconfig.toml"), None);
    Ok(())
}

#[tokio::test]
async fn setup_refuses_damaged_input_and_names_it() -> TestResult {
    let account = Account::open().await?;
    account.write("samconfig.toml", "[default.deploy.parameters\n")?;
    let ran = account.setup(&["--yes"]).await?;
    is_stopped(&ran, "configuration", "samconfig.toml", "repair the file")?;
    assert_eq!(account.file("samconfig.toml").as_deref(), Some("[default.deploy.parameters\n"));
    account.write("samconfig.toml", "")?;

    account.write("client.json", "{}")?;
    let ran = account.setup(&["--yes"]).await?;
    is_stopped(&ran, "genesys", "not of the form", "--client-file")?;
    let ran = account.continued(&["--yes", "--secret", "no-such-secret"]).await?;
    is_stopped(&ran, "genesys", "no-such-secret does not exist", "--secret")?;
    let ran = account.continued(&["--yes"]).await?;
    is_stopped(&ran, "genesys", "the OAuth client is not given", "--client-file")?;

    for (arguments, code, found) in [
        (["--parameter", "GenesysClientSecret=x"], 3, "would be readable"),
        (["--parameter", "GenesysReigon=x"], 2, "a similar name is GenesysRegion"),
        (["--folder", "no-such-folder"], 3, "is not a folder"),
        (["--client-file", "no-such-file"], 3, "no-such-file cannot be read"),
    ] {
        let ran = account.continued(&arguments).await?;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(found), "{ran:?}");
    }
    let fifo = account.aws.create_queue(true).await?;
    let ran = account.setup(&["--queue", &fifo]).await?;
    is_stopped(&ran, "queue", "FIFO", "--queue")?;
    let ran = account.setup(&["--queue", "no-such-queue"]).await?;
    is_stopped(&ran, "queue", "no-such-queue", "--queue")?;
    Ok(())
}

#[tokio::test]
async fn setup_waits_when_the_stack_has_other_parameters() -> TestResult {
    let account = Account::open().await?;
    account.setup(&["--yes"]).await?;
    account.deploy().await?;
    let ran = account.continued(&["--parameter", "GenesysApi=conversations", "--yes"]).await?;
    let stack = step(&ran, "stack")?;
    assert_eq!(stack["state"], "waiting", "{stack}");
    assert!(text(&stack["found"]).contains("other values of GenesysApi"), "{stack}");
    assert_eq!(account.mapping_state().await?, "Disabled");
    Ok(())
}
