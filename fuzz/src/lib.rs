//! The invariants of every input from outside.
//!
//! One function per parser. `cargo fuzz` calls them with generated inputs (`make fuzz`), `tests/seeds.rs`
//! calls them with the inputs in `seeds/` on every test run. Each panics when an invariant is broken, as a
//! fuzzer expects.

mod batch;
mod connection;
mod dead_letter;
mod genesys;
mod lambda_event;
mod operator;
mod parts;
mod request;
mod retry_after;
mod target;

pub use batch::sqs_event;
pub use connection::{connection_secret, path_parameters};
pub use dead_letter::open_record;
pub use genesys::{genesys_answer, token_answer};
pub use lambda_event::lambda_event;
pub use operator::operator_file;
pub use request::ingest_request;
pub use retry_after::retry_after;
pub use target::{target_address, target_arn};

use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;

/// A fuzz target: its name and the check of an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target.
pub const TARGETS: &[Target] = &[
    ("connection_secret", connection_secret),
    ("genesys_answer", genesys_answer),
    ("ingest_request", ingest_request),
    ("lambda_event", lambda_event),
    ("open_record", open_record),
    ("operator_file", operator_file),
    ("path_parameters", path_parameters),
    ("retry_after", retry_after),
    ("sqs_event", sqs_event),
    ("target_address", target_address),
    ("target_arn", target_arn),
    ("token_answer", token_answer),
];

/// 2026-07-25T17:20:00Z
const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// Returns whether a delivery to this destination makes a call.
const fn can_be_called(destination: &Destination) -> bool {
    match destination {
        Destination::Http(_)
        | Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::EventBus(_)
        | Destination::Kinesis(_)
        | Destination::Firehose(_)
        | Destination::LogGroup(_)
        | Destination::ApiDestination(_)
        | Destination::ApiGateway(_)
        | Destination::CustomBus(_) => true,
        Destination::None
        | Destination::Unsupported(_)
        | Destination::NotAllowed(_)
        | Destination::Looping(_)
        | Destination::TooLong(_)
        | Destination::Missing => false,
    }
}
