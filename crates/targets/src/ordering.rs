//! The message groups of FIFO queues and topics.

use genesys_replay::target::Delivery;

/// Returns the message group: the dead letter's own; without one, the interaction; otherwise the event alone.
pub(super) fn group(delivery: &Delivery<'_>) -> String {
    delivery.group.or(delivery.interaction_id).map_or_else(|| delivery.key.digest(), str::to_owned)
}
