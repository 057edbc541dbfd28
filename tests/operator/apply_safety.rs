//! The use case of `apply` in paused time: its rate, and unsent dead letters.

pub(crate) mod parts;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use genesys_fakes::MemorySender;
use genesys_replay::aws::AwsErrorKind;
use genesys_replay::message::{Message, MessageId};
use genesys_replay_cli::operator::apply::{
    ApplyError, AuditEntry, AuditEvent, History, ItemState, Options, QueueSender, SendResult,
    Sender, StopReason,
};
use genesys_test_support::TestResult;

use self::parts::{
    Anything, Delivered, Doubts, Full, Lines, OPTIONS, history, plan, run, run_from, sends,
};
use super::diagnose::lazy_queue::LazyQueue;

#[tokio::test(start_paused = true)]
async fn apply_rate_limits_messages_per_second() -> TestResult {
    for (rate, canary) in [(0.5, 1), (4.0, 30), (25.0, 100)] {
        let ledger = Delivered::default();
        let sender = sends(&ledger, usize::MAX);
        let at = Arc::clone(&sender.at);
        let options = Options { rate, canary, ..OPTIONS };
        let mut journal = Lines::default();
        let history = History::default();
        run(&plan(100), options, sender, &ledger, &mut journal, history).await?;
        let at = at.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(at.iter().map(|(_, count)| count).sum::<usize>(), 100);
        // Also over waves: the next call waits for the delay of all dead letters since a call.
        for (first, (begun, _)) in at.iter().enumerate() {
            let mut sent = 0;
            for (now, count) in &at[first..] {
                let allowed = Duration::from_secs_f64(f64::from(sent) / rate);
                assert!(
                    now.saturating_sub(*begun) >= allowed,
                    "{rate}: {sent} from {begun:?} to {now:?}"
                );
                sent += u32::try_from(*count)?;
            }
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn apply_resumes_from_the_audit_after_expired_credentials() -> TestResult {
    let plan = plan(30);
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let ended =
        run(&plan, OPTIONS, sends(&ledger, 4), &ledger, &mut journal, History::default()).await;
    assert!(
        matches!(&ended, Err(ApplyError::Aws(error)) if error.kind == AwsErrorKind::Credentials),
        "{ended:?}"
    );
    let history = history(&journal)?;
    let before = ledger.0.lock().unwrap_or_else(PoisonError::into_inner).len();
    let sender = sends(&ledger, usize::MAX);
    let at = Arc::clone(&sender.at);
    let summary = run(&plan, OPTIONS, sender, &ledger, &mut journal, history).await?;
    assert_eq!(summary.stop_reason, StopReason::Done);
    let resent: usize =
        at.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, count)| count).sum();
    assert_eq!(before + resent, 30, "no dead letter is sent twice");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn apply_resume_removes_sent_messages_from_the_parking_queue() -> TestResult {
    let plan = plan(3);
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let none = History::default();
    run(&plan, OPTIONS, sends(&ledger, 9), &ledger, &mut journal, none).await?;
    // As after a kill when the last message was sent.
    let is_last = |entry: &AuditEntry| match &entry.event {
        AuditEvent::LeftQueue { key, .. }
        | AuditEvent::LeftParking { key, .. }
        | AuditEvent::Outcome { key, .. } => key.starts_with("e-2|"),
        AuditEvent::Begun { .. }
        | AuditEvent::Wave { .. }
        | AuditEvent::Sending { .. }
        | AuditEvent::Sent { .. }
        | AuditEvent::NotSent { .. }
        | AuditEvent::Doubtful { .. }
        | AuditEvent::StepBegun { .. }
        | AuditEvent::StepDone { .. }
        | AuditEvent::Closed { .. }
        | AuditEvent::NotClosed { .. }
        | AuditEvent::Ended { .. }
        | AuditEvent::Part(_)
        | AuditEvent::TakenOver { .. }
        | AuditEvent::Aborted { .. }
        | AuditEvent::Superseded { .. } => false,
    };
    journal.0.retain(|entry| !is_last(entry));
    let source = Anything::default();
    let earlier = history(&journal)?;
    let sender = sends(&ledger, 0);
    let run = run_from(source.clone(), &plan, OPTIONS, sender, &ledger, &mut journal, earlier);
    let summary = run.await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(summary.outcomes.get(&delivered), Some(&3), "{summary:?}");
    let left = source.left.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*left, ["e-2", "all messages are released"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn apply_sends_nothing_when_the_audit_cannot_be_written() -> TestResult {
    // The lines before the first call: begun, wave, sending.
    for lines in 0..3 {
        let ledger = Delivered::default();
        let sender = sends(&ledger, usize::MAX);
        let ended =
            run(&plan(3), OPTIONS, sender, &ledger, &mut Full(lines), History::default()).await;
        assert!(matches!(ended, Err(ApplyError::Journal(_))), "{ended:?}");
        assert!(ledger.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty(), "{lines}");
    }
    Ok(())
}

#[tokio::test]
async fn queue_sender_names_refused_entries_and_sends_the_others() -> TestResult {
    let sender = MemorySender::default();
    let (queue, name) = (LazyQueue::empty(), "q".to_owned());
    let queue = QueueSender { sender: sender.clone(), queue, name };
    let message =
        |id: &str, body: &str| MessageId::new(id).map(|id| Message::new(id, body.to_owned()));
    let mut burdened = message("m-4", "{}").ok_or("no id")?;
    burdened.attributes = (0..11).map(|number| (format!("a{number}"), "v".to_owned())).collect();
    let long = "x".repeat(1024 * 1024 + 1);
    let messages =
        [message("m-1", "{}"), message("m-2", "\u{1}"), message("m-3", &long), Some(burdened)];
    let messages: Vec<Message> = messages.into_iter().flatten().collect();
    let sendings = queue.send(&messages).await?;
    assert!(matches!(sendings[0], SendResult::Sent(_)), "{:?}", sendings[0]);
    for (sending, says) in
        sendings[1..].iter().zip(["no such body", "1048577 bytes", "11 message attributes"])
    {
        assert!(
            matches!(sending, SendResult::NotSent(reason) | SendResult::Doubtful(reason) if reason.contains(says)),
            "{says}: {sending:?}"
        );
    }
    assert_eq!(sender.messages().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wave_failure_rate_counts_only_its_own_dead_letters() -> TestResult {
    // One of each four is deferred: less than half.
    let ledger = Delivered(Arc::default(), &["e-1|none", "e-5|none", "e-9|none"], &[]);
    let options = Options { canary: 4, ramp: 1.0, ..OPTIONS };
    let mut journal = Lines::default();
    let none = History::default();
    let sender = sends(&ledger, usize::MAX);
    let summary = run(&plan(12), options, sender, &ledger, &mut journal, none).await?;
    let stuck = StopReason::Stuck { waiting: 0, deferred: 3 };
    assert_eq!((summary.stop_reason, summary.left), (stuck, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn resume_ignores_earlier_failures_in_its_failure_rate() -> TestResult {
    let ledger = Delivered(Arc::default(), &["e-0|none"], &[]);
    let mut journal = Lines::default();
    let none = History::default();
    let sender = sends(&ledger, usize::MAX);
    let stopped = run(&plan(4), OPTIONS, sender, &ledger, &mut journal, none).await?;
    assert_eq!(stopped.stop_reason, StopReason::TooManyFailures { failed: 1, of: 1 });
    let earlier = history(&journal)?;
    let sender = sends(&ledger, usize::MAX);
    let resumed = run(&plan(4), OPTIONS, sender, &ledger, &mut journal, earlier).await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(resumed.outcomes.get(&delivered), Some(&3), "{resumed:?}");
    assert_eq!(resumed.open, ["e-0|none"], "the event is still open");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn resume_sends_doubtful_messages_again() -> TestResult {
    let ledger = Delivered::default();
    let mut journal = Lines::default();
    let (plan, none) = (plan(2), History::default());
    let doubted = run(&plan, OPTIONS, Doubts, &ledger, &mut journal, none).await?;
    assert_eq!((doubted.doubtful.len(), doubted.left), (1, 1), "{doubted:?}");
    let earlier = history(&journal)?;
    assert_eq!(earlier.states.get("e-0|none"), Some(&ItemState::Doubtful));
    let sender = sends(&ledger, usize::MAX);
    let resumed = run(&plan, OPTIONS, sender, &ledger, &mut journal, earlier).await?;
    let delivered = ("delivered".to_owned(), String::new());
    assert_eq!(resumed.outcomes.get(&delivered), Some(&2), "{resumed:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn apply_counts_events_that_an_operator_discards_meanwhile() -> TestResult {
    let ledger = Delivered(Arc::default(), &[], &["e-1|none"]);
    let mut journal = Lines::default();
    let (sender, none) = (sends(&ledger, usize::MAX), History::default());
    let summary = run(&plan(3), OPTIONS, sender, &ledger, &mut journal, none).await?;
    let count = |outcome: &str| summary.outcomes.get(&(outcome.to_owned(), String::new()));
    assert_eq!((count("delivered"), count("discarded")), (Some(&2), Some(&1)), "{summary:?}");
    assert_eq!(summary.stop_reason, StopReason::Done);
    assert!(summary.is_well() && summary.failures.is_empty(), "{summary:?}");
    let settled = ItemState::Settled { outcome: "discarded".to_owned(), failure_code: None };
    assert_eq!(history(&journal)?.states.get("e-1|none"), Some(&settled));
    Ok(())
}
