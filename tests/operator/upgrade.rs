//! Ledger items, archived objects, plans and audits that version 0.1.0 wrote (commit 822da59, on the local AWS).

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use genesys_test_support::{Record, TestResult};
use serde_json::{Value, json};

use crate::support::harness::OperatorHarness;

/// The target of all events.
const TARGET: &str = "arn:aws:sqs:eu-central-1:000000000000:upgrade-crm";
const PLAN: &str = include_str!("upgrade/version_0_1_0/plan.json");
const AUDIT: &str = include_str!("upgrade/version_0_1_0/plan.audit.jsonl");
const LEDGER: &str = include_str!("upgrade/version_0_1_0/ledger.json");
const ARCHIVE: &str = include_str!("upgrade/version_0_1_0/archive.json");
const MESSAGES: &str = include_str!("upgrade/version_0_1_0/messages.json");
/// The events of the plan.
const EVENTS: usize = 7;

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    value[name].as_str().ok_or_else(|| format!("{name} is not a text: {value}"))
}

/// A deployment of this version with the data of version 0.1.0.
struct Upgraded(OperatorHarness);

impl Upgraded {
    /// Opens a deployment with an empty ledger, and with the archive.
    async fn open() -> Result<Self, Box<dyn Error>> {
        let mut desk = OperatorHarness::open().await?;
        let archive: Value = serde_json::from_str(ARCHIVE)?;
        let bucket = text(&archive, "bucket")?;
        desk.world.set("REPLAY_TARGET", TARGET);
        desk.world.set("ARCHIVE_BUCKET", bucket);
        desk.queue = text(&archive, "queue")?.to_owned();
        let sqs = aws_sdk_sqs::Client::new(&desk.world.aws.config());
        for arn in [&*desk.queue, TARGET] {
            let name = arn.rsplit(':').next().unwrap_or_default();
            let url = sqs.create_queue().queue_name(name).send().await?.queue_url;
            // Another test of this process may have used the queue.
            sqs.purge_queue().set_queue_url(url).send().await?;
        }
        let s3 = desk.world.aws.s3();
        if s3.head_bucket().bucket(bucket).send().await.is_err() {
            let here = BucketLocationConstraint::EuCentral1;
            let here = CreateBucketConfiguration::builder().location_constraint(here).build();
            s3.create_bucket().bucket(bucket).create_bucket_configuration(here).send().await?;
        }
        // Another test of this process may have used the bucket.
        for (key, _) in desk.world.aws.objects(bucket).await? {
            s3.delete_object().bucket(bucket).key(key).send().await?;
        }
        for object in array(&archive["objects"]) {
            let content = text(object, "content")?.as_bytes().to_vec();
            s3.put_object()
                .bucket(bucket)
                .key(text(object, "key")?)
                .metadata("event", text(&object["metadata"], "event")?)
                .body(ByteStream::from(content))
                .send()
                .await?;
        }
        Ok(Self(desk))
    }

    /// Stores ledger items of the fixture.
    async fn store<'i>(&self, items: impl IntoIterator<Item = &'i Value>) -> TestResult {
        for item in items {
            let attributes = item.as_object().into_iter().flatten().filter_map(|(name, value)| {
                let text = value["S"].as_str().map(|text| AttributeValue::S(text.to_owned()));
                let number = || Some(AttributeValue::N(value["N"].as_str()?.to_owned()));
                Some((name.clone(), text.or_else(number)?))
            });
            let attributes: HashMap<_, _> = attributes.collect();
            assert_eq!(attributes.len(), item.as_object().map_or(0, serde_json::Map::len));
            let put = self.0.world.aws.dynamodb().put_item();
            put.table_name(&self.0.world.aws.table).set_item(Some(attributes)).send().await?;
        }
        Ok(())
    }

    /// Returns the status and the attempts of each ledger item, by key.
    async fn items(&self) -> Result<BTreeMap<String, (String, String)>, Box<dyn Error>> {
        let aws = &self.0.world.aws;
        let scanned = aws.dynamodb().scan().table_name(&aws.table).send().await?;
        let text = |item: &HashMap<String, AttributeValue>, name: &str| {
            let value = item.get(name);
            let text = value.and_then(|value| value.as_s().or_else(|_| value.as_n()).ok());
            text.cloned().unwrap_or_default()
        };
        let items = scanned.items.unwrap_or_default().into_iter();
        let items = items.filter(|item| item.contains_key("Status"));
        Ok(items
            .map(|item| (text(&item, "EventId"), (text(&item, "Status"), text(&item, "Attempts"))))
            .collect())
    }

    async fn delivered(&self) -> Result<u64, Box<dyn Error>> {
        self.0.depth(TARGET).await
    }
}

