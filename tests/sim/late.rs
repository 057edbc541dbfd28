//! Targets that accept a delivery and fail later, and the failure records that say so.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_fakes::Draft;
use genesys_replay::clock::Timestamp;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::letters::{Kind, Letter};

/// How a target reports that it failed after it had accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// It never fails later.
    Never,
    /// A function's on-failure destination.
    OnFailure,
    /// A function's own dead-letter queue.
    OwnQueue,
    /// SQS moves the message from the target queue.
    Redrive,
}

/// The late failures of one story.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub(crate) reports: Reports,
    /// Whether deliveries of some events fail always: of the first one, and of every one without an id.
    pub(crate) doomed: bool,
    /// Whether the target says under which id it accepted.
    pub(crate) gives_ids: bool,
    /// Whether the target drops a second delivery of the same name.
    pub(crate) deduplicates: bool,
    /// How long the queue keeps a message, if not for ever.
    pub(crate) retention: Option<Duration>,
}

impl Late {
    /// `near`: clocks differ by less than the tolerance with which times are compared.
    pub(crate) fn drawn(chance: &Chance, near: bool) -> Self {
        let reports = match chance.draw(|rng| rng.u8(0..9)) {
            0 => Reports::OnFailure,
            1 => Reports::OwnQueue,
            2 => Reports::Redrive,
            _ => Reports::Never,
        };
        let is_late = reports != Reports::Never;
        let short = is_late && chance.happens(2);
        let gives_ids = !near || reports == Reports::Redrive || !chance.happens(3);
        Self {
            reports,
            doomed: is_late && chance.happens(2),
            gives_ids,
            // A service that drops a second delivery gives the id of the first: by times alone it would not be known
            // whose failure a record is about.
            deduplicates: is_late && near && gives_ids && chance.happens(3),
            retention: short
                .then(|| Duration::from_secs(chance.draw(|rng| rng.u64(8_000..18_000)))),
        }
    }

    /// The rounds that an event has. Where messages are kept for hours only, the end of retention is first.
    pub(crate) const fn max_rounds(&self) -> u32 {
        if self.retention.is_some() { 6 } else { 3 }
    }

    /// Whether every delivery of a letter fails.
    fn dooms(&self, letter: Letter) -> bool {
        // Without an id of its own and of its delivery, an event is another one each time: services of AWS give ids.
        let is_known = letter.kind != Kind::Nameless || self.gives_ids;
        self.doomed && is_known && (letter.number == 0 || letter.kind == Kind::Nameless)
    }
}

/// A failure record that is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) letter: Letter,
    pub(crate) key: String,
    /// The message's id, where SQS moves the message itself.
    pub(crate) message_id: Option<String>,
    pub(crate) draft: Draft,
    due: Instant,
}

/// The deliveries that failed later.
#[derive(Default)]
pub(crate) struct LateFailures {
    on_their_way: Mutex<Vec<Record>>,
    /// How often deliveries failed, by payload.
    failed: Mutex<BTreeMap<String, u32>>,
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LateFailures {
    /// Decides whether a delivery that was just accepted fails later.
    pub(crate) fn accepted(
        &self,
        late: &Late,
        chance: &Chance,
        has_healed: bool,
        delivery: (Letter, &str, &str),
        (group, now): (Option<String>, Timestamp),
    ) {
        let (letter, key, id) = delivery;
        let fails = late.dooms(letter) || (!has_healed && chance.happens(3));
        if late.reports == Reports::Never || !fails {
            return;
        }
        // Some in the moment of acceptance, some long after it.
        let after = if chance.happens(3) {
            Duration::from_millis(10)
        } else {
            chance.millis(600_000)
        };
        let draft = draft(late.reports, letter, id, now.plus(after));
        lock(&self.on_their_way).push(Record {
            letter,
            key: key.to_owned(),
            message_id: (late.reports == Reports::Redrive).then(|| id.to_owned()),
            draft: Draft { group, ..draft },
            due: Instant::now() + after,
        });
    }

    pub(crate) fn are_on_their_way(&self) -> bool {
        !lock(&self.on_their_way).is_empty()
    }

    /// The records that arrive now.
    pub(crate) fn arrive(&self) -> Vec<Record> {
        let now = Instant::now();
        let mut waiting = lock(&self.on_their_way);
        let (due, later): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|it| it.due <= now);
        *waiting = later;
        for record in &due {
            *lock(&self.failed).entry(record.letter.body()).or_default() += 1;
        }
        due
    }

    /// How often deliveries of a payload failed later, as far as that is known.
    pub(crate) fn failed(&self, payload: &str) -> u32 {
        lock(&self.failed).get(payload).copied().unwrap_or(0)
    }
}

fn draft(reports: Reports, letter: Letter, id: &str, at: Timestamp) -> Draft {
    let body = letter.body();
    let attributes = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    match reports {
        Reports::Never | Reports::OnFailure => Draft {
            body: format!(
                r#"{{"version":"1.0","timestamp":"{at}","requestContext":{{"requestId":"{id}","functionArn":"{FUNCTION}:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":1}},"requestPayload":{body}}}"#
            ),
            ..Draft::default()
        },
        Reports::OwnQueue => Draft {
            body,
            attributes: attributes(&[("RequestID", id), ("ErrorMessage", "it broke")]),
            group: None,
        },
        Reports::Redrive => Draft {
            body,
            attributes: attributes(&[("DeadLetterQueueSourceArn", QUEUE)]),
            group: None,
        },
    }
}

/// The targets of such stories.
pub(crate) const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";
pub(crate) const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:crm";
