//! Ingest: what is taken over HTTP, from whom, and what is on the queue afterwards.

mod bodies;
mod keys;
mod lambda;
mod program;
mod queued;
mod senders;
mod subscriptions;
mod wire;