/// Returns the items of the fixture with this name.
fn items(name: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let ledger: Value = serde_json::from_str(LEDGER)?;
    let items: Vec<Value> = array(&ledger[name]).cloned().collect();
    assert!(!items.is_empty(), "{name}");
    Ok(items)
}

/// Returns the key and the ledger's state of each item of a plan.
fn planned(plan: &Value) -> BTreeMap<String, Value> {
    let items = array(&plan["content"]["items"]);
    let items = items
        .map(|item| (item["key"].as_str().unwrap_or_default().to_owned(), item["ledger"].clone()));
    items.collect()
}

#[tokio::test]
async fn plan_and_audit_of_version_0_1_are_resumed() -> TestResult {
    let upgraded = Upgraded::open().await?;
    let desk = &upgraded.0;
    // The old version sent the first event, saw its end, and was killed.
    let audit: Vec<&str> = AUDIT.split_inclusive('\n').collect();
    let end = audit.iter().position(|line| line.contains(r#""what":"outcome""#));
    let begun = audit[..=end.ok_or("no outcome")?].concat();
    let first = serde_json::from_str::<Value>(audit[end.ok_or("no outcome")?])?["key"].clone();
    upgraded.store(&items("archived")?).await?;
    let replayed = items("replayed")?;
    upgraded.store(replayed.iter().filter(|item| item["EventId"]["S"] == first)).await?;
    std::fs::write(desk.file("plan.json"), PLAN)?;
    std::fs::write(desk.file("plan.audit.jsonl"), &begun)?;

    let ran = desk.run_beside_function(&["apply", "plan.json", "--resume", "--yes"]).await?;
    assert!(ran.says(&format!("{EVENTS} delivered")), "{ran:?}");
    ran.with(0)?;
    assert_eq!(upgraded.delivered().await?, EVENTS as u64 - 1);
    // Under the keys of the old version, and no others.
    let expected = replayed.iter().map(|item| {
        let key = item["EventId"]["S"].as_str().unwrap_or_default().to_owned();
        (key, ("COMPLETED".to_owned(), "2".to_owned()))
    });
    assert_eq!(upgraded.items().await?, expected.collect());
    assert!(desk.read("plan.audit.jsonl")?.starts_with(&begun));
    desk.run(&["reconcile"]).await?.with(0)?;
    Ok(())
}

#[tokio::test]
async fn archive_of_version_0_1_is_planned_with_its_ledger_items() -> TestResult {
    let upgraded = Upgraded::open().await?;
    let desk = &upgraded.0;
    upgraded.store(&items("archived")?).await?;
    let arguments = ["plan", "--code", "TARGET_REFUSED", "--reason", "the queue was missing"];
    desk.run(&[&arguments[..], &["--local"]].concat()).await?.with(0)?;
    let old: Value = serde_json::from_str(PLAN)?;
    let new = planned(&desk.document("plan.json")?);
    assert_eq!(new.len(), EVENTS);
    assert_eq!(new, planned(&old));
    let ran = desk.run_beside_function(&["apply", "plan.json", "--yes"]).await?;
    assert!(ran.says(&format!("{EVENTS} delivered")), "{ran:?}");
    assert_eq!(upgraded.delivered().await?, EVENTS as u64);

    // All are delivered now, so a second plan is empty.
    let ran = desk.run(&[&arguments[..], &["--out", "again.json"]].concat()).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.says("the event was delivered already"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn archived_events_with_a_shared_id_are_all_planned() -> TestResult {
    let upgraded = Upgraded::open().await?;
    let desk = &upgraded.0;
    upgraded.store(&items("archived")?).await?;
    // Another event of the configured webhook. Its ledger item had expired before the first one was stored.
    let archive: Value = serde_json::from_str(ARCHIVE)?;
    let mut objects = array(&archive["objects"]);
    let shared =
        objects.find(|object| text(object, "key").is_ok_and(|key| key.contains("/wh-configured-")));
    let mut document: Value = serde_json::from_str(text(shared.ok_or("no object")?, "content")?)?;
    document["body"] = json!(r#"{"campaignId":"c-1","contactId":"k-0","status":"COMPLETED"}"#);
    document["message_id"] = json!("m-earlier");
    document["first_seen_at"] = json!("2026-11-29T08:00:00Z");
    desk.world
        .aws
        .s3()
        .put_object()
        .bucket(text(&archive, "bucket")?)
        .key("dlq/archives/unknown/TARGET_REFUSED/wh-configured-20261129T080000000Z.json")
        .body(ByteStream::from(document.to_string().into_bytes()))
        .send()
        .await?;
    desk.run(&["plan", "--code", "TARGET_REFUSED", "--reason", "all", "--local"]).await?.with(0)?;
    assert_eq!(planned(&desk.document("plan.json")?).len(), EVENTS + 1);
    let ran = desk.run_beside_function(&["apply", "plan.json", "--yes"]).await?;
    assert!(ran.says(&format!("{} delivered", EVENTS + 1)), "{ran:?}");
    assert_eq!(upgraded.delivered().await?, EVENTS as u64 + 1);
    desk.run(&["plan", "--id", "wh-configured", "--out", "one.json", "--reason", "again"])
        .await?
        .with(1)?;
    Ok(())
}

/// Delivers the messages of a set to the function. Returns the purposes of those that reached the target.
async fn deliver(upgraded: &Upgraded, set: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let messages: Value = serde_json::from_str(MESSAGES)?;
    let mut delivered = Vec::new();
    for message in array(&messages[set]) {
        let mut record = Record::new(text(message, "message_id")?, text(message, "body")?);
        for (name, value) in message["attributes"].as_object().into_iter().flatten() {
            record = record.with(name, value.as_str().unwrap_or_default());
        }
        let earlier = upgraded.delivered().await?;
        let returned = upgraded.0.world.deliver(&[record]).await?;
        assert_eq!(returned, [""; 0], "{message}");
        if upgraded.delivered().await? > earlier {
            delivered.push(text(message, "purpose")?.to_owned());
        }
    }
    delivered.sort_unstable();
    Ok(delivered)
}

#[tokio::test]
async fn ledger_items_of_version_0_1_are_continued() -> TestResult {
    let mut upgraded = Upgraded::open().await?;
    upgraded.0.world.set("RETRY_STATE", "off");
    upgraded.store(&items("open")?).await?;
    let before = upgraded.items().await?;
    // Deferred before its delivery, in progress until a lease that has ended, and rejected without an archive.
    assert_eq!(deliver(&upgraded, "open").await?, ["deferred", "held", "returned"]);
    let after = upgraded.items().await?;
    assert!(before.keys().eq(after.keys()), "{after:?}");
    for (key, (status, attempts)) in &after {
        assert_eq!(status, "COMPLETED", "{key}");
        let more = attempts.parse::<u32>()? - before[key].1.parse::<u32>()?;
        assert!(more <= 1, "{key}: {more} attempts");
    }

    // Two events of one configured webhook have one id in version 0.1.0, and only the first was delivered.
    let other =
        Record::new("m-other", r#"{"campaignId":"c-1","contactId":"k-2","status":"COMPLETED"}"#)
            .with("Origin", "ingest/webhook")
            .with("WebhookId", "wh-configured");
    let earlier = upgraded.delivered().await?;
    upgraded.0.world.deliver(&[other]).await?;
    assert_eq!(upgraded.delivered().await?, earlier + 1);
    Ok(())
}

#[tokio::test]
async fn deferred_events_of_version_0_1_keep_key_and_attempts() -> TestResult {
    let upgraded = Upgraded::open().await?;
    upgraded.store(&items("deferred")?).await?;
    let before = upgraded.items().await?;
    assert!(before.values().all(|(status, attempts)| status == "DEFERRED" && attempts == "1"));
    // A webhook with the sender's id, and one with a number for its time.
    assert_eq!(deliver(&upgraded, "deferred").await?, ["numbers", "signed"]);
    let expected = before.into_keys().map(|key| (key, ("COMPLETED".to_owned(), "2".to_owned())));
    assert_eq!(upgraded.items().await?, expected.collect());
    Ok(())
}

#[test]
fn fixture_has_no_member_of_this_version() -> TestResult {
    let plan: Value = serde_json::from_str(PLAN)?;
    assert!(plan["content"].get("written_by").is_none());
    assert_eq!(plan["content"]["items"].as_array().map(Vec::len), Some(EVENTS));
    let sets = ["archived", "replayed", "deferred", "open"];
    for item in sets.map(items).into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
        assert_eq!((&item["DeliveryId"], &item["Rounds"]), (&json!(null), &json!(null)), "{item}");
    }
    Ok(())
}
