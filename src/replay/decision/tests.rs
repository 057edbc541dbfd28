use super::*;
use crate::dead_letter::{ParsedMessage, parse};
use crate::destination::{AllowedTargets, ReplayTarget};
use crate::failure::Receipt;
use crate::ledger::{KnownState, Status};
use crate::message::MessageId;

type TestResult = Result<(), &'static str>;

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);
const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

const RULES: Rules =
    Rules { replay_malformed: false, stale_after: None, max_rounds: 3, has_archive: true };

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn event(body: &str) -> Result<Message, &'static str> {
    let id = MessageId::new("m-1").ok_or("id")?;
    let mut message = Message::new(id, body.to_owned());
    for (name, value) in [("TARGET_ARN", FUNCTION), ("ERROR_CODE", "SDK_CLIENT_ERROR")] {
        message.attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(message)
}

fn dead_letter() -> Result<Message, &'static str> {
    event(
        r#"{"id":"e-1","detail-type":"v2.routing.queues","detail":{},"time":"2026-07-25T17:00:00Z"}"#,
    )
}

/// Predicts at [`NOW`] with [`RULES`] that `change` may change.
fn predict(
    message: &Message,
    item: Option<&ItemState>,
    change: impl FnOnce(&mut Rules),
) -> Result<Prediction, &'static str> {
    let ParsedMessage::DeadLetter(dead_letter) = parse(message) else {
        return Err("not a dead letter");
    };
    let arn = dead_letter.failure.target_arn.as_deref();
    let destination = ReplayTarget::original(AllowedTargets::Any).destination(arn, &[]);
    let facts =
        MessageFacts { message, dead_letter: &dead_letter, destination: &destination, now: NOW };
    let mut rules = RULES;
    change(&mut rules);
    Ok(rules.predict(&facts, item))
}

fn item(status: Status) -> ItemState {
    ItemState {
        known: KnownState {
            status: Some(status),
            delivered: None,
            code: None,
            accepted: Accepted {
                receipt: None,
                first_seen: Timestamp::from_millis(0),
                round: 1,
                message_id: None,
            },
        },
        lease_until: None,
        not_before: None,
    }
}

#[test]
fn prediction_follows_the_status_of_the_item() -> TestResult {
    let replay = Prediction::new(NextStep::Replay, None);
    let done = Prediction::new(NextStep::Acknowledge, None);
    let wait = Prediction::new(NextStep::Wait, None);
    let held_until = |until| ItemState { lease_until: Some(until), ..item(Status::InProgress) };
    let delivered = |status| {
        let mut item = item(status);
        item.known.delivered = Some(1);
        item
    };
    let delayed = ItemState { not_before: Some(later(60)), ..item(Status::Deferred) };
    let unreadable = Prediction::new(NextStep::Wait, Some(FailureCode::LedgerUnavailable));
    let rounds = Prediction::new(NextStep::Wait, Some(FailureCode::FailedAfterAcceptance));
    let message = dead_letter()?;
    assert_eq!(predict(&message, None, |_| {})?, replay, "without an item");
    for (item, expected) in [
        (item(Status::Deferred), replay),
        (delivered(Status::Deferred), done),
        (delayed, rounds),
        (held_until(later(1)), wait),
        (held_until(Timestamp::from_millis(0)), replay),
        (item(Status::InProgress), unreadable),
        (delivered(Status::Completed), done),
        (item(Status::Archived), done),
        (item(Status::Discarded), done),
        (item(Status::Failed), replay),
    ] {
        let predicted = predict(&message, Some(&item), |_| {})?;
        assert_eq!(predicted, expected, "{item:?}");
    }
    let without_archive = |rules: &mut Rules| rules.has_archive = false;
    let returned = Prediction::new(NextStep::Return, Some(FailureCode::Internal));
    assert_eq!(predict(&message, Some(&item(Status::Failed)), without_archive)?, returned);
    let mut unknown = item(Status::Deferred);
    unknown.known.status = None;
    assert_eq!(predict(&message, Some(&unknown), |_| {})?, unreadable);
    Ok(())
}

#[test]
fn prediction_of_an_operator_replay_reopens_rejected_events() -> TestResult {
    let mut message = dead_letter()?;
    let plan = ("ReplayPlan".to_owned(), "p-1".to_owned());
    message.attributes.extend([plan]);
    for (status, step) in [
        (Status::Archived, NextStep::Replay),
        (Status::Failed, NextStep::Replay),
        (Status::Completed, NextStep::Acknowledge),
        (Status::Discarded, NextStep::Acknowledge),
    ] {
        let predicted = predict(&message, Some(&item(status)), |_| {})?;
        assert_eq!(predicted.step, step, "{status}");
    }
    Ok(())
}

#[test]
fn prediction_archives_what_the_function_rejects_without_a_delivery() -> TestResult {
    let mut malformed = dead_letter()?;
    let code = ("ERROR_CODE".to_owned(), "INVALID_JSON".to_owned());
    malformed.attributes.extend([code]);
    let archived = Prediction::archive;
    assert_eq!(predict(&malformed, None, |_| {})?, archived(FailureCode::PayloadMalformed));
    let replayed = predict(&malformed, None, |rules| rules.replay_malformed = true)?;
    assert_eq!(replayed.step, NextStep::Replay);

    let mut unsupported = dead_letter()?;
    let cluster = "arn:aws:ecs:eu-central-1:271828182845:cluster/crm";
    let target = ("TARGET_ARN".to_owned(), cluster.to_owned());
    unsupported.attributes.extend([target]);
    assert_eq!(predict(&unsupported, None, |_| {})?, archived(FailureCode::TargetUnsupported));

    let stale_after =
        |seconds| move |rules: &mut Rules| rules.stale_after = Some(Duration::from_secs(seconds));
    // The event's time is exactly this long before now.
    let age = NOW.since(Timestamp::parse("2026-07-25T17:00:00Z").ok_or("time")?).as_secs();
    let message = dead_letter()?;
    assert_eq!(predict(&message, None, stale_after(age - 1))?, archived(FailureCode::Stale));
    assert_eq!(predict(&message, None, stale_after(age))?.step, NextStep::Replay);
    Ok(())
}

#[test]
fn prediction_of_a_failure_record_counts_the_rounds() -> TestResult {
    let mut record = event(&format!(
        r#"{{"version":"1.0","timestamp":"2026-07-25T18:00:00Z",
            "requestContext":{{"requestId":"r-1","functionArn":"{FUNCTION}","condition":"RetriesExhausted"}},
            "requestPayload":{{"id":"e-1","detail-type":"v2.routing.queues","detail":{{}}}}}}"#
    ))?;
    record.attributes.clear();
    let delivered = |round, id: &str| {
        let mut item = item(Status::Completed);
        item.known.delivered = Some(1);
        item.known.accepted.round = round;
        item.known.accepted.receipt =
            Some(Receipt { delivery_id: Some(id.to_owned()), at: Timestamp::from_millis(0) });
        item
    };
    let code = FailureCode::FailedAfterAcceptance;
    for (item, expected) in [
        (delivered(1, "r-1"), Prediction::new(NextStep::Replay, Some(code))),
        (delivered(3, "r-1"), Prediction::archive(code)),
        (delivered(1, "r-2"), Prediction::new(NextStep::Acknowledge, None)),
    ] {
        let predicted = predict(&record, Some(&item), |_| {})?;
        assert_eq!(predicted, expected, "{item:?}");
    }
    Ok(())
}
