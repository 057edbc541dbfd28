//! The memory of earlier imports of a source.

use std::io;

/// The events of a source that earlier imports put on the queue.
///
/// The ledger recognises a repeated event only until its item expires. A cursor has no such limit.
pub trait ImportCursor {
    /// Returns true if an earlier import put the event with this id on the queue. The id stands for event, target and
    /// payload.
    fn has(&self, id: &str) -> bool;

    /// Stores that these events are on the queue.
    ///
    /// # Errors
    /// [`io::Error`] if the cursor was not stored: another import would put the events on the queue again.
    fn advance(&mut self, ids: &[String]) -> io::Result<()>;
}

/// A cursor without memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCursor;

impl ImportCursor for NoCursor {
    fn has(&self, _: &str) -> bool {
        false
    }

    fn advance(&mut self, _: &[String]) -> io::Result<()> {
        Ok(())
    }
}
