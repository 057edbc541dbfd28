//! The replay of a large backlog in virtual time.
//!
//! Several execution environments drain one queue with the real use case: the retry policy, the circuit breakers, and the
//! rate limiter of Genesys Cloud. The queue has SQS's limits. Latencies are fixed, so that billed time can be compared.

mod environment;
mod genesys;
mod queue;
mod report;
mod scenario;
mod target;
mod time;

pub use report::Report;
pub use scenario::{RunError, Scenario, run};
