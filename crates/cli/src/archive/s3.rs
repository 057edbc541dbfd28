//! Reads and writes the objects of an S3 bucket.

use aws_sdk_s3::Client;
use genesys_replay::aws::{AwsError, AwsErrorKind};

use super::{ArchiveReader, ArchiveWriter, ArchivedObject, ObjectPage, StoredObject};
use crate::calls::answered;

/// A reader of one bucket.
#[derive(Clone, Debug)]
pub struct S3Reader {
    client: Client,
    bucket: String,
}

impl S3Reader {
    pub(crate) fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

impl ArchiveReader for S3Reader {
    async fn page(&self, prefix: &str, from: Option<&str>) -> Result<ObjectPage, AwsError> {
        let operation = format!("listing s3://{}/{prefix}", self.bucket);
        let call = self.client.list_objects_v2().bucket(&self.bucket);
        let call = call.prefix(prefix);
        let call = call.set_continuation_token(from.map(str::to_owned));
        let answer = answered(&operation, call.send()).await?;
        let next = answer.next_continuation_token().map(str::to_owned);
        let objects = answer.contents.unwrap_or_default().into_iter();
        let kept = objects.filter_map(|object| {
            Some(ArchivedObject {
                key: object.key?,
                size: u64::try_from(object.size?).ok()?,
                etag: object.e_tag.unwrap_or_default(),
            })
        });
        Ok(ObjectPage { objects: kept.collect(), next })
    }

    async fn get(&self, key: &str, most: u64) -> Result<Option<(Vec<u8>, String)>, AwsError> {
        let object = read(&self.client, &self.bucket, key, most).await?;
        Ok(object.map(|object| (object.content, object.etag)))
    }
}

/// A writer to one bucket.
#[derive(Clone, Debug)]
pub struct S3Writer {
    client: Client,
    bucket: String,
}

impl S3Writer {
    pub(crate) fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

impl ArchiveWriter for S3Writer {
    async fn read(&self, key: &str, most: u64) -> Result<Option<StoredObject>, AwsError> {
        read(&self.client, &self.bucket, key, most).await
    }

    async fn put_new(&self, key: &str, object: &StoredObject) -> Result<bool, AwsError> {
        let operation = format!("writing s3://{}/{key}", self.bucket);
        let call = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        let call = call.set_content_type(object.content_type.clone());
        let call = call.set_metadata(Some(object.metadata.clone()));
        let call = call.body(object.content.clone().into());
        match answered(&operation, call.send()).await {
            Ok(_) => Ok(true),
            Err(error) if error.detail.as_deref() == Some("PreconditionFailed") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), AwsError> {
        let operation = format!("deleting s3://{}/{key}", self.bucket);
        let call = self.client.delete_object().bucket(&self.bucket).key(key);
        answered(&operation, call.send()).await.map(drop)
    }
}

async fn read(
    client: &Client,
    bucket: &str,
    key: &str,
    most: u64,
) -> Result<Option<StoredObject>, AwsError> {
    let operation = format!("reading s3://{bucket}/{key}");
    let call = client.get_object().bucket(bucket).key(key);
    let object = match answered(&operation, call.send()).await {
        Ok(object) => object,
        Err(error) if error.detail.as_deref() == Some("NoSuchKey") => return Ok(None),
        Err(error) => return Err(error),
    };
    let failed = |kind, detail: String| AwsError {
        operation: operation.clone(),
        kind,
        detail: Some(detail),
    };
    let length = object.content_length().unwrap_or_default();
    if u64::try_from(length).unwrap_or(0) > most {
        let detail = format!("the object is longer than {most} bytes");
        return Err(failed(AwsErrorKind::Refused, detail));
    }
    let etag = object.e_tag().unwrap_or_default().to_owned();
    let content_type = object.content_type().map(str::to_owned);
    let metadata = object.metadata().cloned().unwrap_or_default();
    let content = object.body.collect().await.map_err(|_| {
        let detail = "the object ended early".to_owned();
        failed(AwsErrorKind::Unreachable, detail)
    })?;
    Ok(Some(StoredObject { content: content.to_vec(), etag, content_type, metadata }))
}
