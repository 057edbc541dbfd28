//! Reads the objects of an S3 bucket.

use aws_sdk_s3::Client;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay_aws::aws_error;

use super::{ArchiveReader, ArchivedObject, Page};

/// A reader of one bucket.
#[derive(Clone, Debug)]
pub struct S3Reader {
    client: Client,
    bucket: String,
}

impl S3Reader {
    /// Returns a reader of this bucket.
    #[must_use]
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }

    /// Returns the bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }
}

impl ArchiveReader for S3Reader {
    async fn page(&self, prefix: &str, from: Option<&str>) -> Result<Page, AwsError> {
        let operation = || format!("listing s3://{}/{prefix}", self.bucket);
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_continuation_token(from.map(str::to_owned))
            .send()
            .await
            .map_err(|error| aws_error(operation(), &error))?;
        let next = answer.next_continuation_token().map(str::to_owned);
        let objects = answer.contents.unwrap_or_default().into_iter();
        let kept = objects.filter_map(|object| {
            Some(ArchivedObject {
                key: object.key?,
                size: u64::try_from(object.size?).ok()?,
                etag: object.e_tag.unwrap_or_default(),
            })
        });
        Ok(Page {
            objects: kept.collect(),
            next,
        })
    }

    async fn get(&self, key: &str, most: u64) -> Result<Option<(Vec<u8>, String)>, AwsError> {
        let operation = || format!("reading s3://{}/{key}", self.bucket);
        let call = self.client.get_object().bucket(&self.bucket).key(key);
        let object = match call.send().await {
            Ok(object) => object,
            Err(error) => {
                let error = aws_error(operation(), &error);
                let is_there = error.detail.as_deref() != Some("NoSuchKey");
                return if is_there { Err(error) } else { Ok(None) };
            }
        };
        let refused = |detail: String| AwsError {
            operation: operation(),
            kind: AwsErrorKind::Refused,
            detail: Some(detail),
        };
        let length = object.content_length().unwrap_or_default();
        if u64::try_from(length).unwrap_or(0) > most {
            return Err(refused(format!("it is longer than {most} bytes")));
        }
        let etag = object.e_tag().unwrap_or_default().to_owned();
        let broken = |_| AwsError {
            operation: operation(),
            kind: AwsErrorKind::Unreachable,
            detail: Some("the object ended early".to_owned()),
        };
        let content = object.body.collect().await.map_err(broken)?;
        Ok(Some((content.to_vec(), etag)))
    }
}
