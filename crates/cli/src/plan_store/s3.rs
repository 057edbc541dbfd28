//! Shared plans in an S3 bucket.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;

use super::{ListedObject, PlanStore, StoreListing};
use crate::calls::answered;

/// The maximum number of calls for one object while S3 reports a conflict with another write of the same key.
const MAX_CONFLICTING_CALLS: usize = 5;

/// The plans of one bucket.
#[derive(Clone, Debug)]
pub struct S3PlanStore {
    client: Client,
    bucket: String,
}

impl S3PlanStore {
    pub(crate) fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

/// Keeps the time of an answer: its header `Date`.
#[derive(Clone, Debug, Default)]
struct AnswerDate(Arc<Mutex<Option<Timestamp>>>);

impl AnswerDate {
    fn get(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for AnswerDate {
    fn name(&self) -> &'static str {
        "AnswerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|it| DateTime::from_str(it, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.as_ref().and_then(timestamp);
        Ok(())
    }
}

fn timestamp(date: &DateTime) -> Option<Timestamp> {
    let millis = date.to_millis().ok()?;
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

impl PlanStore for S3PlanStore {
    async fn list(&self, prefix: &str) -> Result<StoreListing, AwsError> {
        let operation = format!("listing {} (s3:ListBucket)", self.address(prefix));
        let mut objects = Vec::new();
        let mut from = None;
        loop {
            let date = AnswerDate::default();
            let call = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let call = call.set_continuation_token(from.take());
            let call = call.customize().interceptor(date.clone());
            let page = answered(&operation, call.send()).await?;
            let now = date.get().ok_or_else(|| AwsError::incomplete(&operation, "date"))?;
            from = page.next_continuation_token;
            objects.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                Some(ListedObject {
                    key: object.key?,
                    size: u64::try_from(object.size?).ok()?,
                    written_at: timestamp(&object.last_modified?)?,
                })
            }));
            if from.is_none() {
                return Ok(StoreListing { objects, now });
            }
        }
    }

    async fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, AwsError> {
        let operation = format!("reading {} (s3:GetObject)", self.address(key));
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
        let length = u64::try_from(object.content_length().unwrap_or_default()).unwrap_or(0);
        if length > most {
            let detail = format!("the object is longer than {most} bytes");
            return Err(failed(AwsErrorKind::Refused, detail));
        }
        let content = object.body.collect().await;
        let content = content
            .map_err(|_| failed(AwsErrorKind::Unreachable, "the object ended early".to_owned()))?;
        Ok(Some(content.to_vec()))
    }

    async fn put_new(&self, key: &str, content: Vec<u8>) -> Result<bool, AwsError> {
        let operation = format!("writing {} (s3:PutObject)", self.address(key));
        let mut calls = 0;
        loop {
            calls += 1;
            let call = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let call = call.content_type("application/json").body(content.clone().into());
            match answered(&operation, call.send()).await {
                Ok(_) => return Ok(true),
                Err(error) => match error.detail.as_deref() {
                    Some("PreconditionFailed") => return Ok(false),
                    // Another write of this key is not finished. It may fail.
                    Some("ConditionalRequestConflict") if calls < MAX_CONFLICTING_CALLS => {}
                    Some(_) | None => return Err(error),
                },
            }
        }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}
