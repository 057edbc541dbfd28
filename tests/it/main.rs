//! The function on real parts: a local AWS for the table, mockito and the stand-in for the wires,
//! the real binary for the edge.

mod accounting;
mod archive;
mod aws_targets;
mod batch_metrics;
mod circuit_breaker;
mod concurrency;
mod conformance;
mod crashes;
mod deadline;
mod dispositions;
mod edge;
mod events;
mod fifo;
mod forged;
mod genesys_tokens;
mod genesys_wire;
mod hostile;
mod keys;
mod ledger;
mod logging;
mod outages;
mod queue;
mod replay;
mod retention;
mod retry_state;
mod retry_time;
mod rounds;
mod secrets;
mod target_wire;
mod verdicts;

/// The replay function's program.
const REPLAY: &str = env!("CARGO_BIN_EXE_replay");
