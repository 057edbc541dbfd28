//! Checks the ledger's table.

use genesys_replay::aws::{AwsError, AwsErrorKind};

use super::{Check, Known, Look, answer};
use crate::deployment::{Deployment, ExpiryFacts, TableFacts};

const TABLE: &str = "ledger table";
const EXPIRY: &str = "ledger expiry";

/// The attribute with the expiry time of an item.
const EXPIRES_AT: &str = "ExpiresAt";

pub(super) async fn look(known: Option<&Known>, deployment: &impl Deployment) -> Look {
    let Some(Known { table, .. }) = known else {
        let why = "the settings cannot be used";
        return (
            vec![Check::skipped(TABLE, why, "repair the settings first")],
            Vec::new(),
        );
    };
    let (facts, expiry) = tokio::join!(deployment.table(table), deployment.expiry(table));
    let mut checks = check(table, &facts);
    // A table that does not exist has no expiry to check.
    if !is_missing(&facts) {
        checks.push(check_expiry(table, &expiry));
    }
    (checks, vec![answer(&facts), answer(&expiry)])
}

fn is_missing<T>(facts: &Result<T, AwsError>) -> bool {
    facts
        .as_ref()
        .is_err_and(|error| error.kind == AwsErrorKind::NotFound)
}

fn check(name: &str, facts: &Result<TableFacts, AwsError>) -> Vec<Check> {
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) if error.kind == AwsErrorKind::NotFound => {
            return vec![Check::error(
                TABLE,
                format!("there is no table {name} in this account and region"),
                "deploy the template, or set IDEMPOTENCY_TABLE_NAME to the table that is there: without it nothing is replayed",
            )];
        }
        Err(error) => return vec![Check::unasked(TABLE, error)],
    };
    let mut checks = Vec::new();
    let expected = [("EventId".to_owned(), "HASH".to_owned(), "S".to_owned())];
    if facts.key == expected {
        if facts.status == "ACTIVE" {
            checks.push(Check::ok(
                TABLE,
                format!("{name} is active, keyed by EventId"),
            ));
        } else {
            checks.push(Check::error(
                TABLE,
                format!("{name} is {}", facts.status),
                "wait until it is ACTIVE; until then no event is claimed and nothing is replayed",
            ));
        }
    } else {
        let parts = facts
            .key
            .iter()
            .map(|(name, role, kind)| format!("{name} {role} {kind}"));
        checks.push(Check::error(
            TABLE,
            format!("{name} is keyed by {}", parts.collect::<Vec<_>>().join(", ")),
            "create a table whose only key is the partition key EventId, a string, and name it in IDEMPOTENCY_TABLE_NAME",
        ));
    }
    if !facts.on_demand {
        checks.push(Check::warning(
            "ledger billing",
            format!("{name} has provisioned capacity: when it is used up, events wait"),
            "change the table to on-demand (PAY_PER_REQUEST)",
        ));
    }
    checks
}

fn check_expiry(table: &str, expiry: &Result<ExpiryFacts, AwsError>) -> Check {
    let expiry = match expiry {
        Ok(expiry) => expiry,
        Err(error) => return Check::unasked(EXPIRY, error),
    };
    let remedy =
        format!("turn on time to live for the table {table}, with the attribute {EXPIRES_AT}");
    match (expiry.status.as_str(), expiry.attribute.as_deref()) {
        ("ENABLED" | "ENABLING", Some(EXPIRES_AT)) => {
            Check::ok(EXPIRY, format!("items go when {EXPIRES_AT} says so"))
        }
        ("ENABLED" | "ENABLING", other) => Check::error(
            EXPIRY,
            format!(
                "items go when {} says so, which is no time of the ledger's",
                other.unwrap_or("nothing")
            ),
            format!("turn it off, then {remedy}"),
        ),
        (status, _) => Check::warning(
            EXPIRY,
            format!(
                "time to live is {status}: finished events are never forgotten, and the table grows"
            ),
            remedy,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Verdict;

    fn good() -> TableFacts {
        TableFacts {
            status: "ACTIVE".to_owned(),
            key: vec![("EventId".to_owned(), "HASH".to_owned(), "S".to_owned())],
            on_demand: true,
        }
    }

    #[test]
    fn each_fault_of_a_table_is_found() {
        let key = |parts: &[(&str, &str, &str)]| {
            let owned = parts.iter().map(|(name, role, kind)| {
                ((*name).to_owned(), (*role).to_owned(), (*kind).to_owned())
            });
            TableFacts {
                key: owned.collect(),
                ..good()
            }
        };
        for (facts, expected) in [
            (good(), vec![Verdict::Ok]),
            (
                TableFacts {
                    status: "UPDATING".to_owned(),
                    ..good()
                },
                vec![Verdict::Error],
            ),
            (
                TableFacts {
                    on_demand: false,
                    ..good()
                },
                vec![Verdict::Ok, Verdict::Warning],
            ),
            (key(&[("MessageId", "HASH", "S")]), vec![Verdict::Error]),
            (key(&[("EventId", "HASH", "N")]), vec![Verdict::Error]),
            (
                key(&[("EventId", "HASH", "S"), ("At", "RANGE", "S")]),
                vec![Verdict::Error],
            ),
        ] {
            let found: Vec<_> = check("t", &Ok(facts)).iter().map(|it| it.verdict).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_table_that_forgets_nothing_or_the_wrong_thing_is_found() {
        for (status, attribute, expected) in [
            ("ENABLED", Some("ExpiresAt"), Verdict::Ok),
            ("ENABLING", Some("ExpiresAt"), Verdict::Ok),
            ("ENABLED", Some("ProcessedAt"), Verdict::Error),
            ("DISABLED", None, Verdict::Warning),
            ("DISABLING", Some("ExpiresAt"), Verdict::Warning),
        ] {
            let expiry = ExpiryFacts {
                status: status.to_owned(),
                attribute: attribute.map(str::to_owned),
            };
            assert_eq!(check_expiry("t", &Ok(expiry)).verdict, expected, "{status}");
        }
    }
}
