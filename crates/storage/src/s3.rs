//! The archive in an S3 bucket.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use genesys_replay::archive::{Archive, ArchiveError, Entry};

/// The metadata that identifies the event of an object.
const EVENT: &str = "event";

/// The archive of one bucket.
#[derive(Clone, Debug)]
pub struct S3Archive {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Archive {
    /// Creates an archive whose object keys begin with `prefix`. The bucket decides the encryption: S3's own
    /// AES-256 unless the bucket names another key.
    #[must_use]
    pub fn new(client: Client, bucket: String, prefix: String) -> Self {
        Self { client, bucket, prefix }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Writes an object unless its key is taken. Returns true if the object was written.
    async fn put_new(&self, key: &str, event: &str, document: &str) -> Result<bool, ArchiveError> {
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type("application/json")
            .metadata(EVENT, event)
            .body(document.as_bytes().to_vec().into())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_there_already(&error) => Ok(false),
            Err(error) => Err(ArchiveError(error.into())),
        }
    }

    /// Returns true if the object under `key` belongs to the same event.
    async fn is_of(&self, key: &str, event: &str) -> Result<bool, ArchiveError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| ArchiveError(error.into()))?;
        let stored = head.metadata().and_then(|metadata| metadata.get(EVENT));
        Ok(stored.is_some_and(|stored| stored == event))
    }
}

impl Archive for S3Archive {
    /// Returns the object's address, `s3://{bucket}/{key}`.
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let key = format!("{}{}", self.prefix, entry.object_key());
        let event = entry.fingerprint();
        let document = entry.document();
        if self.put_new(&key, &event, &document).await? || self.is_of(&key, &event).await? {
            return Ok(self.address(&key));
        }
        // The same event may fail at two targets in the same millisecond. Both objects are stored.
        let short = event.get(..16).unwrap_or(&event);
        let key = format!("{}-{short}.json", key.trim_end_matches(".json"));
        if self.put_new(&key, &event, &document).await? || self.is_of(&key, &event).await? {
            return Ok(self.address(&key));
        }
        let taken = format!("another object has the key {key}");
        Err(ArchiveError(taken.into()))
    }
}

/// Returns an S3 client. Local stacks accept bucket names only in the path; AWS accepts both forms.
#[must_use]
pub fn client(aws: &SdkConfig) -> Client {
    let config = aws_sdk_s3::config::Builder::from(aws)
        .force_path_style(aws.endpoint_url().is_some())
        .build();
    Client::from_conf(config)
}

/// Returns true for status 412. A 409 means two concurrent writers and is an error: the message returns to
/// the queue.
fn is_there_already(error: &SdkError<PutObjectError, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let status = error.raw_response().map(|response| response.status().as_u16());
    status == Some(412) || matches!(code, Some("PreconditionFailed"))
}
