//! The kinds of faults. Each seed draws the kinds that may strike, so that rare combinations occur alone, too.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::faults::SimRng;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum FaultKind {
            $($(#[$doc])* $kind,)+
        }

        impl FaultKind {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)+];
        }
    };
}

kinds! {
    /// A call to the ledger fails without an effect.
    LedgerFails,
    /// A call to the ledger acts, and its answer is lost.
    LedgerAnswerLost,
    ArchiveFails,
    ArchiveAnswerLost,
    /// A call to the queue fails without an effect.
    QueueFails,
    QueueAnswerLost,
    GenesysFails,
    GenesysAnswerLost,
    TargetFails,
    TargetAnswerLost,
    /// The target does not answer before the client's timeout.
    TargetHangs,
    /// The target, its address or the access to interactions fails for hours.
    LastingFault,
    /// The target fails after it has accepted a delivery.
    LateFailure,
    /// An invocation is killed at an await point.
    Kill,
    Shutdown,
    /// A visibility timeout ends while its worker runs.
    EarlyRedelivery,
    /// Lambda does not receive the answer of a batch.
    AnswerLost,
}

/// The number of kinds.
pub(crate) const KINDS: usize = FaultKind::ALL.len();

/// The kinds that may strike in one run, and how often each has struck.
pub(crate) struct FaultKinds {
    enabled: [bool; KINDS],
    struck: [AtomicU64; KINDS],
}

impl FaultKinds {
    pub(crate) fn all() -> Self {
        Self::of([true; KINDS])
    }

    /// Draws the kinds of a run. One run in three has all of them, on average.
    pub(crate) fn random(rng: &SimRng) -> Self {
        let all = rng.one_in(3);
        Self::of(std::array::from_fn(|_| all || !rng.one_in(3)))
    }

    fn of(enabled: [bool; KINDS]) -> Self {
        Self { enabled, struck: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub(crate) fn is_enabled(&self, kind: FaultKind) -> bool {
        self.enabled[kind as usize]
    }

    pub(crate) fn count(&self, kind: FaultKind) {
        self.struck[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often each kind has struck, in the order of [`FaultKind::ALL`].
    pub(crate) fn struck(&self) -> [u64; KINDS] {
        std::array::from_fn(|kind| self.struck[kind].load(Ordering::Relaxed))
    }
}

impl fmt::Debug for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = FaultKind::ALL.iter().filter(|kind| self.is_enabled(**kind));
        f.debug_list().entries(enabled).finish()
    }
}
