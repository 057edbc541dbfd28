//! The storage of events: the ledger, the queues, the archive.

use serde_json::json;

use crate::TestResult;
use crate::document::{REPLAY, Template, bucket};

#[test]
fn ledger_table_is_on_demand_with_recovery_and_expiry() -> TestResult {
    let template = Template::read()?;
    for (path, expected) in [
        ("BillingMode", json!("PAY_PER_REQUEST")),
        ("DeletionProtectionEnabled", json!({ "Fn::If": ["ProtectsLedger", true, false] })),
        ("KeySchema", json!([{ "AttributeName": "EventId", "KeyType": "HASH" }])),
        ("AttributeDefinitions", json!([{ "AttributeName": "EventId", "AttributeType": "S" }])),
        ("TimeToLiveSpecification", json!({ "AttributeName": "ExpiresAt", "Enabled": true })),
        ("PointInTimeRecoverySpecification", json!({ "PointInTimeRecoveryEnabled": true })),
    ] {
        assert_eq!(template.property("LedgerTable", path), &expected, "{path}");
    }
    Ok(())
}

#[test]
fn event_storage_is_retained_when_the_stack_is_deleted() -> TestResult {
    let template = Template::read()?;
    for resource in [
        "LedgerTable",
        "DeadLetterQueue",
        "DeadLetterQueuePolicy",
        "ParkingQueue",
        "ParkingQueuePolicy",
        "ArchiveBucket",
        "ArchiveBucketPolicy",
    ] {
        // A first deployment that fails leaves nothing behind.
        for (policy, kept) in
            [("DeletionPolicy", "RetainExceptOnCreate"), ("UpdateReplacePolicy", "Retain")]
        {
            assert_eq!(
                template.at(&format!("Resources/{resource}/{policy}")),
                kept,
                "{resource} {policy}"
            );
        }
        // With a fixed name, the remaining resource of one stack would block the next stack.
        for name in ["TableName", "QueueName", "BucketName"] {
            assert!(template.property(resource, name).is_null(), "{resource} {name}");
        }
    }
    Ok(())
}

#[test]
fn archive_bucket_is_not_public() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.property("ArchiveBucket", "PublicAccessBlockConfiguration"),
        &json!({
            "BlockPublicAcls": true,
            "BlockPublicPolicy": true,
            "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true,
        })
    );
    assert_eq!(
        template.property("ArchiveBucket", "OwnershipControls/Rules"),
        &json!([{ "ObjectOwnership": "BucketOwnerEnforced" }])
    );
    Ok(())
}

#[test]
fn archive_bucket_is_created_existing_or_absent() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.variables(REPLAY).get("ARCHIVE_BUCKET"),
        Some(&&json!({ "Fn::If": ["Archives", bucket(), ""] }))
    );
    assert_eq!(template.at("Resources/ArchiveBucket/Condition"), "CreatesBucket");
    assert_eq!(
        template.at("Conditions/CreatesBucket"),
        &json!({ "Fn::Equals": [{ "Ref": "ArchiveBucketName" }, ""] })
    );
    assert_eq!(
        template.at("Conditions/Archives"),
        &json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "ArchiveBucketName" }, "none"] }] })
    );
    Ok(())
}
