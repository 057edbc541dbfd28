//! The way of an event from a rule to the dead-letter queue, and the losses on it.

pub mod key_policy;
pub mod queue_policy;
mod resource_policy;

pub use resource_policy::Admission;
