//! The cost of a million dead letters.

use std::time::Duration;

use anyhow::Context;
use genesys_stand_in::Fault;
use tokio::time::{Instant, sleep_until};

use crate::candidate::Candidate;
use crate::cpu_share::CpuShare;
use crate::events::Message;
use crate::function::Function;
use crate::measure::Bench;
use crate::outcomes::{EventOutcomes, outcomes, returned_messages};
use crate::upstreams::{Latency, RecordedCalls};

/// US dollars per GB-second on arm64 and per request, first tier in us-east-1.
const GB_SECOND: f64 = 0.000_013_333_4;
const REQUEST: f64 = 0.000_000_20;
/// The template's `MemorySize`.
pub(crate) const MEGABYTES: f64 = 256.0;

/// The estimated cost of invocations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CostEstimate {
    /// The billed duration, each invocation rounded up to milliseconds.
    pub(crate) billed: Duration,
    pub(crate) invocations: u32,
    /// The handled dead letters.
    pub(crate) dead_letters: u32,
}

impl CostEstimate {
    /// Adds an invocation.
    pub(crate) fn add(&mut self, took: Duration) {
        let millis = took.as_nanos().div_ceil(1_000_000);
        self.billed += Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        self.invocations += 1;
    }

    /// Returns US dollars per million dead letters.
    pub(crate) fn dollars_per_million(&self) -> f64 {
        let dollars = self.billed.as_secs_f64() * MEGABYTES / 1_024.0 * GB_SECOND
            + f64::from(self.invocations) * REQUEST;
        dollars / f64::from(self.dead_letters.max(1)) * 1e6
    }
}

/// Records in a batch. One of them is rate-limited in a limited batch.
const RECORDS: usize = 10;
/// Batches before the billed ones, because the first batches are slower.
const WARM_UP: u32 = 30;
/// Batches without a fault.
const PLAIN_BATCHES: u32 = 30;
/// Batches with a rate-limited event.
const LIMITED_BATCHES: u32 = 2;
/// The retry-after of Genesys Cloud, and the duration of its rate limit.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The cost of a candidate's batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Without a fault.
    pub(crate) plain: CostEstimate,
    /// With one event in ten rate-limited.
    pub(crate) limited: CostEstimate,
    /// The outcomes of the events in the limited batches.
    pub(crate) outcomes: EventOutcomes,
}

/// Runs batches without a fault, then batches in which the marks of one event in ten get a 429 in the first 30 s.
///
/// A returned message is received again after its visibility timeout: the one that the function set, else 30 s.
///
/// # Errors
/// The process does not start, or it ends.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    candidate: &Candidate,
    latency: Latency,
    share: Option<&CpuShare>,
) -> anyhow::Result<Costs> {
    bench.upstreams.set_latency(latency);
    let mut process = bench.start(candidate, RECORDS).await?;
    let mut plain = CostEstimate::default();
    for number in 0..WARM_UP + PLAIN_BATCHES {
        let messages = bench.source.batch(RECORDS);
        let payload = candidate.payload(&messages, bench.upstreams);
        let answered = process.invoke(payload).await.with_context(|| bench.hint(candidate))?;
        bench.upstreams.take_seen();
        bench.upstreams.table.clear();
        if number == 0
            && let Some(share) = share
        {
            // Lambda gives a starting function a whole processor.
            share.take_in(process.pid())?;
        }
        if number >= WARM_UP {
            plain.add(answered.took());
            plain.dead_letters += u32::try_from(messages.len())?;
        }
    }
    let (limited, outcomes) = rate_limited(bench, candidate, &mut process).await?;
    process.stop().await?;
    Ok(Costs { plain, limited, outcomes })
}

async fn rate_limited(
    bench: &mut Bench<'_>,
    candidate: &Candidate,
    process: &mut Function,
) -> anyhow::Result<(CostEstimate, EventOutcomes)> {
    let mut estimate = CostEstimate::default();
    let mut total = EventOutcomes::default();
    for _ in 0..LIMITED_BATCHES {
        let messages = bench.source.batch(RECORDS);
        estimate.dead_letters += u32::try_from(messages.len())?;
        let mut seen = RecordedCalls::default();
        let limited = messages.first().and_then(|message| message.event.conversation.as_deref());
        let rule = Fault::on("PATCH", limited.unwrap_or_default())
            .status(429)
            .header("Retry-After", &RETRY_AFTER.as_secs().to_string());
        bench.upstreams.genesys.fault(rule);
        let lifted = Instant::now() + RETRY_AFTER;
        let mut waiting = messages.clone();
        while !waiting.is_empty() {
            let payload = candidate.payload(&waiting, bench.upstreams);
            let mut invocation = std::pin::pin!(process.invoke(payload));
            let answered = loop {
                tokio::select! {
                    biased;
                    answered = &mut invocation => break answered,
                    () = sleep_until(lifted), if Instant::now() < lifted => bench.upstreams.genesys.clear_faults(),
                }
            };
            let answered = answered.with_context(|| bench.hint(candidate))?;
            estimate.add(answered.took());
            seen.extend(bench.upstreams.take_seen());
            let back: Vec<Message> =
                returned_messages(&waiting, &answered.answer).into_iter().cloned().collect();
            let away = back
                .iter()
                .map(|message| seen.visibility_timeout(message).unwrap_or(RETRY_AFTER))
                .max();
            if let Some(away) = away {
                sleep_until(Instant::now() + away).await;
                bench.upstreams.genesys.clear_faults();
            }
            waiting = back
                .into_iter()
                .map(|message| Message { receives: message.receives + 1, ..message })
                .collect();
        }
        bench.upstreams.genesys.clear_faults();
        bench.upstreams.table.clear();
        total.add(outcomes(&messages, &[], &seen));
    }
    Ok((estimate, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_millisecond_is_billed_whole() {
        let mut estimate = CostEstimate::default();
        estimate.add(Duration::from_micros(100_001));
        estimate.add(Duration::from_millis(3));
        assert_eq!((estimate.billed, estimate.invocations), (Duration::from_millis(104), 2));
    }

    #[test]
    fn cost_of_a_million_dead_letters_is_requests_and_gb_seconds() {
        let mut estimate = CostEstimate { dead_letters: 10, ..CostEstimate::default() };
        estimate.add(Duration::from_secs(1));
        // 100,000 invocations: 25,000 GB-seconds and 2 cents for the requests.
        let expected = 25_000.0 * GB_SECOND + 0.02;
        assert!((estimate.dollars_per_million() - expected).abs() < 1e-9);
    }
}
