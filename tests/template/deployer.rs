//! The pages for the deployer: the permissions of the role that deploys, and the policy of a key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::TestResult;
use crate::document::{Template, text_of};

const PAGE: &str = "docs/OPERATIONS.md";
const PERMISSIONS: &str = "\n### Permissions of the deployer\n";
const KEY_POLICY: &str = "\n### The policy of your key\n";

/// Resource types and the action that creates each.
const CREATING: [(&str, &str); 18] = [
    ("AWS::ApiGatewayV2::Api", "apigateway:POST"),
    ("AWS::ApiGatewayV2::Integration", "apigateway:POST"),
    ("AWS::ApiGatewayV2::Route", "apigateway:POST"),
    ("AWS::ApiGatewayV2::Stage", "apigateway:POST"),
    ("AWS::CloudWatch::Alarm", "cloudwatch:PutMetricAlarm"),
    ("AWS::CloudWatch::Dashboard", "cloudwatch:PutDashboard"),
    ("AWS::DynamoDB::Table", "dynamodb:CreateTable"),
    ("AWS::IAM::ManagedPolicy", "iam:CreatePolicy"),
    ("AWS::IAM::Role", "iam:CreateRole"),
    ("AWS::Lambda::Permission", "lambda:AddPermission"),
    ("AWS::Lambda::Url", "lambda:CreateFunctionUrlConfig"),
    ("AWS::Logs::LogGroup", "logs:CreateLogGroup"),
    ("AWS::Logs::QueryDefinition", "logs:PutQueryDefinition"),
    ("AWS::S3::Bucket", "s3:CreateBucket"),
    ("AWS::S3::BucketPolicy", "s3:PutBucketPolicy"),
    ("AWS::SNS::Topic", "sns:CreateTopic"),
    ("AWS::SNS::TopicPolicy", "sns:SetTopicAttributes"),
    ("AWS::SQS::Queue", "sqs:CreateQueue"),
];
/// Types whose row has an action of another resource, or that consist of several.
const OTHERS: [(&str, &str); 3] = [
    ("AWS::SQS::QueuePolicy", "sqs:SetQueueAttributes"),
    ("AWS::Serverless::Function", "lambda:CreateFunction"),
    ("AWS::Serverless::Function", "lambda:CreateEventSourceMapping"),
];

/// Properties and parameters that need more than the resource, and an action of each.
const PROPERTIES: [(&str, &str); 6] = [
    ("ReservedConcurrentExecutions", "lambda:PutFunctionConcurrency"),
    ("PermissionsBoundaryArn", "iam:PutRolePermissionsBoundary"),
    ("VpcSubnetIds", "ec2:DescribeSubnets"),
    ("CaLayerArn", "lambda:GetLayerVersion"),
    ("EncryptionKeyArn", "kms:CreateGrant"),
    ("IngestAccessLog", "logs:CreateLogDelivery"),
];

fn section(heading: &str) -> Result<String, Box<dyn std::error::Error>> {
    let page = text_of(PAGE)?;
    let (_, rest) = page.split_once(heading).ok_or(heading)?;
    Ok(rest.split("\n#").next().unwrap_or_default().to_owned())
}

/// Returns the words in code format.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Returns the rows: subjects in code format, actions, and the parameters in the last cell.
fn rows(section: &str) -> Vec<(Vec<&str>, BTreeSet<&str>, Vec<&str>)> {
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let cell = |at: usize| code(cells.get(at).copied().unwrap_or_default());
        let actions = cell(1).into_iter().filter(|word| {
            word.split_once(':')
                .is_some_and(|(_, action)| action.chars().all(char::is_alphanumeric))
        });
        (cell(0), actions.collect(), cell(2))
    })
    .collect()
}

#[test]
fn every_resource_type_has_permissions_of_the_deployer() -> TestResult {
    let template = Template::read()?;
    let section = section(PERMISSIONS)?;
    let mut listed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (subjects, actions, _) in rows(&section) {
        for kind in subjects.into_iter().filter(|subject| subject.starts_with("AWS::")) {
            assert!(listed.insert(kind, actions.clone()).is_none(), "{kind} is listed twice");
        }
    }
    let resources = template.at("Resources").as_object().ok_or("no resources")?;
    let used: BTreeSet<_> = resources.values().filter_map(|it| it["Type"].as_str()).collect();
    assert_eq!(listed.keys().copied().collect::<BTreeSet<_>>(), used);
    for (kind, creating) in CREATING.into_iter().chain(OTHERS) {
        let actions = listed.get(kind).ok_or(kind)?;
        assert!(actions.contains(creating), "{kind}: {actions:?}");
    }
    // A new type also needs its action here.
    let known: BTreeSet<_> = CREATING.iter().chain(&OTHERS).map(|(kind, _)| *kind).collect();
    assert_eq!(known, used);
    Ok(())
}

#[test]
fn every_parameter_with_own_permissions_of_the_deployer_is_named() -> TestResult {
    let template = Template::read()?;
    let section = section(PERMISSIONS)?;
    for (_, actions, conditions) in rows(&section) {
        assert!(!actions.is_empty(), "{conditions:?}");
        for condition in conditions {
            let parameter = condition.split('=').next().unwrap_or_default();
            assert!(template.at("Parameters").get(parameter).is_some(), "{condition}");
        }
    }
    for (subject, action) in PROPERTIES {
        let is_parameter = template.at("Parameters").get(subject).is_some();
        let rows = rows(&section);
        let row = rows.iter().find(|(_, actions, conditions)| {
            let of_parameter = conditions.iter().any(|it| it.split('=').next() == Some(subject));
            actions.contains(action) && (of_parameter || !is_parameter)
        });
        assert!(row.is_some(), "{subject}: {action}");
    }
    Ok(())
}

/// `EventBridge` documents its statement without `aws:SourceAccount`. With the condition it could not use the key.
#[test]
fn key_policy_admits_the_services_of_the_stack() -> TestResult {
    let section = section(KEY_POLICY)?;
    let policy = section.split("```json\n").nth(1).and_then(|text| text.split("```").next());
    let policy: Value = serde_json::from_str(policy.ok_or("no policy")?)?;
    let statements = policy["Statement"].as_array().ok_or("no statements")?;
    let of = |service: &str| {
        let mut found = statements.iter().filter(|it| it["Principal"]["Service"] == service);
        found.next().ok_or_else(|| service.to_owned())
    };
    let uses = json!(["kms:Decrypt", "kms:GenerateDataKey"]);
    let events = of("events.amazonaws.com")?;
    assert_eq!(events["Action"], uses);
    assert!(events.get("Condition").is_none(), "{events}");
    assert_eq!(of("cloudwatch.amazonaws.com")?["Action"], uses);
    assert!(of("logs.eu-central-1.amazonaws.com")?["Condition"]["ArnLike"].is_object());
    // The parameter refers to this section.
    let template = Template::read()?;
    let description = template.parameter("EncryptionKeyArn", "Description").as_str();
    let link = "docs/OPERATIONS.md#the-policy-of-your-key";
    assert!(description.is_some_and(|text| text.contains(link)), "{description:?}");
    Ok(())
}
