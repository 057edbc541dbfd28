//! The replay function: converts Lambda's SQS event to a batch, and the results to the answer.

pub mod app;
pub mod lambda;
pub mod startup;
