//! The ledger's contract, on the local AWS's `DynamoDB`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::dynamodb::DynamoDbLedger;
use genesys_replay::ledger::{
    About, Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Reopen, Settlement,
};
use genesys_replay::message::MessageId;

use crate::support::{LocalAws, TestResult};

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);
const REMEMBER: Duration = Duration::from_secs(15 * 24 * 3_600);

struct Fixture {
    aws: LocalAws,
    ledger: DynamoDbLedger,
    key: EventKey,
    message_id: MessageId,
}

impl Fixture {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let aws = LocalAws::start().await?;
        let message_id = MessageId::new("m-1").ok_or("id")?;
        Ok(Self {
            ledger: DynamoDbLedger::new(aws.dynamodb(), aws.table.clone(), REMEMBER),
            key: EventKey::new(
                EventId::new("e-1").as_ref(),
                &message_id,
                &Destination::None,
            ),
            aws,
            message_id,
        })
    }

    async fn claim_at(&self, owner: &str, now: Timestamp) -> Result<Claim, LedgerError> {
        self.claim_again(owner, now, Reopen::Nothing).await
    }

    async fn claim_again(
        &self,
        owner: &str,
        now: Timestamp,
        reopen: Reopen,
    ) -> Result<Claim, LedgerError> {
        self.ledger
            .claim(&ClaimRequest {
                key: &self.key,
                owner: owner.to_owned(),
                now,
                lease_until: now.plus(Duration::from_secs(30)),
                reopen,
                about: About {
                    message_id: &self.message_id,
                    interaction_id: None,
                    category: "UNKNOWN",
                    target: "none",
                },
            })
            .await
    }

    async fn lease(&self, owner: &str) -> Result<Lease, Box<dyn std::error::Error>> {
        acquired(self.claim_at(owner, NOW).await?)
    }

    async fn attribute(&self, name: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        self.aws.attribute(self.key.as_str(), name).await
    }
}

fn acquired(claim: Claim) -> Result<Lease, Box<dyn std::error::Error>> {
    match claim {
        Claim::Acquired(lease) => Ok(lease),
        Claim::AlreadyDone | Claim::GivenUp(_) | Claim::HeldUntil(_) => {
            Err(format!("{claim:?}").into())
        }
    }
}

#[tokio::test]
async fn a_new_event_is_claimed_by_one_of_many() -> TestResult {
    let fixture = Fixture::new().await?;
    let owners: Vec<String> = (0..10).map(|number| format!("worker-{number}")).collect();
    let claims =
        futures_util::future::try_join_all(owners.iter().map(|owner| fixture.claim_at(owner, NOW)))
            .await?;
    let held = Claim::HeldUntil(NOW.plus(Duration::from_secs(30)));
    assert_eq!(
        claims
            .iter()
            .filter(|claim| matches!(claim, Claim::Acquired(_)))
            .count(),
        1
    );
    assert_eq!(claims.iter().filter(|claim| **claim == held).count(), 9);
    Ok(())
}

#[tokio::test]
async fn a_claim_repeated_by_its_owner_is_the_same_claim() -> TestResult {
    let fixture = Fixture::new().await?;
    let first = fixture.claim_at("worker", NOW).await?;
    assert_eq!(
        fixture.claim_at("worker", NOW).await?,
        first,
        "its first answer may have been lost"
    );
    assert_eq!(fixture.attribute("Attempts").await?.as_deref(), Some("1"));
    Ok(())
}

