//! Several environments share one rate limit of Genesys Cloud: the real adapters, the stand-in, and the local SQS.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use genesys_replay::clock::{Clock, SystemClock};
use genesys_replay::message::{Message, MessageId};
use genesys_replay::replay::Invocation;
use genesys_replay_lambda::app::ReplayFunction;
use genesys_stand_in::StandIn;
use genesys_test_support::{ReplayHarness, TestResult, conversation_event};
use tokio::time::{Instant, sleep};

/// The number of execution environments.
const ENVIRONMENTS: usize = 5;

/// The time limit of an invocation.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The receives of each message, by its id.
type Receives = RefCell<BTreeMap<String, u32>>;

/// Returns the number of events: by default a backlog of five minutes.
fn events() -> Result<usize, std::num::ParseIntError> {
    std::env::var("EVENTS").map_or(Ok(500), |text| text.parse())
}

async fn fill(harness: &ReplayHarness, queue_arn: &str, events: usize) -> TestResult {
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    let url = harness.aws.queue_url(queue_arn).await?;
    for number in 0..events {
        let body = conversation_event(&format!("e-{number}"), &format!("c-{number}"));
        sqs.send_message().queue_url(&url).message_body(body).send().await?;
    }
    Ok(())
}

/// Receives and handles batches until the target has every event.
async fn environment(
    (number, function): (usize, &ReplayFunction),
    harness: &ReplayHarness,
    queue_arn: &str,
    events: usize,
    receives: &Receives,
) -> TestResult {
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    let url = harness.aws.queue_url(queue_arn).await?;
    let mut batches = 0;
    while harness.deliveries() < events {
        batches += 1;
        let batch = harness.aws.receive(queue_arn, 360).await?;
        let mut messages = Vec::new();
        for it in &batch {
            let id = it.message_id.as_deref().unwrap_or_default();
            *receives.borrow_mut().entry(id.to_owned()).or_default() += 1;
            let body = it.body.clone().unwrap_or_default();
            let mut message = Message::new(MessageId::new(id).ok_or("no id")?, body);
            message.receipt_handle.clone_from(&it.receipt_handle);
            message.queue_arn = Some(queue_arn.to_owned());
            message.receive_count = receives.borrow().get(id).copied().unwrap_or(1);
            messages.push(message);
        }
        if messages.is_empty() {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let invocation = Invocation {
            request_id: format!("{number}-{batches}"),
            function_arn: String::new(),
            deadline: SystemClock.now().plus(FUNCTION_TIMEOUT),
        };
        let handled = function.batch(&messages, &invocation).await;
        for (message, handled) in messages.iter().zip(&handled) {
            if !handled.result.outcome.returns_to_queue() {
                let handle = message.receipt_handle.clone().unwrap_or_default();
                sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "it takes as long as the rate limit requires: make rate-budget"]
#[expect(clippy::print_stdout, reason = "the figures, for --nocapture")]
async fn rate_limit_is_shared_by_five_environments() -> TestResult {
    let events = events()?;
    let genesys = StandIn::builder().rate_limit(300).one_token(true);
    let mut harness = ReplayHarness::with_genesys(genesys).await?;
    harness.set("BACKOFF_BASE_SECONDS", "2");
    let queue = harness.aws.create_queue(false).await?;
    fill(&harness, &queue, events).await?;
    let functions = (0..ENVIRONMENTS).map(|_| harness.function());
    let functions = functions.collect::<Result<Vec<_>, _>>()?;
    let receives = Receives::default();
    let begun = Instant::now();
    let drains =
        functions.iter().enumerate().map(|it| environment(it, &harness, &queue, events, &receives));
    try_join_all(drains).await?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;

    let mut calls = harness.genesys.calls();
    calls.retain(|call| call.path.starts_with("/api/v2/"));
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let mut receives: Vec<u32> = receives.into_inner().into_values().collect();
    receives.sort_unstable();
    let percentile = |percent: usize| {
        let index = (receives.len() * percent).div_ceil(100).saturating_sub(1);
        receives.get(index).copied().unwrap_or_default()
    };
    println!(
        "{events} events, {ENVIRONMENTS} environments, {minutes:.1} min: {} calls, {refused} refused, \
         receives p50 {}, p95 {}, max {}",
        calls.len(),
        percentile(50),
        percentile(95),
        percentile(100),
    );
    assert_eq!(harness.deliveries(), events, "each event is delivered once");
    assert!(refused * 20 <= calls.len(), "{refused} of {} calls refused", calls.len());
    assert!(percentile(95) <= 3, "{} receives", percentile(95));
    Ok(())
}
