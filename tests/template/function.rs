//! The functions and their permissions.

use serde_json::{Value, json};

use crate::TestResult;
use crate::document::{INGEST, REPLAY, Template, bucket, queue};
use crate::permissions::statements;

/// The functions with their program, role and log group.
const FUNCTIONS: [(&str, &str, &str, &str); 2] = [
    (REPLAY, "replay", "ReplayRole", "ReplayLogGroup"),
    (INGEST, "ingest", "IngestRole", "IngestLogGroup"),
];

/// Returns the permissions of a role: condition, actions and resources.
fn permissions(template: &Template, role: &str) -> Vec<Value> {
    let statements = statements(template, role).into_iter();
    statements
        .map(|(condition, statement)| {
            let actions = &statement["Action"];
            let actions =
                actions.as_str().map_or_else(|| actions.clone(), |action| json!([action]));
            json!([condition, actions, statement["Resource"]])
        })
        .collect()
}

#[test]
fn functions_name_the_version_of_the_workspace() -> TestResult {
    let template = Template::read()?;
    let begin = concat!("genesys-replay ", env!("CARGO_PKG_VERSION"), ": ");
    for (function, ..) in FUNCTIONS {
        let description = template.property(function, "Description");
        let named = description.as_str().is_some_and(|text| text.starts_with(begin));
        assert!(named, "{function}: {description} does not begin with '{begin}'");
    }
    Ok(())
}

#[test]
fn functions_have_their_own_role_without_additions() -> TestResult {
    let template = Template::read()?;
    let vpc = json!({ "Fn::If": ["InVpc", [{ "Ref": "VpcPolicy" }], { "Ref": "AWS::NoValue" }] });
    for (function, _, role, _) in FUNCTIONS {
        // With `Policies` or without a role, SAM adds managed policies for all resources.
        assert_eq!(
            template.property(function, "Role"),
            &json!({ "Fn::GetAtt": format!("{role}.Arn") })
        );
        assert!(template.property(function, "Policies").is_null());
        assert_eq!(template.property(role, "ManagedPolicyArns"), &vpc);
    }
    Ok(())
}

