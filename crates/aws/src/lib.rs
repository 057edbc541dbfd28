//! AWS for every program: its configuration, SQS and Secrets Manager.

pub mod clients;
mod error;
pub mod queue_urls;
pub mod secrets_manager;
pub mod sqs_inlet;
pub mod sqs_queue;
pub mod sqs_sender;

pub use error::{aws_error, is_unsent, was_canceled};
