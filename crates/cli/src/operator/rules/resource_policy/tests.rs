use serde_json::json;

use super::*;

const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";
const RULE: &str = "arn:aws:events:eu-central-1:271828182845:rule/genesys/crm";

fn of_rule() -> ServiceCall<'static> {
    ServiceCall {
        service: "events.amazonaws.com",
        action: "sqs:SendMessage",
        resource: QUEUE,
        source: CallSource::Known { arn: RULE, account: "271828182845" },
    }
}

/// Returns a statement that admits the call, with these members in place of its own.
fn statement(changes: &Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": "events.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
    });
    for (member, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            statement.as_object_mut().and_then(|it| it.remove(member));
        } else {
            statement[member] = value.clone();
        }
    }
    statement
}

fn answer(statements: &[Value]) -> &'static str {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    word(&admission(Some(&policy), &of_rule()))
}

fn word(admission: &Admission) -> &'static str {
    match admission {
        Admission::Admitted => "admitted",
        Admission::Refused { .. } => "refused",
        Admission::Denied { .. } => "denied",
        Admission::MaybeRefused { .. } => "maybe refused",
        Admission::MaybeDenied { .. } => "maybe denied",
    }
}

#[test]
fn statement_admits_by_principal_action_and_resource() {
    for (changes, expected) in [
        (json!({}), "admitted"),
        (json!({ "Principal": "*" }), "admitted"),
        (json!({ "Principal": { "AWS": "*" } }), "admitted"),
        (json!({ "Principal": { "AWS": ["arn:aws:iam::271828182845:root"] } }), "refused"),
        (
            json!({ "Principal": { "Service": ["sns.amazonaws.com", "events.amazonaws.com"] } }),
            "admitted",
        ),
        (json!({ "Principal": { "Service": "sns.amazonaws.com" } }), "refused"),
        (json!({ "Principal": null, "NotPrincipal": { "AWS": "x" } }), "maybe refused"),
        (json!({ "Principal": ["*"] }), "maybe refused"),
        (json!({ "Action": ["sqs:GetQueueUrl", "SQS:Send*"] }), "admitted"),
        (json!({ "Action": "*" }), "admitted"),
        (json!({ "Action": "sqs:ReceiveMessage" }), "refused"),
        (json!({ "Action": null, "NotAction": "sqs:DeleteQueue" }), "maybe refused"),
        (json!({ "Action": 7 }), "maybe refused"),
        (json!({ "Resource": "*" }), "admitted"),
        (json!({ "Resource": "arn:aws:sqs:*:*:dead-*" }), "admitted"),
        (json!({ "Resource": "arn:aws:sqs:eu-central-1:271828182845:other" }), "refused"),
        (json!({ "Resource": null }), "maybe refused"),
        (json!({ "Resource": null, "NotResource": "x" }), "maybe refused"),
        (json!({ "Resource": "arn:aws:sqs:*:*:${aws:username}" }), "maybe refused"),
        (json!({ "Effect": "Permit" }), "maybe denied"),
    ] {
        assert_eq!(answer(&[statement(&changes)]), expected, "{changes}");
    }
}

#[test]
fn conditions_compare_source_arn_and_account() {
    for (condition, expected) in [
        (json!({ "ArnEquals": { "aws:SourceArn": RULE } }), "admitted"),
        (
            json!({ "ArnLike": { "AWS:sourceARN": "arn:aws:events:*:271828182845:rule/*" } }),
            "admitted",
        ),
        (json!({ "ArnEquals": { "aws:SourceArn": "arn:aws:events:*:*:rule/*/crm" } }), "admitted"),
        (
            json!({ "ArnLike": { "aws:SourceArn": "arn:aws:events:*:271828182845:event-bus/*" } }),
            "refused",
        ),
        (json!({ "ArnLike": { "aws:SourceArn": ["arn:aws:sns:*:*:x", RULE] } }), "admitted"),
        // A `*` of ArnLike does not cross a colon, and the pattern is not an ARN.
        (json!({ "ArnLike": { "aws:SourceArn": "arn:aws:events:*" } }), "maybe refused"),
        (
            json!({ "ArnNotLike": { "aws:SourceArn": "arn:aws:events:*:271828182845:rule/*" } }),
            "refused",
        ),
        (json!({ "StringEquals": { "aws:SourceArn": RULE } }), "admitted"),
        (
            json!({ "StringEquals": { "aws:SourceArn": "arn:aws:events:*:271828182845:rule/*" } }),
            "refused",
        ),
        (json!({ "StringLike": { "aws:SourceArn": "arn:aws:events:*" } }), "admitted"),
        (json!({ "StringEquals": { "aws:SourceAccount": "271828182845" } }), "admitted"),
        (json!({ "StringEquals": { "aws:SourceAccount": ["314159265358"] } }), "refused"),
        (json!({ "StringNotEquals": { "aws:SourceAccount": "314159265358" } }), "admitted"),
        (json!({ "StringEqualsIfExists": { "aws:SourceAccount": "271828182845" } }), "admitted"),
        (
            json!({ "ForAnyValue:StringEquals": { "aws:SourceAccount": "271828182845" } }),
            "admitted",
        ),
        (json!({ "Bool": { "aws:SecureTransport": true } }), "admitted"),
        (json!({ "Bool": { "aws:SecureTransport": "false" } }), "refused"),
        (json!({ "Bool": { "aws:PrincipalIsAWSService": "true" } }), "admitted"),
        (json!({ "Null": { "aws:SourceArn": "false" } }), "admitted"),
        (json!({ "Null": { "aws:SourceArn": "true" } }), "refused"),
        (json!({ "StringEquals": { "aws:SourceOrgID": "o-1" } }), "maybe refused"),
        (
            json!({ "DateGreaterThan": { "aws:CurrentTime": "2026-01-01T00:00:00Z" } }),
            "maybe refused",
        ),
        (json!({ "NumericEquals": { "aws:SourceAccount": "271828182845" } }), "maybe refused"),
        (
            json!({ "StringEquals": { "aws:SourceAccount": "${aws:PrincipalAccount}" } }),
            "maybe refused",
        ),
        (json!("all"), "maybe refused"),
        // A condition that does not match decides, even beside one that is not known.
        (
            json!({ "StringEquals": { "aws:SourceOrgID": "o-1", "aws:SourceAccount": "314159265358" } }),
            "refused",
        ),
    ] {
        let statement = statement(&json!({ "Condition": condition }));
        assert_eq!(answer(&[statement]), expected, "{condition}");
    }
}

