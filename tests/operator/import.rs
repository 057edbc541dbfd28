//! The import of failed events from other places, and their replay by the function.

mod enqueue;
mod formats;
mod sources;

use std::error::Error;
use std::io::Write;

use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::message::{Message, MessageId};
use genesys_replay_cli::operator::classified_message::ClassifiedMessage;
use genesys_test_support::{
    HIDDEN_SECONDS, Record, ReplayHarness, TestResult, conversation_event, eventually,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::program::{Ran, program, run, run_with};
use crate::support::send_record;

const SECRET: &str = "demo-secret";

/// A harness with its own queue, and the program's settings for it.
struct Office {
    world: ReplayHarness,
    queue: String,
}

impl Office {
    async fn open() -> Result<Self, Box<dyn Error>> {
        let world = ReplayHarness::start().await?;
        let queue = world.aws.create_queue(false).await?;
        Ok(Self { world, queue })
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let settings = self.world.settings().iter();
        settings.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Returns the command `import` on this queue with these source arguments.
    async fn import(&self, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
        let endpoint = self.world.aws.endpoint();
        let onto = onto(&endpoint, &self.queue);
        let all = [&onto[..], &["--output", "json"], arguments].concat();
        let ran = run(&self.variables(), &all).await?;
        assert!(!ran.says(SECRET), "{ran:?}");
        Ok(ran)
    }

    /// Puts a message on the queue, with the text attributes of a record.
    async fn put(&self, record: &Record) -> TestResult {
        send_record(&self.world.aws, &self.queue, record).await
    }

    /// Returns the visible messages, as the function receives them.
    async fn queued(&self) -> Result<Vec<Message>, Box<dyn Error>> {
        let mut messages = Vec::new();
        loop {
            let received = self.world.aws.receive(&self.queue, HIDDEN_SECONDS).await?;
            if received.is_empty() {
                return Ok(messages);
            }
            for message in received {
                let id = MessageId::new(message.message_id.unwrap_or_default()).ok_or("no id")?;
                let mut read = Message::new(id, message.body.unwrap_or_default());
                for (name, value) in message.message_attributes.unwrap_or_default() {
                    read.attributes.insert(name, value.string_value.unwrap_or_default());
                }
                messages.push(read);
            }
        }
    }

    /// Invokes the function in this process; all messages must be acknowledged.
    async fn replay(&self, messages: &[Message]) -> TestResult {
        let records = messages.iter().map(|message| {
            let record = Record::new(message.id.as_str(), &message.body);
            let attributes = message.attributes.iter();
            attributes.fold(record, |record, (name, value)| record.with(name, value))
        });
        let returned = self.world.deliver(&records.collect::<Vec<_>>()).await?;
        assert_eq!(returned, [""; 0]);
        Ok(())
    }
}

/// Returns the command `import` on this queue of this local AWS.
fn onto<'a>(endpoint: &'a str, queue: &'a str) -> [&'a str; 5] {
    ["import", "--endpoint-url", endpoint, "--queue", queue]
}

fn file(text: &str) -> Result<NamedTempFile, Box<dyn Error>> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn name(file: &NamedTempFile) -> Result<&str, Box<dyn Error>> {
    Ok(file.path().to_str().ok_or("no text")?)
}

/// A failed event without an event id in its payload. Its spaces would reveal a re-serialized payload.
fn failed(id: &str, failure: &Value) -> String {
    let mut event = failure.clone();
    event["id"] = json!(id);
    event["event_type"] = json!("v2.detail.events.conversation.{id}.customer.end");
    event["payload"] = json!("PAYLOAD");
    event.to_string().replace("\"PAYLOAD\"", &payload(id))
}

fn payload(id: &str) -> String {
    format!(r#"{{"interactionId": "c-{id}",  "score": 1.0}}"#)
}

#[tokio::test]
async fn import_without_yes_queues_nothing() -> TestResult {
    let office = Office::open().await?;
    let lines = [
        failed("e-1", &json!({ "failure_code": "THROTTLING" })),
        "{\"half\":".to_owned(),
        failed("e-2", &json!({ "failure_reason": "HTTP status 404" })),
        failed("e-1", &json!({ "failure_code": "THROTTLING" })),
        json!({ "id": "e-3", "payload": null }).to_string(),
        json!({ "id": "e-4", "payload": "AAECAw==" }).to_string(),
    ];
    let file = file(&lines.join("\n"))?;
    let ran = office.import(&["--file", name(&file)?]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.json()?;
    assert_eq!(said["dry_run"], true);
    assert_eq!(
        [&said["found"], &said["fit"], &said["queued"], &said["duplicates"], &said["refused"]],
        [6, 2, 0, 1, 3]
    );
    let expected = json!([
        { "category": "RATE_LIMIT_EXCEEDED", "prospect": "transient", "events": 1 },
        { "category": "TARGET_MISSING", "prospect": "permanent", "events": 1 },
    ]);
    assert_eq!(said["categories"], expected);
    let places: Vec<_> =
        said["refusals"].as_array().into_iter().flatten().map(|it| it["place"].clone()).collect();
    assert_eq!(places, ["line 2", "line 5", "line 6"]);
    assert!(ran.stderr.contains("warning: line 2: not JSON"), "{ran:?}");
    assert_eq!(office.queued().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn import_of_a_duplicate_event_is_delivered_once() -> TestResult {
    let office = Office::open().await?;
    let with_own_id = conversation_event("own-1", "c-9");
    let lines = [
        failed("e-1", &json!({ "failure_code": "TIMEOUT" })),
        format!(
            r#"{{"id":"failed-2","failure_code":"TIMEOUT","payload":{}}}"#,
            with_own_id.replace('\n', " ")
        ),
        format!(r#"{{"failure_reason":"timeout","payload":{}}}"#, payload("anonymous")),
    ];
    let file = file(&lines.join("\n"))?;
    for _ in 0..2 {
        let ran = office.import(&["--file", name(&file)?, "--yes", "--again"]).await?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.json()?["queued"], 3);
        let messages = office.queued().await?;
        assert_eq!(messages.len(), 3);
        office.replay(&messages).await?;
    }
    let mut delivered: Vec<String> = office
        .world
        .genesys
        .calls_to("POST", "/targets/")
        .into_iter()
        .map(|call| call.body)
        .collect();
    delivered.sort();
    let mut expected = [payload("e-1"), payload("anonymous"), with_own_id.replace('\n', " ")];
    expected.sort();
    assert_eq!(delivered, expected);
    assert_eq!(office.world.state("e-1").await?, "COMPLETED");
    assert_eq!(office.world.state("own-1").await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn import_category_equals_the_category_of_the_function() -> TestResult {
    let office = Office::open().await?;
    let failures = [
        (
            json!({ "failure_code": "THROTTLING", "failure_reason": "HTTP status 404" }),
            "RATE_LIMIT_EXCEEDED",
        ),
        (
            json!({ "failure_code": "ODD", "failure_reason": "403 Forbidden" }),
            "AUTHENTICATION_REJECTED",
        ),
        (
            json!({ "failure_reason": "it failed", "stack_trace": "at a\nio.netty: connection refused\nat b" }),
            "ENDPOINT_UNREACHABLE",
        ),
        (json!({ "failure_code": 404 }), "TARGET_MISSING"),
        (json!({ "stack_trace": "schema validation" }), "PAYLOAD_MALFORMED"),
        (json!({ "failure_reason": "it failed", "stack_trace": "at a" }), "UNKNOWN"),
    ];
    let lines: Vec<String> = failures
        .iter()
        .enumerate()
        .map(|(index, (failure, _))| failed(&format!("e-{index}"), failure))
        .collect();
    let file = file(&lines.join("\n"))?;
    let ran = office.import(&["--file", name(&file)?, "--yes"]).await?;
    let said = ran.json()?;
    let mut named: Vec<&str> = said["categories"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["category"].as_str())
        .collect();
    let messages = office.queued().await?;
    let nowhere = ReplayTarget::Fixed(Destination::None);
    let mut by_the_function: Vec<&str> =
        messages.iter().map(|it| ClassifiedMessage::of(it, &nowhere).category.as_str()).collect();
    let mut expected = failures.map(|(_, category)| category);
    named.sort_unstable();
    by_the_function.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
    assert_eq!(by_the_function, expected);
    Ok(())
}

#[tokio::test]
async fn import_sets_the_target_and_the_fifo_group() -> TestResult {
    let mut office = Office::open().await?;
    office.queue = office.world.aws.create_queue(true).await?;
    office.world.set("REPLAY_TARGET", "original");
    let file = file(&failed("e-1", &json!({})))?;
    let ran = office.import(&["--file", name(&file)?]).await?;
    assert_eq!(ran.json()?["without_target"], 1);
    assert!(ran.stderr.contains("add --target-arn"), "{ran:?}");

    let arn = "arn:aws:sqs:eu-central-1:000000000000:crm";
    let arguments = ["--file", name(&file)?, "--yes", "--again", "--target-arn", arn];
    for _ in 0..2 {
        let ran = office.import(&arguments).await?;
        assert_eq!(ran.json()?["queued"], 1, "{ran:?}");
    }
    let received = office.world.aws.receive(&office.queue, HIDDEN_SECONDS).await?;
    assert_eq!(received.len(), 1, "a FIFO queue drops the repetition");
    let message = received.first().ok_or("no message")?;
    let group = aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId;
    let group = message.attributes().and_then(|it| it.get(&group));
    assert_eq!(group.map(String::as_str), Some("c-e-1"));
    let target = message.message_attributes().and_then(|it| it.get("TARGET_ARN"));
    assert_eq!(target.and_then(|it| it.string_value()), Some(arn));

    for wrong in ["crm", "arn:aws:ecs:eu-central-1:000000000000:cluster/s"] {
        let ran = office.import(&["--file", name(&file)?, "--target-arn", wrong]).await?;
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
    Ok(())
}

/// A page of failed events.
fn page(ids: &[&str]) -> String {
    let events: Vec<String> =
        ids.iter().map(|id| failed(id, &json!({ "failure_code": "TIMEOUT" }))).collect();
    format!(r#"{{"entities":[{}]}}"#, events.join(","))
}

#[tokio::test]
async fn import_reads_stdin() -> TestResult {
    let office = Office::open().await?;
    let endpoint = office.world.aws.endpoint();
    let onto = onto(&endpoint, &office.queue);
    let arguments = [&onto[..], &["--file", "-", "--yes"]].concat();
    let text = page(&["a", "b", "a"]);
    let ran = run_with(text.as_bytes(), &office.variables(), &arguments).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("queued 2 of 3 failed events (duplicates: 1, cannot be queued: 0)"),
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test]
async fn import_reports_the_queued_count_when_interrupted() -> TestResult {
    let office = Office::open().await?;
    let endpoint = office.world.aws.endpoint();
    let onto = onto(&endpoint, &office.queue);
    let arguments = [&onto[..], &["--file", "-", "--yes"]].concat();
    let mut child =
        program(&arguments).envs(office.variables()).stdin(std::process::Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().ok_or("no stdin")?;
    let lines: String = (0..13).map(|id| failed(&format!("e-{id}"), &json!({})) + "\n").collect();
    tokio::io::AsyncWriteExt::write_all(&mut pipe, lines.as_bytes()).await?;
    // The program waits for more, because its stdin stays open.
    let queued = eventually("messages are queued", async || {
        let queued = office.queued().await?;
        Ok((!queued.is_empty()).then_some(queued))
    })
    .await?;
    let id = child.id().ok_or("no process")?.to_string();
    let told = std::process::Command::new("kill").args(["-INT", &id]).status()?;
    assert!(told.success());
    let ran = Ran::of(child.wait_with_output().await?)?;
    drop(pipe);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(queued.len(), 10);
    assert!(
        ran.stderr.contains("10 events are on the queue; run the command again for the rest"),
        "{ran:?}"
    );
    Ok(())
}

#[tokio::test]
async fn import_refuses_unusable_arguments_with_a_hint() -> TestResult {
    let office = Office::open().await?;
    let secret = file("[{\"id\":1,")?;
    for (arguments, code, said) in [
        (&["--file", "/no/such/file"][..], 3, "cannot be opened"),
        (&["--file", name(&secret)?], 3, "cannot be read"),
        (&["--s3", "bucket/prefix"], 3, "does not name a bucket"),
        (&["--s3", "s3://no-such-bucket/"], 3, "listing s3://no-such-bucket/"),
        (&["--subscription", "a/b"], 3, "cannot be the id of a subscription"),
        (&["--file", "-", "--s3", "s3://b/"], 2, "cannot be used with"),
        (&[], 2, "required arguments"),
    ] {
        let ran = office.import(arguments).await?;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
        assert!(code == 2 || ran.stderr.contains("hint: "), "{ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn import_queues_nothing_when_credentials_expired() -> TestResult {
    let mut aws = mockito::Server::new_async().await;
    aws.mock("POST", mockito::Matcher::Any)
        .with_status(400)
        .with_header("x-amzn-errortype", "ExpiredTokenException")
        .with_body(r#"{"__type":"ExpiredTokenException","message":"expired"}"#)
        .create_async()
        .await;
    let url = aws.url();
    let file = file(&failed("e-1", &json!({})))?;
    let onto = onto(&url, "q");
    let arguments = [&onto[..], &["--file", name(&file)?, "--yes"]].concat();
    let ran = run(&[], &arguments).await?;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("hint: renew your AWS credentials"), "{ran:?}");
    Ok(())
}
