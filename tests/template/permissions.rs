//! Permissions: no wildcards, no plain http.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::TestResult;
use crate::document::Template;

/// Resources with their own policy, the policy's resource, and its subject.
const GUARDED: [(&str, &str, &str); 4] = [
    ("DeadLetterQueue", "DeadLetterQueuePolicy", "Queues"),
    ("ParkingQueue", "ParkingQueuePolicy", "Queues"),
    ("ArchiveBucket", "ArchiveBucketPolicy", "Bucket"),
    ("AlarmTopic", "AlarmTopicPolicy", "Topics"),
];

/// Returns every statement of a resource's policies, with its condition or null.
pub(crate) fn statements<'t>(
    template: &'t Template,
    resource: &str,
) -> Vec<(&'t Value, &'t Value)> {
    let own = template.property(resource, "PolicyDocument");
    let policies = template.property(resource, "Policies").as_array();
    policies
        .into_iter()
        .flatten()
        .map(|policy| &policy["PolicyDocument"])
        .chain([own])
        .filter_map(|document| document["Statement"].as_array())
        .flatten()
        .map(|statement| match statement["Fn::If"].as_array().map(Vec::as_slice) {
            Some([condition, statement, _]) => (condition, statement),
            Some(_) | None => (&Value::Null, statement),
        })
        .collect()
}

/// Returns every statement of the template with its resource.
fn all_statements(template: &Template) -> Vec<(&str, &Value)> {
    let resources = template.at("Resources").as_object().into_iter().flatten();
    resources
        .flat_map(|(name, _)| {
            let of_this = statements(template, name).into_iter();
            of_this.map(|(_, statement)| (name.as_str(), statement))
        })
        .collect()
}

/// Returns the texts of a member that is one text or a list.
fn texts(member: &Value) -> Vec<&str> {
    let listed = member.as_array().into_iter().flatten();
    listed.chain([member]).filter_map(Value::as_str).collect()
}

#[test]
fn permissions_have_no_wildcard() -> TestResult {
    let template = Template::read()?;
    let mut everything = Vec::new();
    for (resource, statement) in all_statements(&template) {
        if statement["Effect"] == "Deny" {
            continue;
        }
        assert_eq!(statement["Effect"], "Allow", "{resource}");
        let actions = texts(&statement["Action"]);
        assert!(!actions.is_empty(), "{resource}: {statement}");
        assert!(actions.iter().all(|action| !action.contains('*')), "{resource}: {actions:?}");
        assert!(statement.get("NotAction").is_none(), "{resource}");
        assert!(statement.get("NotResource").is_none(), "{resource}");
        if texts(&statement["Resource"]).contains(&"*") {
            everything.push((resource, actions));
        }
    }
    let traces = vec!["xray:PutTraceSegments", "xray:PutTelemetryRecords"];
    let network = vec![
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let expected = [("IngestRole", traces.clone()), ("ReplayRole", traces), ("VpcPolicy", network)];
    assert_eq!(everything, expected);
    Ok(())
}

#[test]
fn vpc_policy_does_not_serve_the_program() -> TestResult {
    let template = Template::read()?;
    let functions = "arn:${AWS::Partition}:lambda:*:${AWS::AccountId}:function:*";
    assert_eq!(
        template.property("VpcPolicy", "PolicyDocument/Statement")[1],
        json!({
            "Sid": "RefuseVpcToProgram",
            "Effect": "Deny",
            "Action": "ec2:*",
            "Resource": "*",
            "Condition": { "ArnLike": { "lambda:SourceFunctionArn": { "Fn::Sub": functions } } },
        })
    );
    assert_eq!(template.at("Resources/VpcPolicy/Condition"), "InVpc");
    Ok(())
}

#[test]
fn connections_are_read_only_when_named() -> TestResult {
    let template = Template::read()?;
    let all = all_statements(&template);
    let (_, read) =
        all.iter().find(|(_, it)| it["Sid"] == "ReadConnections").ok_or("no statement")?;
    let begin = "arn:*:secretsmanager:*:*:secret:events!connection/";
    let names = json!({ "Fn::Join": [format!("/*,{begin}"), { "Fn::Split": [",", { "Ref": "ConnectionNames" }] }] });
    let patterns = json!({ "Fn::Sub": [format!("{begin}${{Names}}/*"), { "Names": names }] });
    let condition =
        json!({ "ArnLike": { "secretsmanager:SecretId": { "Fn::Split": [",", patterns] } } });
    assert_eq!(read["Condition"], condition);
    Ok(())
}

#[test]
fn wildcards_have_a_reason_in_a_comment() -> TestResult {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/template.yaml"))?;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_wildcard = |line: &str| {
        let member =
            ["Action:", "Resource:", "Principal:"].iter().any(|name| line.starts_with(name));
        member && line.contains('*')
    };
    let mut found = 0;
    for (number, line) in lines.iter().enumerate() {
        if is_wildcard(line) {
            let mut above = lines.iter().take(number).rev();
            // Wildcards of one statement share a reason.
            let reason = above.find(|line| !is_wildcard(line) && !line.starts_with("Action:"));
            assert!(
                reason.is_some_and(|line| line.starts_with('#')),
                "line {}: {line}",
                number + 1
            );
            found += 1;
        }
    }
    assert!(found >= GUARDED.len(), "{found}");
    Ok(())
}

