//! Targets that accept a delivery and fail later, and their failure records.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_fakes::Draft;
use genesys_replay::clock::Timestamp;
use tokio::time::Instant;

use crate::events::{Kind, SimEvent};
use crate::faults::SimRng;

/// The way in which a target reports a failure after the acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureReport {
    /// The target never fails later.
    Never,
    /// A function's on-failure destination.
    OnFailure,
    /// The dead-letter queue of a function.
    OwnQueue,
    /// SQS moves the message from the target queue.
    Redrive,
}

/// The late failures of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LateFailureConfig {
    pub(crate) report: FailureReport,
    /// Some events fail at every delivery: the first one, and every one without an id.
    pub(crate) always_fail: bool,
    /// The target returns a delivery id.
    pub(crate) returns_ids: bool,
    /// The target drops a second delivery with the same name.
    pub(crate) deduplicates: bool,
    /// The retention of the queue. `None`: unlimited.
    pub(crate) retention: Option<Duration>,
}

impl LateFailureConfig {
    /// Returns the configuration of a run without late failures.
    pub(crate) const fn never() -> Self {
        Self {
            report: FailureReport::Never,
            always_fail: false,
            returns_ids: true,
            deduplicates: false,
            retention: None,
        }
    }

    /// Returns a random configuration. `near`: the clock skew is less than the tolerance of time comparisons.
    pub(crate) fn random(rng: &SimRng, near: bool) -> Self {
        let report = match rng.draw(|rng| rng.u8(0..9)) {
            0 => FailureReport::OnFailure,
            1 => FailureReport::OwnQueue,
            2 => FailureReport::Redrive,
            _ => FailureReport::Never,
        };
        let is_late = report != FailureReport::Never;
        let short = is_late && rng.one_in(2);
        let returns_ids = !near || report == FailureReport::Redrive || !rng.one_in(3);
        Self {
            report,
            always_fail: is_late && rng.one_in(2),
            returns_ids,
            // A service that drops a second delivery returns the id of the first, because times alone do not identify
            // the failed delivery.
            deduplicates: is_late && near && returns_ids && rng.one_in(3),
            retention: short.then(|| Duration::from_secs(rng.draw(|rng| rng.u64(8_000..18_000)))),
        }
    }

    /// Returns the setting `MAX_ROUNDS`. With a retention of hours, the end of retention comes first.
    pub(crate) const fn max_rounds(&self) -> u32 {
        if self.retention.is_some() { 6 } else { 3 }
    }

    /// Returns whether every delivery of an event fails.
    fn always_fails(&self, event: SimEvent) -> bool {
        // Without an event id and a delivery id, every round would be another event. Services of AWS return ids.
        let is_known = event.kind != Kind::WithoutId || self.returns_ids;
        self.always_fail && is_known && (event.number == 0 || event.kind == Kind::WithoutId)
    }
}

/// A pending failure record.
#[derive(Clone, Debug)]
pub(crate) struct FailureRecord {
    pub(crate) event: SimEvent,
    pub(crate) key: String,
    /// The message id, if SQS redrives the message itself.
    pub(crate) message_id: Option<String>,
    pub(crate) draft: Draft,
    due: Instant,
}

/// The deliveries that fail later.
#[derive(Default)]
pub(crate) struct LateFailures {
    pending: Mutex<Vec<FailureRecord>>,
    /// The number of late failures by payload.
    failed: Mutex<BTreeMap<String, u32>>,
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LateFailures {
    /// Decides at random whether an accepted delivery fails later, and returns the decision.
    pub(crate) fn accepted(
        &self,
        late: &LateFailureConfig,
        rng: &SimRng,
        faults_have_ended: bool,
        delivery: (SimEvent, &str, &str),
        (group, now): (Option<String>, Timestamp),
    ) -> bool {
        let (event, key, id) = delivery;
        let fails = late.always_fails(event) || (!faults_have_ended && rng.one_in(3));
        if late.report == FailureReport::Never || !fails {
            return false;
        }
        // Some right after the acceptance, some long after it.
        let after = if rng.one_in(3) { Duration::from_millis(10) } else { rng.millis(600_000) };
        let draft = draft(late.report, event, id, now.plus(after));
        lock(&self.pending).push(FailureRecord {
            event,
            key: key.to_owned(),
            message_id: (late.report == FailureReport::Redrive).then(|| id.to_owned()),
            draft: Draft { group, ..draft },
            due: Instant::now() + after,
        });
        true
    }

    pub(crate) fn is_any_pending(&self) -> bool {
        !lock(&self.pending).is_empty()
    }

    /// Returns the failure records that are due.
    pub(crate) fn take_due(&self) -> Vec<FailureRecord> {
        let now = Instant::now();
        let mut guard = lock(&self.pending);
        let (due, later): (Vec<_>, Vec<_>) = guard.drain(..).partition(|it| it.due <= now);
        *guard = later;
        for record in &due {
            *lock(&self.failed).entry(record.event.body()).or_default() += 1;
        }
        due
    }

    /// Returns the number of reported late failures of a payload.
    pub(crate) fn failed(&self, payload: &str) -> u32 {
        lock(&self.failed).get(payload).copied().unwrap_or(0)
    }
}

fn draft(report: FailureReport, event: SimEvent, id: &str, at: Timestamp) -> Draft {
    let body = event.body();
    let attributes = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    match report {
        FailureReport::Never | FailureReport::OnFailure => Draft {
            body: format!(
                r#"{{"version":"1.0","timestamp":"{at}","requestContext":{{"requestId":"{id}","functionArn":"{FUNCTION}:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":1}},"requestPayload":{body}}}"#
            ),
            ..Draft::default()
        },
        FailureReport::OwnQueue => Draft {
            body,
            attributes: attributes(&[("RequestID", id), ("ErrorMessage", "it broke")]),
            group: None,
        },
        FailureReport::Redrive => Draft {
            body,
            attributes: attributes(&[("DeadLetterQueueSourceArn", QUEUE)]),
            group: None,
        },
    }
}

/// The targets with late failures.
pub(crate) const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";
pub(crate) const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:crm";
