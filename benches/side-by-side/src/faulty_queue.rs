//! A queue with faulty events and upstreams, received again until it is empty or all messages are parked.

use std::time::Duration;

use anyhow::Context;
use genesys_stand_in::Fault;

use crate::candidate::Candidate;
use crate::events::{Event, Message};
use crate::measure::Bench;
use crate::outcomes::{EventOutcomes, outcomes, returned_messages};
use crate::upstreams::{Latency, RecordedCalls};

/// The receive count after which SQS parks a message.
const RECEIVES: u32 = 5;

/// The description of the queue in the report.
pub(crate) const DESCRIPTION: &str = "\
ten ordinary events · one that EventBridge sent twice, as two messages of one batch · one that was redriven, as a second message \
after the first was finished · two whose target answers 503 the first time · two where Genesys Cloud answers 500 to the first mark · \
one audit, which belongs to no conversation · one that the target refuses for good (400) · one that is no JSON; \
each message is received up to five times";

/// The correct outcomes: seventeen events can be delivered, two cannot and must stay in the queue.
pub(crate) const EXPECTED: EventOutcomes =
    EventOutcomes { delivered: 17, doubled: 0, lost: 0, wrongly_failed: 0, kept: 2 };

/// Runs a candidate on the queue until it is empty or all messages are parked.
///
/// # Errors
/// The process does not start, or it ends.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    candidate: &Candidate,
) -> anyhow::Result<EventOutcomes> {
    let instant = Latency { upstream: Duration::ZERO, table: Duration::ZERO };
    bench.upstreams.set_latency(instant);
    let mut messages = bench.source.batch(10);
    let mut put = |event: Event, bench: &mut Bench<'_>| {
        messages.push(bench.source.message(event.clone()));
        event
    };
    let twice = bench.source.conversation_event();
    put(twice.clone(), bench);
    put(twice, bench);
    let redriven = bench.source.conversation_event();
    let redriven = put(redriven, bench);
    let genesys = &bench.upstreams.genesys;
    let fail = |event: &Event, status| {
        genesys.fault(Fault::on("POST", "/targets/").body_contains(&event.id).status(status));
    };
    for _ in 0..2 {
        let event = bench.source.conversation_event();
        let event = put(event, bench);
        genesys.fault(Fault::on("POST", "/targets/").body_contains(&event.id).status(503).times(1));
        let event = bench.source.conversation_event();
        let event = put(event, bench);
        let conversation = event.conversation.unwrap_or_default();
        genesys.fault(Fault::on("PATCH", &conversation).status(500).times(1));
    }
    let audit = bench.source.audit_event();
    put(audit, bench);
    let refused = bench.source.conversation_event();
    fail(&put(refused, bench), 400);
    let broken = bench.source.broken_input();
    put(broken, bench);

    let mut process = bench.start(candidate, 10).await?;
    let mut seen = RecordedCalls::default();
    let mut waiting = messages.clone();
    let mut parked: Vec<Message> = Vec::new();
    let again = bench.source.message(redriven);
    messages.push(again.clone());
    let mut redriven = Some(again);
    while !waiting.is_empty() {
        let batch: Vec<Message> = waiting.drain(..waiting.len().min(20)).collect();
        let payload = candidate.payload(&batch, bench.upstreams);
        let answered = process.invoke(payload).await.with_context(|| bench.hint(candidate))?;
        seen.extend(bench.upstreams.take_seen());
        for message in returned_messages(&batch, &answered.answer) {
            let message = Message { receives: message.receives + 1, ..message.clone() };
            if message.receives > RECEIVES {
                parked.push(message);
            } else {
                waiting.push(message);
            }
        }
        waiting.extend(redriven.take());
    }
    process.stop().await?;
    bench.upstreams.genesys.clear_faults();
    bench.upstreams.table.clear();
    Ok(outcomes(&messages, &parked.iter().collect::<Vec<_>>(), &seen))
}
