//! Reads the objects of an S3 bucket.

use aws_sdk_s3::Client;
use genesys_replay::aws::{AwsError, AwsErrorKind};

use super::{ArchiveReader, ArchivedObject, ObjectPage};
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
        let operation = format!("reading s3://{}/{key}", self.bucket);
        let call = self.client.get_object().bucket(&self.bucket).key(key);
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
        let content = object.body.collect().await.map_err(|_| {
            let detail = "the object ended early".to_owned();
            failed(AwsErrorKind::Unreachable, detail)
        })?;
        Ok(Some((content.to_vec(), etag)))
    }
}
