//! Ingest: its HTTP requests, its authentication, and its messages on the queue.

mod authentication;
mod bodies;
mod buffer;
mod connections;
mod keys;
mod lambda;
mod metrics;
mod odd_events;
mod program;
mod queued;
mod slow_queue;
mod subscriptions;
mod support;
mod wire;

/// The program of ingest.
const INGEST: &str = env!("CARGO_BIN_EXE_ingest");
