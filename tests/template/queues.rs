//! The queues and the event source mapping between them and the function.

use serde_json::json;

use crate::TestResult;
use crate::document::{Template, queue};
use crate::permissions::statements;

const FOURTEEN_DAYS: u64 = 14 * 24 * 3_600;

#[test]
fn visibility_timeout_is_six_times_the_function_timeout() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.property("ReplayFunction", "Timeout"),
        &json!({ "Ref": "FunctionTimeout" })
    );
    assert_eq!(
        template.property("DeadLetterQueue", "VisibilityTimeout"),
        &json!({ "Fn::FindInMap": ["VisibilityTimeout", { "Ref": "FunctionTimeout" }, "Seconds"] })
    );
    for timeout in template.offered("FunctionTimeout") {
        let visibility =
            template.at(&format!("Mappings/VisibilityTimeout/{timeout}/Seconds")).as_u64();
        let timeout: u64 = timeout.parse()?;
        // There is no batching window, which would have to be added.
        assert!(visibility >= Some(6 * timeout), "{visibility:?} for {timeout}");
        // SQS's limit.
        assert!(visibility <= Some(43_200), "{visibility:?}");
    }
    Ok(())
}

#[test]
fn max_receives_is_three_below_the_redrive_policy() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.property("ReplayFunction", "Environment/Variables/MAX_RECEIVES"),
        &json!({ "Ref": "MaxReceives" })
    );
    assert_eq!(
        template.property("DeadLetterQueue", "RedrivePolicy"),
        &json!({
            "deadLetterTargetArn": { "Fn::GetAtt": "ParkingQueue.Arn" },
            "maxReceiveCount": { "Fn::FindInMap": ["ParkingReceives", { "Ref": "MaxReceives" }, "Count"] },
        })
    );
    for receives in template.offered("MaxReceives") {
        let parked_after =
            template.at(&format!("Mappings/ParkingReceives/{receives}/Count")).as_u64();
        let receives: u64 = receives.parse()?;
        assert_eq!(parked_after, Some(receives + 3));
        // AWS's advice for event sources of Lambda: a lower number parks messages that were only throttled.
        assert!(parked_after >= Some(5));
    }
    Ok(())
}

#[test]
fn retention_of_the_parking_queue_is_longer() -> TestResult {
    let template = Template::read()?;
    let source = template.property("DeadLetterQueue", "MessageRetentionPeriod").as_u64();
    let parking = template.property("ParkingQueue", "MessageRetentionPeriod").as_u64();
    assert_eq!(parking, Some(FOURTEEN_DAYS));
    assert!(source.is_some() && source < parking, "{source:?}");
    Ok(())
}

#[test]
fn event_source_accepts_partial_failures_without_a_filter() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.property("ReplayFunction", "Events/DeadLetters/Type"), "SQS");
    assert_eq!(template.event_source("FunctionResponseTypes"), &json!(["ReportBatchItemFailures"]));
    assert!(template.event_source("FilterCriteria").is_null());
    Ok(())
}

#[test]
fn event_source_is_within_the_limits_of_lambda_and_fifo_queues() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.event_source("BatchSize"), &json!({ "Ref": "BatchSize" }));
    assert!(template.parameter("BatchSize", "MinValue").as_u64() >= Some(1));
    assert!(template.parameter("BatchSize", "MaxValue").as_u64().is_some_and(|most| most <= 10));
    assert!(template.event_source("MaximumBatchingWindowInSeconds").is_null());
    assert_eq!(
        template.event_source("ScalingConfig"),
        &json!({ "MaximumConcurrency": { "Ref": "MaximumConcurrency" } })
    );
    assert!(template.parameter("MaximumConcurrency", "MinValue").as_u64() >= Some(2));
    assert!(
        template
            .parameter("MaximumConcurrency", "MaxValue")
            .as_u64()
            .is_some_and(|most| most <= 1_000)
    );
    assert!(template.property("ReplayFunction", "ReservedConcurrentExecutions").is_null());
    Ok(())
}

#[test]
fn queue_is_existing_or_created() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.event_source("Queue"), &queue());
    assert_eq!(template.at("Outputs/DeadLetterQueueArn/Value"), &queue());
    assert_eq!(template.parameter("DeadLetterQueueArn", "Default"), "");
    assert_eq!(
        template.at("Conditions/CreatesQueue"),
        &json!({ "Fn::Equals": [{ "Ref": "DeadLetterQueueArn" }, ""] })
    );
    for resource in ["DeadLetterQueue", "DeadLetterQueuePolicy"] {
        assert_eq!(template.at(&format!("Resources/{resource}/Condition")), "CreatesQueue");
    }
    Ok(())
}

#[test]
fn queue_policy_allows_only_event_bridge_rules_of_this_account() -> TestResult {
    let template = Template::read()?;
    let rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*";
    assert_eq!(
        template.property("DeadLetterQueuePolicy", "PolicyDocument/Statement")[0],
        json!({
            "Sid": "EventBridgeSendsDeadLetters",
            "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": { "Fn::GetAtt": "DeadLetterQueue.Arn" },
            "Condition": { "ArnLike": {
                "aws:SourceArn": [
                    { "Fn::If": ["AnyRule", { "Fn::Sub": rules }, { "Ref": "EventRuleArn" }] },
                    { "Fn::Sub": rules.replace("rule/*", "event-bus/*") },
                ],
            } },
        })
    );
    // All other statements are denials.
    for queue in ["DeadLetterQueuePolicy", "ParkingQueuePolicy"] {
        for (_, statement) in statements(&template, queue) {
            let allows = statement["Effect"] == "Allow";
            assert!(!allows || statement["Sid"] == "EventBridgeSendsDeadLetters", "{statement}");
        }
    }
    Ok(())
}
