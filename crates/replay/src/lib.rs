//! The replay function: from Lambda's SQS event to a batch, and back to the answer.

pub mod app;
pub mod lambda;
pub mod startup;