#[test]
fn denial_wins_and_an_unknown_denial_is_named() {
    let deny = |changes: Value| {
        let mut changed = statement(&changes);
        changed["Effect"] = json!("Deny");
        changed
    };
    let plain_http = json!({ "Principal": "*", "Action": "sqs:*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } });
    for (denial, expected) in [
        (deny(plain_http), "admitted"),
        (deny(json!({})), "denied"),
        (deny(json!({ "Principal": "*", "Action": "sqs:*" })), "denied"),
        (
            deny(
                json!({ "Condition": { "ArnNotEquals": { "aws:SourceArn": "arn:aws:events:*:*:rule/other" } } }),
            ),
            "denied",
        ),
        (
            deny(
                json!({ "Principal": "*", "Condition": { "StringNotEquals": { "aws:SourceVpce": "vpce-1" } } }),
            ),
            "maybe denied",
        ),
        (deny(json!({ "Action": null, "NotAction": "sqs:GetQueueUrl" })), "maybe denied"),
        (deny(json!({ "Principal": { "Service": "sns.amazonaws.com" } })), "admitted"),
    ] {
        assert_eq!(answer(&[statement(&json!({})), denial.clone()]), expected, "{denial}");
        assert_eq!(answer(&[denial, statement(&json!({}))]), expected);
    }
    // Certain admission beside an unknown one.
    let unknown =
        statement(&json!({ "Condition": { "StringEquals": { "aws:SourceOrgID": "o" } } }));
    assert_eq!(answer(&[unknown, statement(&json!({}))]), "admitted");
}

#[test]
fn policy_that_is_absent_or_damaged_admits_nothing() {
    let call = of_rule();
    for (policy, expected) in [
        (None, "refused"),
        (Some(""), "refused"),
        (Some("{}"), "refused"),
        (Some(r#"{"Statement":[]}"#), "refused"),
        (Some("not JSON"), "maybe denied"),
        (Some("[]"), "maybe denied"),
        (Some(r#"{"Statement":["x"]}"#), "maybe denied"),
    ] {
        assert_eq!(word(&admission(policy, &call)), expected, "{policy:?}");
    }
}

#[test]
fn answer_names_the_statement() {
    let reason = |statement: &Value| {
        let policy = json!({ "Statement": statement }).to_string();
        match admission(Some(&policy), &of_rule()) {
            Admission::Admitted => String::new(),
            Admission::Refused { reason }
            | Admission::Denied { reason }
            | Admission::MaybeRefused { reason }
            | Admission::MaybeDenied { reason } => reason,
        }
    };
    let other = json!({ "Sid": "A", "Condition": { "ArnLike": { "aws:SourceArn": "arn:aws:events:*:*:rule/x" } } });
    assert_eq!(
        reason(&statement(&other)),
        "the statement A admits another resource or source only"
    );
    let unknown = json!({ "Condition": { "StringEquals": { "aws:SourceOrgID": "o" } } });
    assert_eq!(
        reason(&statement(&unknown)),
        "statement 1 admits it only if the condition StringEquals aws:SourceOrgID matches"
    );
    let nothing = json!({ "Action": "sqs:ReceiveMessage" });
    assert_eq!(
        reason(&statement(&nothing)),
        "no statement admits sqs:SendMessage for events.amazonaws.com"
    );
}

#[test]
fn unknown_source_makes_its_conditions_unknown() {
    let call = ServiceCall { source: CallSource::Unknown, ..of_rule() };
    let condition = json!({ "StringEquals": { "aws:SourceAccount": "271828182845" } });
    let policy = json!({ "Statement": statement(&json!({ "Condition": condition })) });
    assert_eq!(word(&admission(Some(&policy.to_string()), &call)), "maybe refused");
}