#[test]
fn policies_refuse_plain_http() -> TestResult {
    let template = Template::read()?;
    for (resource, policy, about) in GUARDED {
        let target = template.property(policy, about);
        let target = target.get(0).unwrap_or(target);
        assert_eq!(target, &json!({ "Ref": resource }), "{policy}");
        // The policy exists with its resource only.
        assert_eq!(
            template.at(&format!("Resources/{policy}/Condition")),
            template.at(&format!("Resources/{resource}/Condition")),
            "{policy}"
        );
        let denial = statements(&template, policy)
            .into_iter()
            .find(|(_, statement)| statement["Effect"] == "Deny")
            .map(|(_, statement)| statement)
            .ok_or(policy)?;
        let arn = json!({ "Fn::GetAtt": format!("{resource}.Arn") });
        let (actions, resources) = match about {
            "Bucket" => ("s3:*", json!([arn, { "Fn::Sub": format!("${{{resource}.Arn}}/*") }])),
            "Topics" => ("sns:Publish", json!({ "Ref": resource })),
            _ => ("sqs:*", arn),
        };
        assert_eq!(
            denial,
            &json!({
                "Sid": "RefusePlainHttp",
                "Effect": "Deny",
                "Principal": "*",
                "Action": actions,
                "Resource": resources,
                "Condition": { "Bool": { "aws:SecureTransport": "false" } },
            })
        );
    }
    // Every resource that needs such a policy has one.
    let created = ["AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::SNS::Topic"]
        .map(|kind| template.of_type(kind).len());
    assert_eq!(created.iter().sum::<usize>(), GUARDED.len());
    Ok(())
}

#[test]
fn topic_policy_allows_only_alarms_of_this_stack() -> TestResult {
    let template = Template::read()?;
    let alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-*";
    let allowed: Vec<_> = statements(&template, "AlarmTopicPolicy")
        .into_iter()
        .filter(|(_, statement)| statement["Effect"] == "Allow")
        .map(|(_, statement)| statement.clone())
        .collect();
    assert_eq!(
        allowed,
        [json!({
            "Sid": "AlarmsNotify",
            "Effect": "Allow",
            "Principal": { "Service": "cloudwatch.amazonaws.com" },
            "Action": "sns:Publish",
            "Resource": { "Ref": "AlarmTopic" },
            "Condition": {
                "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } },
                "ArnLike": { "aws:SourceArn": { "Fn::Sub": alarms } },
            },
        })]
    );
    // The policy matches names from CloudFormation, which begin with the stack's name.
    for alarm in template.of_type("AWS::CloudWatch::Alarm") {
        assert!(template.property(alarm, "AlarmName").is_null(), "{alarm}");
    }
    Ok(())
}

#[test]
fn parameters_that_become_permissions_hold_no_wildcard() -> TestResult {
    let template = Template::read()?;
    for parameter in [
        "EncryptionKeyArn",
        "GenesysSecretArn",
        "IngestSecretArn",
        "AlarmTopicArn",
        "DeadLetterQueueArn",
        "CaLayerArn",
    ] {
        let pattern = template.parameter(parameter, "AllowedPattern");
        let pattern = pattern.as_str().ok_or(parameter)?;
        // The resource's name is a class of characters without a wildcard.
        let (_, name) = pattern.rsplit_once(":[^:]+:[0-9]{12}:").ok_or(pattern)?;
        assert!(name.ends_with(")?$") && !name.contains("[^") && !name.contains(".*"), "{pattern}");
        let classes = name.split('[').skip(1);
        for class in classes.filter_map(|rest| rest.split(']').next()) {
            assert!(!class.contains(['*', '?']), "{pattern}");
        }
    }
    Ok(())
}

#[test]
fn security_md_names_every_statement_of_the_roles() -> TestResult {
    let template = Template::read()?;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md"))?;
    for (role, heading) in [
        ("ReplayRole", "\n## What the function may do\n"),
        ("IngestRole", "\n### What the ingest function may do\n"),
    ] {
        let (_, section) = page.split_once(heading).ok_or(heading)?;
        let section = section.split("\n#").next().ok_or(heading)?;
        let rows = section.lines().filter(|line| line.starts_with("| "));
        // After the header row.
        let named: BTreeSet<_> = rows.skip(1).filter_map(|line| line.split(' ').nth(1)).collect();
        let statements = statements(&template, role).into_iter();
        let sids: BTreeSet<_> =
            statements.filter_map(|(_, statement)| statement["Sid"].as_str()).collect();
        assert!(sids.len() > 5, "{sids:?}");
        assert_eq!(named, sids, "{role}");
    }
    Ok(())
}
