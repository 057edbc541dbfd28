//! Checks the ledger's table and the archive's bucket.

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay_settings::ArchiveSettings;

use super::targets::{TARGET, targets};
use super::{AreaChecks, CallResult, Check, answer};
use crate::config::OperatorSettings;
use crate::deployment::aws::AwsDeployment;
use crate::deployment::{ExpiryFacts, TableFacts};

const TABLE: &str = "ledger table";
const EXPIRY: &str = "ledger expiry";
const BUCKET: &str = "archive";

/// The attribute with the expiry time of an item.
const EXPIRES_AT: &str = "ExpiresAt";

pub(super) async fn checks(
    settings: Option<&OperatorSettings>,
    deployment: &AwsDeployment,
) -> AreaChecks {
    let Some(settings) = settings else {
        let (found, remedy) = ("the settings cannot be used", "repair the settings first");
        let skipped = [TABLE, BUCKET, TARGET].map(|name| Check::skipped(name, found, remedy));
        return (skipped.into(), Vec::new());
    };
    let (ledger, archive, targets) = tokio::join!(
        ledger(&settings.table, deployment),
        archive(settings.archive.as_ref(), deployment),
        targets(&settings.target, deployment),
    );
    let (mut checks, mut answers) = ledger;
    for (check, answer) in [archive].into_iter().chain(targets) {
        checks.push(check);
        answers.extend(answer);
    }
    (checks, answers)
}

async fn ledger(table: &str, deployment: &AwsDeployment) -> AreaChecks {
    let (facts, expiry) = tokio::join!(deployment.table(table), deployment.expiry(table));
    let mut checks = check_table(table, &facts);
    // A table that does not exist has no expiry to check.
    if !matches!(&facts, Err(error) if error.kind == AwsErrorKind::NotFound) {
        checks.push(check_expiry(table, &expiry));
    }
    (checks, vec![answer(&facts), answer(&expiry)])
}

fn check_table(name: &str, facts: &Result<TableFacts, AwsError>) -> Vec<Check> {
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => {
            let found = format!("table {name} does not exist in this account and region");
            let remedy = "deploy the template, or set IDEMPOTENCY_TABLE_NAME to an existing table: without a table nothing is replayed";
            return vec![Check::missing_or_failed(TABLE, error, found, remedy)];
        }
    };
    let expected = [("EventId".to_owned(), "HASH".to_owned(), "S".to_owned())];
    let mut checks = vec![if facts.key != expected {
        let parts = facts.key.iter();
        let parts: Vec<_> =
            parts.map(|(name, role, kind)| format!("{name} {role} {kind}")).collect();
        Check::error(
            TABLE,
            format!("{name} is keyed by {}", parts.join(", ")),
            "create a table whose only key is the partition key EventId, a string, and name it in IDEMPOTENCY_TABLE_NAME",
        )
    } else if facts.status != "ACTIVE" {
        Check::error(
            TABLE,
            format!("{name} is {}", facts.status),
            "wait until it is ACTIVE; until then no event is claimed and nothing is replayed",
        )
    } else {
        Check::ok(TABLE, format!("{name} is active, keyed by EventId"))
    }];
    if !facts.on_demand {
        checks.push(Check::warning(
            "ledger billing",
            format!("{name} has provisioned capacity: when the capacity is used up, events wait"),
            "change the table to on-demand (PAY_PER_REQUEST)",
        ));
    }
    checks
}

fn check_expiry(table: &str, expiry: &Result<ExpiryFacts, AwsError>) -> Check {
    let ExpiryFacts { status, attribute } = match expiry {
        Ok(expiry) => expiry,
        Err(error) => return Check::could_not_check(EXPIRY, error),
    };
    let remedy =
        format!("turn on time to live for the table {table}, with the attribute {EXPIRES_AT}");
    if !matches!(status.as_str(), "ENABLED" | "ENABLING") {
        let found = format!(
            "time to live is {status}: finished items are never deleted, and the table grows"
        );
        return Check::warning(EXPIRY, found, remedy);
    }
    match attribute.as_deref().unwrap_or("nothing") {
        EXPIRES_AT => Check::ok(EXPIRY, format!("time to live is enabled on {EXPIRES_AT}")),
        other => Check::error(
            EXPIRY,
            format!("time to live is enabled on {other}, which the ledger does not write"),
            format!("turn time to live off, then {remedy}"),
        ),
    }
}

async fn archive(
    archive: Option<&ArchiveSettings>,
    deployment: &AwsDeployment,
) -> (Check, CallResult) {
    let Some(ArchiveSettings { bucket, prefix }) = archive else {
        let found =
            "ARCHIVE_BUCKET is not set: rejected messages return to the queue until SQS parks them";
        let remedy = "set ARCHIVE_BUCKET to a bucket that the function may write to";
        return (Check::warning(BUCKET, found, remedy), None);
    };
    let listed = deployment.bucket(bucket, prefix).await;
    let check = match &listed {
        Ok(()) => Check::ok(BUCKET, format!("s3://{bucket}/{prefix} can be read")),
        Err(error) => Check::missing_or_failed(
            BUCKET,
            error,
            format!("bucket {bucket} does not exist"),
            "create the bucket, or set ARCHIVE_BUCKET to an existing one: until then rejected messages return to the queue",
        ),
    };
    (check, Some(listed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Verdict;

    fn table(key: &str) -> TableFacts {
        let parts = key.split(", ").map(|part| {
            let mut words = part.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            (word(), word(), word())
        });
        TableFacts { status: "ACTIVE".to_owned(), key: parts.collect(), on_demand: true }
    }

    #[test]
    fn table_check_finds_each_fault() {
        let updating = TableFacts { status: "UPDATING".to_owned(), ..table("EventId HASH S") };
        let provisioned = TableFacts { on_demand: false, ..table("EventId HASH S") };
        for (facts, expected) in [
            (table("EventId HASH S"), &[Verdict::Ok][..]),
            (updating, &[Verdict::Error]),
            (provisioned, &[Verdict::Ok, Verdict::Warning]),
            (table("MessageId HASH S"), &[Verdict::Error]),
            (table("EventId HASH N"), &[Verdict::Error]),
            (table("EventId HASH S, At RANGE S"), &[Verdict::Error]),
        ] {
            let checks = check_table("t", &Ok(facts));
            let verdicts: Vec<_> = checks.iter().map(|it| it.verdict).collect();
            assert_eq!(verdicts, expected, "{checks:?}");
        }
    }

    #[test]
    fn expiry_check_finds_a_missing_or_wrong_attribute() {
        for (status, attribute, expected) in [
            ("ENABLED", Some("ExpiresAt"), Verdict::Ok),
            ("ENABLING", Some("ExpiresAt"), Verdict::Ok),
            ("ENABLED", Some("ProcessedAt"), Verdict::Error),
            ("DISABLED", None, Verdict::Warning),
            ("DISABLING", Some("ExpiresAt"), Verdict::Warning),
        ] {
            let expiry =
                ExpiryFacts { status: status.to_owned(), attribute: attribute.map(str::to_owned) };
            assert_eq!(check_expiry("t", &Ok(expiry)).verdict, expected, "{status}");
        }
    }
}
