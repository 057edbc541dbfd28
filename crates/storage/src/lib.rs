//! The ledger in `DynamoDB` and the archive in S3.

pub mod dynamodb;
pub mod s3;