#[test]
fn replay_role_has_only_the_required_permissions() -> TestResult {
    let template = Template::read()?;
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
        "sns:Publish",
        "states:StartExecution",
        "states:DescribeExecution",
        "events:PutEvents",
        "events:DescribeEventBus",
        "kinesis:PutRecord",
        "firehose:PutRecord",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "events:PutRawEvents",
        "execute-api:Invoke",
        "lambda:InvokeFunctionUrl",
    ];
    let deliver_to_parts = ["lambda:InvokeFunction", "logs:CreateLogStream", "logs:PutLogEvents"];
    let objects = "arn:${AWS::Partition}:s3:::${Bucket}/${ArchivePrefix}*";
    let listed = |parameter: &str| json!({ "Fn::Split": [",", { "Ref": parameter }] });
    let targets = json!({ "Fn::If": ["ListsTargets", { "Ref": "AllowedTargets" }, { "Ref": "ReplayTarget" }] });
    let allowed = json!({ "Fn::Split": [",", targets] });
    let executions = json!({ "Fn::Split": [",", { "Fn::Join": ["execution:", { "Fn::Split": ["stateMachine:", targets] }] }] });
    let events = |kind: &str| json!({ "Fn::Sub": format!("arn:${{AWS::Partition}}:events:*:${{AWS::AccountId}}:{kind}/*") });
    let connections =
        "arn:${AWS::Partition}:secretsmanager:*:${AWS::AccountId}:secret:events!connection/*";
    let describe = ["events:DescribeApiDestination", "events:DescribeConnection"];
    let each_and = |patterns| {
        let patterns = json!({ "Patterns": { "Fn::Join": [":*,", patterns] } });
        json!({ "Fn::Split": [",", { "Fn::Sub": ["${Patterns}:*", patterns] }] })
    };
    assert_eq!(
        permissions(&template, "ReplayRole"),
        [
            json!([null, consume, queue()]),
            json!([null, ["dynamodb:UpdateItem", "dynamodb:GetItem"], { "Fn::GetAtt": "LedgerTable.Arn" }]),
            json!([null, ["logs:CreateLogStream", "logs:PutLogEvents"], { "Fn::GetAtt": "ReplayLogGroup.Arn" }]),
            json!([null, ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"]),
            json!(["UsesSecret", ["secretsmanager:GetSecretValue"], { "Ref": "GenesysSecretArn" }]),
            json!(["Archives", ["s3:PutObject", "s3:GetObject"], { "Fn::Sub": [objects, { "Bucket": bucket() }] }]),
            json!(["NamesTargets", deliver, allowed]),
            json!(["NamesFunctions", ["states:DescribeExecution"], each_and(executions)]),
            json!(["NamesFunctions", deliver_to_parts, each_and(allowed)]),
            json!(["NamesTargets", ["events:ListTargetsByRule"], events("rule")]),
            json!(["UsesConnections", describe, [events("api-destination"), events("connection")]]),
            json!(["UsesConnections", ["secretsmanager:GetSecretValue"], { "Fn::Sub": connections }]),
            json!(["UsesTargetSecret", ["secretsmanager:GetSecretValue"], { "Ref": "TargetSecretArn" }]),
            json!(["UsesOwnKeys", ["kms:Decrypt", "kms:GenerateDataKey"], listed("KeyArns")]),
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
fn ingest_role_has_only_the_required_permissions() -> TestResult {
    let template = Template::read()?;
    let read = ["secretsmanager:GetSecretValue"];
    let keys = ["kms:Decrypt", "kms:GenerateDataKey"];
    assert_eq!(
        permissions(&template, "IngestRole"),
        [
            json!([null, ["sqs:SendMessage", "sqs:GetQueueAttributes"], queue()]),
            json!([null, ["logs:CreateLogStream", "logs:PutLogEvents"], { "Fn::GetAtt": "IngestLogGroup.Arn" }]),
            json!([null, ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"]),
            json!(["IngestUsesSecret", read, { "Ref": "IngestSecretArn" }]),
            json!(["IngestUsesCredentials", read, { "Ref": "GenesysSecretArn" }]),
            json!(["UsesOwnKeys", keys, { "Fn::Split": [",", { "Ref": "KeyArns" }] }]),
            json!(["EncryptsWithKey", keys, { "Ref": "EncryptionKeyArn" }]),
        ]
    );
    Ok(())
}

#[test]
fn functions_have_a_program_and_log_retention() -> TestResult {
    let template = Template::read()?;
    for (function, program, _, log_group) in FUNCTIONS {
        assert_eq!(
            template.at(&format!("Resources/{function}/Metadata")),
            &json!({ "BuildMethod": "rust-cargolambda", "BuildProperties": { "Binary": program } })
        );
        assert_eq!(template.property(function, "Runtime"), "provided.al2023");
        assert_eq!(
            template.property(function, "Architectures"),
            &json!([{ "Ref": "Architecture" }])
        );
        assert_eq!(
            template.property(function, "LoggingConfig"),
            &json!({
                "LogFormat": "JSON",
                "ApplicationLogLevel": { "Ref": "LogLevel" },
                "LogGroup": { "Ref": log_group },
            })
        );
        assert_eq!(
            template.property(log_group, "LogGroupName"),
            &json!({ "Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{program}") })
        );
        assert_eq!(
            template.property(log_group, "RetentionInDays"),
            &json!({ "Ref": "LogRetentionDays" })
        );
    }
    assert_eq!(template.parameter("Architecture", "Default"), "arm64");
    assert_eq!(template.of_type("AWS::Serverless::Function").len(), FUNCTIONS.len());
    Ok(())
}

#[test]
fn functions_have_active_tracing() -> TestResult {
    let template = Template::read()?;
    for (function, ..) in FUNCTIONS {
        assert_eq!(template.property(function, "Tracing"), "Active");
    }
    Ok(())
}
