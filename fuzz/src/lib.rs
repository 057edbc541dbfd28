//! What must hold for every input that comes from outside.
//!
//! One function for each place where such input is read. `cargo fuzz` calls them with inputs that
//! it makes up (`make fuzz`), `tests/seeds.rs` with those that are kept in `seeds/`, on every test
//! run and without the fuzzer. Each panics when something does not hold: that is what a fuzzer
//! understands.

mod batch;
mod genesys;
mod letter;
mod operator;
mod parts;
mod request;
mod wait;

pub use batch::sqs_event;
pub use genesys::{genesys_answer, token_answer};
pub use letter::open_record;
pub use operator::operator_file;
pub use request::ingest_request;
pub use wait::retry_after;

use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;

/// A fuzz target: its name, and what has to hold for an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target.
pub const TARGETS: &[Target] = &[
    ("genesys_answer", genesys_answer),
    ("ingest_request", ingest_request),
    ("open_record", open_record),
    ("operator_file", operator_file),
    ("retry_after", retry_after),
    ("sqs_event", sqs_event),
    ("token_answer", token_answer),
];

/// 2026-07-25T17:20:00Z
const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// Whether a delivery to it calls anybody.
const fn can_be_called(destination: &Destination) -> bool {
    match destination {
        Destination::Http(_)
        | Destination::Lambda(_)
        | Destination::Sqs(_)
        | Destination::Sns(_)
        | Destination::StateMachine(_)
        | Destination::EventBus(_) => true,
        Destination::None
        | Destination::Unsupported(_)
        | Destination::NotAllowed(_)
        | Destination::TooLong(_)
        | Destination::Missing => false,
    }
}