#[tokio::test]
async fn what_its_owner_has_finished_is_finished_for_its_owner_too() -> TestResult {
    let fixture = Fixture::new().await?;
    let lease = fixture.lease("worker").await?;
    fixture
        .ledger
        .settle(&lease, Settlement::Completed(None), NOW)
        .await?;
    assert_eq!(fixture.claim_at("worker", NOW).await?, Claim::AlreadyDone);
    Ok(())
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_its_holder_is_fenced_out() -> TestResult {
    let fixture = Fixture::new().await?;
    let stale = fixture.lease("first").await?;
    let at_the_end = NOW.plus(Duration::from_secs(30));
    assert_eq!(
        fixture.claim_at("second", at_the_end).await?,
        Claim::HeldUntil(at_the_end)
    );
    let after = at_the_end.plus(Duration::from_millis(1));
    let fresh = acquired(fixture.claim_at("second", after).await?)?;
    assert_eq!(fresh.attempt, 2);

    let lost = |result: Result<(), LedgerError>| matches!(result, Err(LedgerError::LeaseLost));
    assert!(lost(fixture.ledger.next_attempt(&stale).await.map(drop)));
    assert!(lost(fixture.ledger.checkpoint(&stale).await.map(drop)));
    for settlement in [
        Settlement::Completed(None),
        Settlement::Failed(FailureCode::TargetRefused),
        Settlement::Deferred(FailureCode::OutOfTime),
    ] {
        assert!(
            lost(fixture.ledger.settle(&stale, settlement, after).await),
            "{settlement:?}"
        );
    }
    fixture
        .ledger
        .settle(&fresh, Settlement::Completed(None), after)
        .await?;
    assert!(
        lost(fixture.ledger.checkpoint(&stale).await.map(drop)),
        "nor after the end"
    );
    Ok(())
}

#[tokio::test]
async fn a_deferred_event_is_claimed_at_once_and_attempts_count_on() -> TestResult {
    let fixture = Fixture::new().await?;
    let lease = fixture.lease("first").await?;
    let lease = fixture.ledger.next_attempt(&lease).await?;
    assert_eq!(lease.attempt, 2);
    let deferred = Settlement::Deferred(FailureCode::TargetUnavailable);
    fixture.ledger.settle(&lease, deferred, NOW).await?;
    assert_eq!(
        fixture.attribute("Status").await?.as_deref(),
        Some("DEFERRED")
    );

    let next = fixture.lease("second").await?;
    assert_eq!((next.attempt, next.delivered), (3, None));
    Ok(())
}

#[tokio::test]
async fn a_delivered_event_is_claimed_for_its_bookkeeping_only() -> TestResult {
    let fixture = Fixture::new().await?;
    let lease = fixture.lease("first").await?;
    let lease = fixture.ledger.next_attempt(&lease).await?;
    let lease = fixture.ledger.checkpoint(&lease).await?;
    assert_eq!(lease.delivered, Some(2));
    assert_eq!(
        fixture.attribute("Step").await?.as_deref(),
        Some("REPLAYED")
    );

    // Its worker died; two others too, before one can finish.
    let mut now = NOW;
    for owner in ["second", "third", "fourth"] {
        now = now.plus(Duration::from_secs(31));
        let lease = acquired(fixture.claim_at(owner, now).await?)?;
        assert_eq!(lease.delivered, Some(2), "{owner}");
        assert_eq!(lease.shown_attempt(), 2, "{owner}");
        if owner == "fourth" {
            fixture
                .ledger
                .settle(&lease, Settlement::Completed(None), now)
                .await?;
        }
    }
    assert_eq!(fixture.attribute("Attempts").await?.as_deref(), Some("2"));
    assert_eq!(fixture.claim_at("fifth", now).await?, Claim::AlreadyDone);
    Ok(())
}

#[tokio::test]
async fn a_settlement_says_what_has_become_of_the_event() -> TestResult {
    for (settlement, status, code, claim) in [
        (
            Settlement::Completed(None),
            "COMPLETED",
            None,
            Some(Claim::AlreadyDone),
        ),
        (
            Settlement::Completed(Some(FailureCode::RetryStateNotWritten)),
            "COMPLETED",
            Some("RETRY_STATE_NOT_WRITTEN"),
            Some(Claim::AlreadyDone),
        ),
        (
            Settlement::Failed(FailureCode::Exhausted),
            "FAILED",
            Some("EXHAUSTED"),
            Some(Claim::GivenUp(FailureCode::Exhausted)),
        ),
        (
            Settlement::Deferred(FailureCode::OutOfTime),
            "DEFERRED",
            Some("OUT_OF_TIME"),
            None,
        ),
    ] {
        let fixture = Fixture::new().await?;
        let lease = fixture.lease("first").await?;
        fixture.ledger.settle(&lease, settlement, NOW).await?;
        fixture.ledger.settle(&lease, settlement, NOW).await?;
        assert_eq!(fixture.attribute("Status").await?.as_deref(), Some(status));
        assert_eq!(fixture.attribute("FailureCode").await?.as_deref(), code);
        assert_eq!(
            fixture.attribute("ProcessedAt").await?,
            Some(NOW.to_string())
        );
        let expires_at = NOW.plus(REMEMBER).as_secs().to_string();
        assert_eq!(
            fixture.attribute("ExpiresAt").await?,
            Some(expires_at),
            "epoch seconds"
        );
        if let Some(claim) = claim {
            let much_later = NOW.plus(REMEMBER);
            assert_eq!(
                fixture.claim_at("second", much_later).await?,
                claim,
                "whatever the lease says"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_what_was_given_up_is_reopened_and_only_for_who_may() -> TestResult {
    let archived = Settlement::Archived(FailureCode::TargetRefused);
    let failed = Settlement::Failed(FailureCode::TargetRefused);
    let completed = Settlement::Completed(None);
    for (settlement, reopen, taken) in [
        (archived, Reopen::Nothing, false),
        (archived, Reopen::Failed, false),
        (archived, Reopen::FailedAndArchived, true),
        (failed, Reopen::Nothing, false),
        (failed, Reopen::Failed, true),
        (failed, Reopen::FailedAndArchived, true),
        (completed, Reopen::FailedAndArchived, false),
    ] {
        let fixture = Fixture::new().await?;
        let lease = fixture.lease("first").await?;
        fixture.ledger.settle(&lease, settlement, NOW).await?;
        let claim = fixture.claim_again("second", NOW, reopen).await?;
        match claim {
            Claim::Acquired(lease) => {
                assert!(taken, "{settlement:?} {reopen:?}");
                assert_eq!(lease.attempt, 2, "attempts count on");
                assert_eq!(lease.first_seen, NOW);
            }
            Claim::AlreadyDone | Claim::GivenUp(_) => assert!(!taken, "{settlement:?} {reopen:?}"),
            Claim::HeldUntil(_) => return Err("held".into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn first_seen_stays_the_first() -> TestResult {
    let fixture = Fixture::new().await?;
    let lease = fixture.lease("first").await?;
    fixture
        .ledger
        .settle(&lease, Settlement::Deferred(FailureCode::OutOfTime), NOW)
        .await?;
    acquired(
        fixture
            .claim_at("second", NOW.plus(Duration::from_secs(60)))
            .await?,
    )?;
    assert_eq!(
        fixture.attribute("FirstSeenAt").await?,
        Some(NOW.to_string())
    );
    Ok(())
}

#[tokio::test]
async fn a_ledger_that_is_not_there_or_not_a_ledger_is_unavailable() -> TestResult {
    let fixture = Fixture::new().await?;
    let free_port = std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port();
    let nowhere = crate::support::aws_at(&format!("http://127.0.0.1:{free_port}"));
    for ledger in [
        DynamoDbLedger::new(fixture.aws.dynamodb(), "no-such-table".to_owned(), REMEMBER),
        DynamoDbLedger::new(Client::new(&nowhere), fixture.aws.table.clone(), REMEMBER),
    ] {
        let fixture = Fixture {
            ledger,
            ..Fixture::new().await?
        };
        let claim = fixture.claim_at("worker", NOW).await;
        assert!(
            matches!(claim, Err(LedgerError::Unavailable(_))),
            "{claim:?}"
        );
    }
    Ok(())
}
