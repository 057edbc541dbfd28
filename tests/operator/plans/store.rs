//! The store of shared plans: its contract, on S3 and in memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;
use genesys_replay_cli::app;
use genesys_replay_cli::plan_store::{ListedObject, PlanStore, StoreListing};
use genesys_test_support::{LocalAws, TestResult};
use tokio::time::Instant;

/// The objects by key, each with the time of its write.
type Objects = BTreeMap<String, (Vec<u8>, Timestamp)>;

/// A store in memory with a clock of its own, which begins in 2026.
#[derive(Clone)]
pub(super) struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
    begun: Instant,
    /// The keys whose writes are answered late, and how late.
    slow: Option<(String, Duration)>,
}

impl MemoryStore {
    pub(super) fn new() -> Self {
        Self { objects: Arc::default(), begun: Instant::now(), slow: None }
    }

    /// Returns the same store, whose answer to a write of this key is late.
    pub(super) fn slow(&self, key: &str, delay: Duration) -> Self {
        Self { slow: Some((key.to_owned(), delay)), ..self.clone() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_796_000_000_000).plus(self.begun.elapsed())
    }

    /// Changes or removes an object behind the back of the program.
    pub(super) fn set(&self, key: &str, content: Option<&str>) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        match (content, objects.get_mut(key)) {
            (Some(content), Some(object)) => object.0 = content.into(),
            (Some(content), None) => {
                objects.insert(key.to_owned(), (content.into(), self.now()));
            }
            (None, _) => drop(objects.remove(key)),
        }
    }

    pub(super) fn text(&self, key: &str) -> String {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let content = objects.get(key).map(|(content, _)| content.clone()).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    }
}

impl PlanStore for MemoryStore {
    async fn list(&self, prefix: &str) -> Result<StoreListing, AwsError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let listed = found.map(|(key, (content, written_at))| ListedObject {
            key: key.clone(),
            size: content.len() as u64,
            written_at: *written_at,
        });
        Ok(StoreListing { objects: listed.collect(), now: self.now() })
    }

    async fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, AwsError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let content = objects.get(key).map(|(content, _)| content.clone());
        if content.as_ref().is_some_and(|content| content.len() as u64 > most) {
            let operation = format!("reading {key}");
            return Err(AwsError { operation, kind: AwsErrorKind::Refused, detail: None });
        }
        Ok(content)
    }

    async fn put_new(&self, key: &str, content: Vec<u8>) -> Result<bool, AwsError> {
        let is_new = {
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = !objects.contains_key(key);
            if is_new {
                objects.insert(key.to_owned(), (content, self.now()));
            }
            is_new
        };
        if let Some((_, delay)) = self.slow.as_ref().filter(|(slow, _)| slow == key) {
            tokio::time::sleep(*delay).await;
        }
        Ok(is_new)
    }

    fn address(&self, key: &str) -> String {
        format!("memory://{key}")
    }
}

/// Checks the contract of a store.
async fn conforms(store: &impl PlanStore) -> TestResult {
    let content = |text: &str| text.as_bytes().to_vec();
    let before = store.list("plans/").await?;
    assert!(before.objects.is_empty(), "{before:?}");
    assert!(store.put_new("plans/b", content("b")).await?);
    assert!(store.put_new("plans/a", content("first")).await?);
    assert!(!store.put_new("plans/a", content("second")).await?, "an object never changes");
    assert!(store.put_new("other/a", content("x")).await?);
    assert_eq!(store.get("plans/a", 5).await?, Some(content("first")));
    assert_eq!(store.get("plans/none", 5).await?, None);
    assert!(store.get("plans/a", 4).await.is_err(), "the object is too long");
    let listing = store.list("plans/").await?;
    let keys: Vec<(&str, u64)> =
        listing.objects.iter().map(|it| (it.key.as_str(), it.size)).collect();
    assert_eq!(keys, [("plans/a", 5), ("plans/b", 1)]);
    for object in &listing.objects {
        // Times of HTTP have whole seconds.
        let after = object.written_at.plus(Duration::from_secs(1));
        assert!(after.as_secs() >= before.now.as_secs(), "{object:?} {before:?}");
        assert!(object.written_at.as_secs() <= listing.now.as_secs() + 1, "{listing:?}");
    }
    Ok(())
}

#[tokio::test]
async fn plan_store_conforms_on_s3_and_in_memory() -> Result<(), Box<dyn Error>> {
    let aws = LocalAws::start().await?;
    let bucket = aws.create_bucket().await?;
    conforms(&app::plan_store(&aws.config(), &bucket)).await?;
    conforms(&MemoryStore::new()).await
}
