//! Encryption at rest, with a key of the user's own or with those of AWS.

use serde_json::{Value, json};

use crate::TestResult;
use crate::document::Template;

/// Resources with data, and the property of their encryption.
const ENCRYPTED: [(&str, &str); 12] = [
    ("ArchiveBucket", "BucketEncryption"),
    ("AlarmTopic", "KmsMasterKeyId"),
    ("DeadLetterQueue", "KmsMasterKeyId"),
    ("DeadLetterQueue", "SqsManagedSseEnabled"),
    ("IngestAccessLogGroup", "KmsKeyId"),
    ("IngestFunction", "KmsKeyArn"),
    ("IngestLogGroup", "KmsKeyId"),
    ("LedgerTable", "SSESpecification"),
    ("ParkingQueue", "KmsMasterKeyId"),
    ("ParkingQueue", "SqsManagedSseEnabled"),
    ("ReplayFunction", "KmsKeyArn"),
    ("ReplayLogGroup", "KmsKeyId"),
];

/// A value with the condition on the key decided; a property that is not there is null.
fn resolved(value: &Value, with_key: bool) -> Value {
    if let Some([condition, yes, no]) = value["Fn::If"].as_array().map(Vec::as_slice)
        && condition == "EncryptsWithKey"
    {
        return resolved(if with_key { yes } else { no }, with_key);
    }
    if value == &json!({ "Ref": "AWS::NoValue" }) {
        return Value::Null;
    }
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), resolved(value, with_key)))
            .filter(|(_, value)| !value.is_null())
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => {
            items.iter().map(|item| resolved(item, with_key)).collect::<Vec<_>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn encryption(template: &Template, with_key: bool) -> Vec<Value> {
    ENCRYPTED
        .iter()
        .map(|(resource, property)| resolved(template.property(resource, property), with_key))
        .collect()
}

#[test]
fn resources_are_encrypted_with_the_given_key() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.at("Conditions/EncryptsWithKey"),
        &json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "EncryptionKeyArn" }, ""] }] })
    );
    let key = json!({ "Ref": "EncryptionKeyArn" });
    let bucket = json!({ "ServerSideEncryptionConfiguration": [{
        "ServerSideEncryptionByDefault": { "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key },
        "BucketKeyEnabled": true,
    }] });
    assert_eq!(
        encryption(&template, true),
        [
            bucket,
            key.clone(),
            key.clone(),
            // SQS takes one or the other.
            Value::Null,
            key.clone(),
            key.clone(),
            key.clone(),
            json!({ "SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": key }),
            key.clone(),
            Value::Null,
            key.clone(),
            key,
        ]
    );
    Ok(())
}

#[test]
fn resources_are_encrypted_with_aws_keys_by_default() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.parameter("EncryptionKeyArn", "Default"), "");
    let bucket = json!({ "ServerSideEncryptionConfiguration": [{
        "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" },
    }] });
    assert_eq!(
        encryption(&template, false),
        [
            bucket,
            // CloudWatch could not publish with AWS's key for topics.
            Value::Null,
            Value::Null,
            json!(true),
            Value::Null,
            Value::Null,
            Value::Null,
            json!({ "SSEEnabled": true }),
            Value::Null,
            json!(true),
            Value::Null,
            Value::Null,
        ]
    );
    Ok(())
}

#[test]
fn encryption_covers_every_resource_with_data() -> TestResult {
    let template = Template::read()?;
    for kind in [
        "AWS::DynamoDB::Table",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::Serverless::Function",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
    ] {
        let created = template.of_type(kind);
        assert!(!created.is_empty(), "{kind}");
        for resource in created {
            assert!(ENCRYPTED.iter().any(|(encrypted, _)| *encrypted == resource), "{resource}");
        }
    }
    Ok(())
}
