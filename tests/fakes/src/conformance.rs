//! The contracts of the ports as suites of named cases, the same for fakes and real adapters.
//!
//! Each suite asks a `World` of its port for the port itself and for what there is to see behind it.
//! Every case works on something of its own, named after it, so that one world serves a whole suite.

pub mod archive;
pub mod genesys;
pub mod ledger;
pub mod message_sender;
pub mod queue;
pub mod secret;
pub mod subscriptions;
pub mod target;

use std::error::Error;
use std::fmt::Debug;

/// What a case or a look behind a port answers; an error says what was not as the contract says.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What shall befall the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It does not act, and fails.
    Down,
    /// It acts, and its answer does not arrive.
    AnswerLost,
}

/// Runs every case, even after one has failed. A case that is not named is dead code, which does
/// not compile with warnings denied.
macro_rules! suite {
    ($world:expr; $($case:ident),+ $(,)?) => {{
        let mut failures = Vec::new();
        $(
            if let Err(error) = $case($world, stringify!($case)).await {
                failures.push(format!("{}: {error}", stringify!($case)));
            }
        )+
        $crate::conformance::end(&failures)
    }};
}
use suite;

fn end(failures: &[String]) -> Result<()> {
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

/// `seen` is what the contract asks for.
fn same<T: PartialEq + Debug>(what: &str, seen: &T, asked: &T) -> Result<()> {
    if seen == asked {
        Ok(())
    } else {
        Err(format!("{what}: {seen:?} instead of {asked:?}").into())
    }
}

/// The contract asks for it.
fn holds(what: &str, it: bool) -> Result<()> {
    if it { Ok(()) } else { Err(what.into()) }
}
