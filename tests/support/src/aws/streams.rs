//! Targets that store records: data streams, Firehose streams and log groups.

use std::error::Error;

use aws_sdk_firehose::types::ExtendedS3DestinationConfiguration;
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use aws_sdk_s3::primitives::ByteStream;

use super::LocalAws;
use crate::eventually;

impl LocalAws {
    /// Creates a data stream with one shard. Returns its ARN.
    pub async fn create_stream(&self) -> Result<String, Box<dyn Error>> {
        let kinesis = aws_sdk_kinesis::Client::new(&self.config());
        let name = Self::name("stream");
        kinesis.create_stream().stream_name(&name).shard_count(1).send().await?;
        eventually("the data stream is active", async || {
            let call = kinesis.describe_stream_summary().stream_name(&name);
            let found = call.send().await?.stream_description_summary.ok_or("no description")?;
            Ok((found.stream_status == StreamStatus::Active).then_some(found.stream_arn))
        })
        .await
    }

    /// Returns the partition key and the data of each record of a data stream.
    pub async fn stream_records(
        &self,
        stream: &str,
    ) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let kinesis = aws_sdk_kinesis::Client::new(&self.config());
        let shards = kinesis.list_shards().stream_arn(stream).send().await?;
        let mut records = Vec::new();
        for shard in shards.shards() {
            let iterator = kinesis
                .get_shard_iterator()
                .stream_arn(stream)
                .shard_id(shard.shard_id())
                .shard_iterator_type(ShardIteratorType::TrimHorizon)
                .send()
                .await?
                .shard_iterator;
            let answer = kinesis.get_records().set_shard_iterator(iterator).send().await?;
            for record in answer.records {
                let data = String::from_utf8(record.data.into_inner())?;
                records.push((record.partition_key.unwrap_or_default(), data));
            }
        }
        Ok(records)
    }

    /// Creates a Firehose stream that stores each record in a bucket. Returns its ARN and the bucket.
    pub async fn create_firehose(&self) -> Result<(String, String), Box<dyn Error>> {
        let bucket = self.create_bucket().await?;
        let destination = ExtendedS3DestinationConfiguration::builder()
            .bucket_arn(format!("arn:aws:s3:::{bucket}"))
            .role_arn("arn:aws:iam::000000000000:role/any")
            .build()?;
        let call = aws_sdk_firehose::Client::new(&self.config())
            .create_delivery_stream()
            .delivery_stream_name(Self::name("firehose"))
            .extended_s3_destination_configuration(destination);
        let created = Box::pin(call.send()).await?;
        Ok((created.delivery_stream_arn.ok_or("no ARN")?, bucket))
    }

    /// Returns the records that a Firehose stream stored in a bucket.
    pub async fn firehose_records(&self, bucket: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let listed = self.s3().list_objects_v2().bucket(bucket).send().await?;
        let mut records = Vec::new();
        for key in listed.contents().iter().filter_map(|object| object.key()) {
            let object = self.s3().get_object().bucket(bucket).key(key).send().await?;
            records.push(text(object.body).await?);
        }
        Ok(records)
    }

    /// Creates a log group, and a log stream if one is named. Returns the ARN and the name of the group.
    pub async fn create_log_group(
        &self,
        stream: Option<&str>,
    ) -> Result<(String, String), Box<dyn Error>> {
        let name = format!("/aws/events/{}", Self::name("group"));
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config());
        logs.create_log_group().log_group_name(&name).send().await?;
        if let Some(stream) = stream {
            let call = logs.create_log_stream().log_group_name(&name);
            call.log_stream_name(stream).send().await?;
        }
        Ok((format!("arn:aws:logs:eu-central-1:000000000000:log-group:{name}"), name))
    }

    /// Returns the timestamp, in milliseconds since 1970, and the message of each event of a log group.
    pub async fn log_events(&self, group: &str) -> Result<Vec<(u64, String)>, Box<dyn Error>> {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config());
        let found = logs.filter_log_events().log_group_name(group).send().await?;
        let events = found.events.unwrap_or_default().into_iter();
        let events = events
            .filter_map(|event| Some((u64::try_from(event.timestamp?).ok()?, event.message?)));
        Ok(events.collect())
    }
}

async fn text(body: ByteStream) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(body.collect().await?.to_vec())?)
}
