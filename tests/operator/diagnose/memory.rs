//! A diagnosis costs one receive of each message, and stops before messages move to the parking queue.

use genesys_replay_cli::operator::diagnose::DiagnoseError;
use genesys_replay_cli::queue::receive_cost::ReceiveRefusal;
use genesys_test_support::TestResult;

use super::lazy_queue::{LazyQueue, dead_letter};
use super::{look, look_at};

#[tokio::test(start_paused = true)]
async fn diagnose_refuses_a_tight_redrive_policy_before_receiving() -> TestResult {
    let shelf = LazyQueue::new(5, dead_letter).redriven(3, 0);
    let looked = look_at(&shelf, look()).await;
    assert!(matches!(
        &looked.diagnosis,
        Err(DiagnoseError::Receives(ReceiveRefusal::Tight { max_receives: 3, parking })) if parking == "parked"
    ));
    assert_eq!(shelf.calls(), 0);
    let mut forced = look();
    forced.force = true;
    let looked = look_at(&shelf, forced).await;
    assert_eq!((looked.well()?.total, looked.well()?.cost.at_last_receive), (5, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_stops_at_a_last_receive_and_releases_all_messages() -> TestResult {
    let shelf = LazyQueue::new(400, dead_letter).redriven(13, 2);
    shelf.received(120, 12);
    let looked = look_at(&shelf, look()).await;
    match &looked.diagnosis {
        Err(DiagnoseError::Receives(ReceiveRefusal::LastReceive {
            messages,
            received,
            max_receives: 13,
            parking,
        })) => {
            assert_eq!((*messages, parking.as_str()), (1, "parked"));
            assert!((121..400).contains(received), "{received}");
        }
        other => return Err(format!("{other:?}").into()),
    }
    assert!(shelf.handed_out() < 400, "{}", shelf.handed_out());
    assert_eq!(shelf.shown(), 400);
    assert!(looked.said.contains("of 13 before it moves to parked"), "{}", looked.said);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_continues_when_one_receive_is_left() -> TestResult {
    let shelf = LazyQueue::new(40, dead_letter).redriven(13, 11);
    let looked = look_at(&shelf, look()).await;
    assert_eq!((looked.well()?.total, looked.well()?.cost.at_last_receive), (40, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_with_force_counts_messages_at_their_last_receive() -> TestResult {
    let shelf = LazyQueue::new(40, dead_letter).redriven(13, 2);
    for number in [3, 17, 39] {
        shelf.received(number, 12);
    }
    let mut forced = look();
    forced.force = true;
    let looked = look_at(&shelf, forced).await;
    let diagnosis = looked.well()?;
    assert_eq!((diagnosis.total, diagnosis.cost.at_last_receive), (40, 3));
    assert!(diagnosis.notes().iter().any(|note| note.starts_with("At their last receive: 3.")));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_reports_hidden_messages_and_the_limits_of_fifo() -> TestResult {
    let mut shelf = LazyQueue::new(3, dead_letter);
    shelf.facts.fifo = true;
    shelf.facts.in_flight = 7;
    shelf.facts.delayed = 2;
    let looked = look_at(&shelf, look()).await;
    looked.well()?;
    assert!(looked.said.contains("only the first messages of each group"), "{}", looked.said);
    assert!(looked.said.contains("about 9"), "{}", looked.said);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_is_incomplete_when_messages_are_missing() -> TestResult {
    let mut shelf = LazyQueue::new(3, dead_letter);
    let looked = look_at(&shelf, look()).await;
    assert_eq!(looked.well()?.summary()["complete"], true);
    shelf.facts.visible = 40;
    let looked = look_at(&shelf, look()).await;
    let diagnosis = looked.well()?;
    assert_eq!(diagnosis.summary()["complete"], false);
    let notes = diagnosis.notes().join("\n");
    assert!(notes.contains("3 of about 40"), "{notes}");
    Ok(())
}
