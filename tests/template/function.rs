//! The function: what it is and what it may do.

use serde_json::json;

use crate::TestResult;
use crate::document::{Template, bucket, queue};
use crate::permissions::statements;

#[test]
fn the_function_may_do_what_it_does_and_no_more() -> TestResult {
    let template = Template::read()?;
    // With policies or without a role, SAM adds managed policies that reach everything.
    assert_eq!(
        template.property("ReplayFunction", "Role"),
        &json!({ "Fn::GetAtt": "ReplayRole.Arn" })
    );
    assert!(template.property("ReplayFunction", "Policies").is_null());
    assert!(
        template
            .property("ReplayRole", "ManagedPolicyArns")
            .is_null()
    );
    let consume = [
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
    ];
    let deliver = [
        "lambda:InvokeFunction",
        "sqs:SendMessage",
        "sqs:GetQueueUrl",
        "sns:Publish",
        "states:StartExecution",
        "events:PutEvents",
    ];
    let objects = "arn:${AWS::Partition}:s3:::${Bucket}/${ArchivePrefix}*";
    let listed = |parameter: &str| json!({ "Fn::Split": [",", { "Ref": parameter }] });
    let permissions: Vec<_> = statements(&template, "ReplayRole")
        .into_iter()
        .map(|(condition, statement)| {
            let actions = &statement["Action"];
            let actions = actions
                .as_str()
                .map_or_else(|| actions.clone(), |action| json!([action]));
            json!([condition, actions, statement["Resource"]])
        })
        .collect();
    assert_eq!(
        permissions,
        [
            json!([null, consume, queue()]),
            json!([null, ["dynamodb:UpdateItem"], { "Fn::GetAtt": "LedgerTable.Arn" }]),
            json!([null, ["logs:CreateLogStream", "logs:PutLogEvents"], { "Fn::GetAtt": "ReplayLogGroup.Arn" }]),
            json!([
                null,
                ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
                "*"
            ]),
            json!(["UsesSecret", ["secretsmanager:GetSecretValue"], { "Ref": "GenesysSecretArn" }]),
            json!(["Archives", ["s3:PutObject", "s3:GetObject"], { "Fn::Sub": [objects, { "Bucket": bucket() }] }]),
            json!(["NamesTargets", deliver, listed("AllowedTargets")]),
            json!([
                "UsesOwnKeys",
                ["kms:Decrypt", "kms:GenerateDataKey"],
                listed("KeyArns")
            ]),
            json!(["EncryptsWithKey", ["kms:Decrypt", "kms:GenerateDataKey"], { "Ref": "EncryptionKeyArn" }]),
            json!([
                "EncryptsWithKey",
                ["kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"],
                { "Ref": "EncryptionKeyArn" }
            ]),
        ]
    );
    Ok(())
}

#[test]
fn the_function_is_the_replay_program_with_structured_logs_that_end() -> TestResult {
    let template = Template::read()?;
    let function = "Resources/ReplayFunction";
    assert_eq!(
        template.at(&format!("{function}/Metadata")),
        &json!({ "BuildMethod": "rust-cargolambda", "BuildProperties": { "Binary": "replay" } })
    );
    assert_eq!(
        template.property("ReplayFunction", "Runtime"),
        "provided.al2023"
    );
    assert_eq!(
        template.property("ReplayFunction", "Architectures"),
        &json!([{ "Ref": "Architecture" }])
    );
    assert_eq!(template.parameter("Architecture", "Default"), "arm64");
    assert_eq!(
        template.property("ReplayFunction", "LoggingConfig"),
        &json!({
            "LogFormat": "JSON",
            "ApplicationLogLevel": { "Ref": "LogLevel" },
            "LogGroup": { "Ref": "ReplayLogGroup" },
        })
    );
    assert_eq!(
        template.property("ReplayLogGroup", "RetentionInDays"),
        &json!({ "Ref": "LogRetentionDays" })
    );
    Ok(())
}

#[test]
fn every_invocation_can_be_traced() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.property("ReplayFunction", "Tracing"), "Active");
    Ok(())
}
