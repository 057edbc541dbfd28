//! The receives of a queue that a command costs, and the refusals because of them.

use genesys_replay_cli::operator::queue_reading::{QueueReadError, QueueReading, WholeReadError};
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::receive_cost::ReceiveRefusal;

use crate::exit::UserError;
use crate::terminal;

/// The option that reads the parking queue instead.
const FROM_PARKING: &str = "plan --from parking";

/// Returns the refusal of a queue that has too few receives left.
pub(super) fn refused(refusal: &ReceiveRefusal) -> anyhow::Error {
    UserError::new(refusal.to_string(), refusal.remedy(FROM_PARKING)).into()
}

/// Returns the error of a command that could not read a queue.
pub(super) fn not_read(error: QueueReadError) -> anyhow::Error {
    match error {
        // Unwrapped, so that its remedy is found.
        QueueReadError::Aws(error) => error.into(),
        QueueReadError::Receives(refusal) => refused(&refusal),
    }
}

/// Returns the error of a command that did not read a queue to its end.
pub(super) fn not_completed(error: WholeReadError) -> anyhow::Error {
    match error {
        WholeReadError::Read(error) => not_read(error),
        WholeReadError::Interrupted(interrupted) => interrupted.into(),
    }
}

/// Reports the receives of a reading.
pub(super) fn report(reading: &QueueReading<'_, impl QueueReader>) {
    let cost = reading.cost();
    for line in [cost.shown(), cost.last_receives()].into_iter().flatten() {
        terminal::say(&line);
    }
}
