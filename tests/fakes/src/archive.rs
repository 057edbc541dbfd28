//! An archive in memory, with the keys of the one in S3.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use genesys_replay::archive::{Archive, ArchiveError, Entry};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// An archive whose clones share their objects.
#[derive(Clone)]
pub struct MemoryArchive {
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    faults: Arc<dyn Faults<ArchiveError>>,
}

struct Object {
    /// The identity: a digest of the event's key and the body.
    event: String,
    document: String,
}

impl Default for MemoryArchive {
    fn default() -> Self {
        Self { objects: Arc::default(), faults: Arc::new(NoFaults) }
    }
}

impl MemoryArchive {
    /// Returns the same archive with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<ArchiveError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Returns the documents by key.
    #[must_use]
    pub fn documents(&self) -> BTreeMap<String, String> {
        let objects = lock(&self.objects);
        objects.iter().map(|(key, object)| (key.clone(), object.document.clone())).collect()
    }

    /// Stores the document unless it exists. Returns its key.
    fn keep(&self, entry: &Entry<'_>) -> String {
        let event = entry.fingerprint();
        let mut objects = lock(&self.objects);
        let mut key = entry.object_key();
        if objects.get(&key).is_some_and(|it| it.event != event) {
            let short = event.get(..16).unwrap_or(&event);
            key = format!("{}-{short}.json", key.trim_end_matches(".json"));
        }
        objects.entry(key.clone()).or_insert_with(|| Object { event, document: entry.document() });
        key
    }
}

impl Archive for MemoryArchive {
    /// Returns the object's address, `memory://{key}`.
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let key = pass(&*self.faults, "put", || Ok(self.keep(entry))).await?;
        Ok(format!("memory://{key}"))
    }
}
