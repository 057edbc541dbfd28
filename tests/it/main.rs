//! The function on real adapters: a local AWS, mockito and the stand-in, and the real binary under a Runtime
//! API.

mod api_destinations;
mod archive;
mod aws_targets;
mod backlog;
mod batch_metrics;
mod broken_connections;
mod circuit_breaker;
mod concurrency;
mod conformance;
mod crashes;
mod dead_letter;
mod dead_letter_shapes;
mod deadline;
mod dispositions;
mod event_keys;
mod fifo;
mod frozen_connections;
mod genesys_tokens;
mod genesys_wire;
mod http_targets;
mod lambda_response;
mod ledger;
mod logging;
mod malformed_input;
mod message_shapes;
mod outages;
mod outcome_counts;
mod panics;
mod private_ca;
mod rate_budget;
mod record_results;
mod replay;
mod retention;
mod retry_state;
mod retry_time;
mod rounds;
mod rule_targets;
mod secrets;
mod spoofed_targets;
mod startup;
mod stored_records;
mod target_auth;
mod tracing_headers;
mod visibility_timeout;

/// The replay function's program.
const REPLAY: &str = env!("CARGO_BIN_EXE_replay");
