//! The archive in an S3 bucket.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use genesys_replay::archive::{Archive, ArchiveError, Entry};

/// The metadata by which an object is known as this event's.
const EVENT: &str = "event";

/// The archive of one bucket.
#[derive(Clone, Debug)]
pub struct S3Archive {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Archive {
    /// An archive whose object keys begin with `prefix`. Objects are encrypted as the bucket is set
    /// up: with S3's own AES-256 unless it names another key.
    #[must_use]
    pub fn new(client: Client, bucket: String, prefix: String) -> Self {
        Self {
            client,
            bucket,
            prefix,
        }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Writes an object unless there is one; says whether it was written.
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

    /// Whether the object under `key` is the same event's.
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
    /// Answers the object's address, `s3://{bucket}/{key}`.
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let key = format!("{}{}", self.prefix, entry.object_key());
        let event = entry.fingerprint();
        let document = entry.document();
        if self.put_new(&key, &event, &document).await? || self.is_of(&key, &event).await? {
            return Ok(self.address(&key));
        }
        // The same event may fail at two targets in the same millisecond: neither is lost.
        let short = event.get(..16).unwrap_or(&event);
        let key = format!("{}-{short}.json", key.trim_end_matches(".json"));
        if self.put_new(&key, &event, &document).await? || self.is_of(&key, &event).await? {
            return Ok(self.address(&key));
        }
        let taken = format!("another object has the key {key}");
        Err(ArchiveError(taken.into()))
    }
}

/// Returns a client of S3. Local stacks know buckets by path only; AWS knows them by either.
#[must_use]
pub fn client(aws: &SdkConfig) -> Client {
    let config = aws_sdk_s3::config::Builder::from(aws)
        .force_path_style(aws.endpoint_url().is_some())
        .build();
    Client::from_conf(config)
}

/// S3 says so by status 412. A 409, two writers at once, is an error: the message comes back.
fn is_there_already(error: &SdkError<PutObjectError, HttpResponse>) -> bool {
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    status == Some(412) || matches!(code, Some("PreconditionFailed"))
}
