//! The configuration of a run, drawn at random before the run begins.

use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::Clocks;

use crate::events::{Kind, SimEvent};
use crate::fault_kinds::{FaultKind, FaultKinds};
use crate::faults::SimRng;
use crate::lasting_fault::LastingFault;
use crate::late_failures::LateFailureConfig;

/// The setting `RETRY_STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryStateMode {
    Required,
    BestEffort,
    Off,
}

/// The kind of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    Standard,
    Fifo,
}

/// Duplicate messages after the end of all other work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateDuplicates {
    None,
    /// At the end of SQS's retention, after the deletion of expired ledger items.
    WithinRetention,
    /// After the expiry of the ledger items, before their deletion.
    AfterExpiry,
}

/// The configuration of one run.
#[derive(Debug)]
pub(crate) struct SimConfig {
    /// One call in this many fails without an effect, and one in this many loses its response.
    pub(crate) fault_one_in: u32,
    /// The time after which no fault is injected.
    pub(crate) faults_end_after: Duration,
    pub(crate) workers: u32,
    /// One visibility timeout in this many ends while its worker runs.
    pub(crate) early_redelivery_one_in: u32,
    /// One invocation in this many gets a shutdown.
    pub(crate) shutdown_one_in: u32,
    /// The maximum delay of a worker before its next receive, and the maximum of an early visibility
    /// timeout.
    pub(crate) max_poll_delay_ms: u64,
    pub(crate) clocks: Clocks,
    pub(crate) queue_kind: QueueKind,
    pub(crate) has_archive: bool,
    pub(crate) retry_state_mode: RetryStateMode,
    /// The number of calls that Genesys Cloud accepts per minute.
    pub(crate) genesys_quota: u32,
    pub(crate) sends_operator_replays: bool,
    pub(crate) late_duplicates: LateDuplicates,
    pub(crate) events: Vec<SimEvent>,
    /// The failures of targets after the acceptance.
    pub(crate) late: LateFailureConfig,
    /// The fault that lasts for hours.
    pub(crate) lasting_fault: LastingFault,
    /// The kinds of faults that may strike.
    pub(crate) fault_kinds: Arc<FaultKinds>,
}

impl SimConfig {
    pub(crate) fn random(rng: &SimRng, fault_kinds: FaultKinds) -> Self {
        let events = 0..rng.draw(|rng| rng.u32(1..=6));
        let clocks = if rng.one_in(3) { Clocks::Unbounded } else { Clocks::Bounded };
        // With unbounded clocks, workers shall hold leases at the same time.
        let (early_redelivery_one_in, max_poll_delay_ms, shutdown_one_in) = match clocks {
            Clocks::Bounded => (6, 5_000, 10),
            Clocks::Unbounded => (2, 500, 2),
        };
        let late = if fault_kinds.is_enabled(FaultKind::LateFailure) {
            LateFailureConfig::random(rng, clocks == Clocks::Bounded)
        } else {
            LateFailureConfig::never()
        };
        let may_last = late.retention.is_none() && fault_kinds.is_enabled(FaultKind::LastingFault);
        let lasting_fault = if may_last { LastingFault::random(rng) } else { LastingFault::None };
        Self {
            late,
            lasting_fault,
            fault_kinds: Arc::new(fault_kinds),
            fault_one_in: rng.draw(|rng| rng.u32(3..40)),
            // With a retention of hours, some messages are still open at its end.
            faults_end_after: lasting_fault.duration(rng).unwrap_or_else(|| {
                Duration::from_secs(if late.retention.is_some() {
                    rng.draw(|rng| rng.u64(3_600..14_400))
                } else {
                    rng.draw(|rng| rng.u64(60..3_600))
                })
            }),
            workers: rng.draw(|rng| rng.u32(1..=3)),
            early_redelivery_one_in,
            shutdown_one_in,
            max_poll_delay_ms,
            clocks,
            queue_kind: if rng.one_in(5) { QueueKind::Fifo } else { QueueKind::Standard },
            // Without an archive, a message at the end of retention is lost: there is a metric for it.
            has_archive: !rng.one_in(6)
                || late.retention.is_some()
                || lasting_fault != LastingFault::None,
            retry_state_mode: match rng.draw(|rng| rng.u8(0..10)) {
                0 => RetryStateMode::Off,
                1 | 2 => RetryStateMode::BestEffort,
                _ => RetryStateMode::Required,
            },
            genesys_quota: rng.draw(|rng| rng.u32(10..100)),
            sends_operator_replays: rng.one_in(3),
            late_duplicates: match rng.draw(|rng| rng.u8(0..8)) {
                0 => LateDuplicates::WithinRetention,
                1 => LateDuplicates::AfterExpiry,
                _ => LateDuplicates::None,
            },
            events: events.map(|number| SimEvent::random(rng, number)).collect(),
        }
    }

    /// Returns the setting `MAX_RECEIVES`.
    pub(crate) const fn max_receives(&self) -> u32 {
        match self.lasting_fault {
            LastingFault::None => 10,
            LastingFault::Outage | LastingFault::WrongUrl | LastingFault::AccessDenied => 200,
        }
    }

    /// Returns whether the access to this interaction is denied until the faults end.
    pub(crate) fn is_denied(&self, conversation: &str) -> bool {
        let allowed = self.events.last().map(|event| event.conversation());
        self.lasting_fault == LastingFault::AccessDenied
            && allowed.is_none_or(|it| it != conversation)
    }

    /// Returns the skew of a worker's clock.
    pub(crate) fn skew(&self, rng: &SimRng) -> Duration {
        match self.clocks {
            // Less than the margin of a lease.
            Clocks::Bounded => rng.millis(4_000),
            Clocks::Unbounded => rng.millis(600_000),
        }
    }
}

impl SimEvent {
    fn random(rng: &SimRng, number: u32) -> Self {
        let kind = match rng.draw(|rng| rng.u8(0..16)) {
            0 => Kind::Audit,
            1 => Kind::Malformed,
            2 => Kind::Echo,
            3 => Kind::WithoutId,
            4 => Kind::Text,
            _ => Kind::Event,
        };
        let group = rng.draw(|rng| rng.u32(0..2));
        Self { number, kind, group }
    }
}
