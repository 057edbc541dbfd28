//! The order that services keep which know one.

use super::Delivery;

/// The order that a FIFO queue or topic keeps: that of the interaction, else of the event alone.
pub(super) fn group(delivery: &Delivery<'_>) -> String {
    delivery
        .interaction_id
        .map_or_else(|| delivery.key.digest(), str::to_owned)
}
