//! The contracts of the ports as suites of named cases, the same for fakes and real adapters.
//!
//! Each suite has a trait that gives access to the port and to the state behind it. Every case uses its
//! own names, so that one implementation of the trait serves all cases.

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

/// The result of a case. An error names the difference to the contract.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A fault of the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// The call fails without an effect.
    NoEffect,
    /// The call has its effect, and its response is lost.
    ResponseLost,
}

/// Runs every case, also after a failure. A case that is missing here is dead code, which does not
/// compile with warnings denied.
macro_rules! suite {
    ($suite:expr; $($case:ident),+ $(,)?) => {{
        let mut failures = Vec::new();
        $(
            if let Err(error) = $case($suite, stringify!($case)).await {
                failures.push(format!("{}: {error}", stringify!($case)));
            }
        )+
        $crate::conformance::end(&failures)
    }};
}
use suite;

fn end(failures: &[String]) -> Result<()> {
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// Checks that `seen` equals the value of the contract.
fn same<T: PartialEq + Debug>(what: &str, seen: &T, asked: &T) -> Result<()> {
    if seen == asked {
        Ok(())
    } else {
        Err(format!("{what}: {seen:?} instead of {asked:?}").into())
    }
}

/// Checks a condition of the contract.
fn holds(what: &str, it: bool) -> Result<()> {
    if it { Ok(()) } else { Err(what.into()) }
}
