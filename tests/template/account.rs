//! The rules of an account: permissions boundary, VPC, proxy, certificates, deletion protection, access log.

use serde_json::{Value, json};

use crate::TestResult;
use crate::conditions::Parameters;
use crate::document::{INGEST, REPLAY, Template};

const FUNCTIONS: [&str; 2] = [REPLAY, INGEST];
const ROLES: [&str; 2] = ["ReplayRole", "IngestRole"];

const BOUNDARY: (&str, &str) =
    ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/teams/boundary");
const SUBNETS: (&str, &str) = ("VpcSubnetIds", "subnet-0123456789abcdef0,subnet-01234567");
const GROUPS: (&str, &str) = ("VpcSecurityGroupIds", "sg-0123456789abcdef0");
const PROXY: (&str, &str) = ("HttpsProxy", "http://proxy.example:3128");
const NO_PROXY: (&str, &str) = ("NoProxy", ".internal.example");
const LAYER: (&str, &str) =
    ("CaLayerArn", "arn:aws:lambda:eu-central-1:123456789012:layer:authorities:3");

/// Returns a value with its choices made. Null: the property is absent.
fn chosen(template: &Template, value: &Value, given: &[(&str, &str)]) -> Result<Value, String> {
    let chosen = template.chosen(value, &Parameters::new(given))?;
    Ok(if chosen == json!({ "Ref": "AWS::NoValue" }) { Value::Null } else { chosen })
}

#[test]
fn both_roles_have_the_permissions_boundary_when_set() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.of_type("AWS::IAM::Role").len(), ROLES.len());
    for role in ROLES {
        let boundary = template.property(role, "PermissionsBoundary");
        assert_eq!(chosen(&template, boundary, &[])?, Value::Null, "{role}");
        let set = chosen(&template, boundary, &[BOUNDARY])?;
        assert_eq!(set, json!({ "Ref": BOUNDARY.0 }), "{role}");
    }
    Ok(())
}

#[test]
fn both_functions_and_roles_are_in_the_vpc_when_set() -> TestResult {
    let template = Template::read()?;
    let list = |parameter: &str| json!({ "Fn::Split": [",", { "Ref": parameter }] });
    let expected = json!({ "SubnetIds": list(SUBNETS.0), "SecurityGroupIds": list(GROUPS.0) });
    for function in FUNCTIONS {
        let network = template.property(function, "VpcConfig");
        assert_eq!(chosen(&template, network, &[])?, Value::Null, "{function}");
        assert_eq!(chosen(&template, network, &[SUBNETS, GROUPS])?, expected, "{function}");
    }
    for role in ROLES {
        let policies = template.property(role, "ManagedPolicyArns");
        assert_eq!(chosen(&template, policies, &[])?, Value::Null, "{role}");
        let set = chosen(&template, policies, &[SUBNETS, GROUPS])?;
        assert_eq!(set, json!([{ "Ref": "VpcPolicy" }]), "{role}");
    }
    Ok(())
}

/// An empty `SSL_CERT_FILE` is a file that does not exist, and an empty `HTTPS_PROXY` still counts as a variable.
#[test]
fn proxy_and_certificates_are_variables_only_when_set() -> TestResult {
    let template = Template::read()?;
    for function in FUNCTIONS {
        let variables = template.variables(function);
        for (variable, given, expected) in [
            ("HTTPS_PROXY", vec![PROXY], json!({ "Ref": PROXY.0 })),
            ("NO_PROXY", vec![PROXY, NO_PROXY], json!({ "Ref": NO_PROXY.0 })),
            // One of the two alone would replace the public certificates.
            ("SSL_CERT_FILE", vec![LAYER], json!("/etc/pki/tls/certs/ca-bundle.crt")),
            ("SSL_CERT_DIR", vec![LAYER], json!("/opt/ca")),
        ] {
            let value = variables.get(variable).ok_or(variable)?;
            assert_eq!(chosen(&template, value, &[])?, Value::Null, "{function} {variable}");
            assert_eq!(chosen(&template, value, &given)?, expected, "{function} {variable}");
        }
        let layers = template.property(function, "Layers");
        assert_eq!(chosen(&template, layers, &[])?, Value::Null, "{function}");
        assert_eq!(chosen(&template, layers, &[LAYER])?, json!([{ "Ref": LAYER.0 }]));
    }
    Ok(())
}

#[test]
fn ledger_has_deletion_protection_when_set() -> TestResult {
    let template = Template::read()?;
    let protection = template.property("LedgerTable", "DeletionProtectionEnabled");
    for (given, expected) in [("false", false), ("true", true)] {
        let chosen = chosen(&template, protection, &[("DeletionProtection", given)])?;
        assert_eq!(chosen, expected);
    }
    // A protected table cannot be removed when a first deployment fails.
    assert_eq!(template.parameter("DeletionProtection", "Default"), "false");
    Ok(())
}

#[test]
fn access_log_exists_with_an_http_api_when_set() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.parameter("IngestAccessLog", "Default"), "false");
    let settings = template.property("IngestApiStage", "AccessLogSettings");
    for (endpoint, log, expected) in
        [("http-api", "true", true), ("http-api", "false", false), ("none", "true", false)]
    {
        let given = [("IngestEndpoint", endpoint), ("IngestAccessLog", log)];
        let resources = template.existing("Resources", &Parameters::new(&given))?;
        assert_eq!(resources.contains_key("IngestAccessLogGroup"), expected, "{given:?}");
        let settings = chosen(&template, settings, &given)?;
        assert_eq!(!settings.is_null(), expected, "{given:?}");
    }
    let format = settings["Fn::If"][1]["Format"].as_str().ok_or("no format")?;
    let line: Value = serde_json::from_str(format)?;
    for field in ["time", "request_id", "status", "error"] {
        assert!(line[field].is_string(), "{field}");
    }
    // A query string or a header may hold a secret.
    assert!(!format.contains("queryString") && !format.contains("header"), "{format}");
    assert_eq!(
        template.property("IngestAccessLogGroup", "RetentionInDays"),
        &json!({ "Ref": "LogRetentionDays" })
    );
    Ok(())
}

#[test]
fn parking_queue_accepts_only_the_dead_letter_queue() -> TestResult {
    let template = Template::read()?;
    let allowed = template.property("ParkingQueue", "RedriveAllowPolicy");
    let existing = [("DeadLetterQueueArn", "arn:aws:sqs:eu-central-1:123456789012:dead-letters")];
    assert_eq!(
        chosen(&template, allowed, &existing)?,
        json!({
            "redrivePermission": "byQueue",
            "sourceQueueArns": [{ "Ref": "DeadLetterQueueArn" }],
        })
    );
    // Of a created queue, the policy would be a circle of references. An output has it.
    assert_eq!(chosen(&template, allowed, &[])?, Value::Null);
    let output = template.at("Outputs/ParkingQueueAttributes");
    assert_eq!(output["Condition"], "CreatesQueue");
    let text = output["Value"]["Fn::Sub"].as_str().ok_or("no value")?;
    let attributes: Value = serde_json::from_str(text)?;
    let policy = attributes["RedriveAllowPolicy"].as_str().ok_or("no policy")?;
    assert_eq!(
        serde_json::from_str::<Value>(policy)?,
        json!({
            "redrivePermission": "byQueue",
            "sourceQueueArns": ["${DeadLetterQueue.Arn}"],
        })
    );
    Ok(())
}

#[test]
fn access_log_vpc_and_proxy_are_refused_when_incomplete() -> TestResult {
    let template = Template::read()?;
    let log = ("IngestAccessLog", "true");
    for (given, expected) in [
        (vec![], None),
        (vec![SUBNETS, GROUPS], None),
        (vec![SUBNETS], Some("VpcIsComplete")),
        (vec![GROUPS], Some("VpcIsComplete")),
        (vec![PROXY], None),
        (vec![PROXY, NO_PROXY], None),
        (vec![NO_PROXY], Some("ProxyIsGiven")),
        (vec![log, ("IngestEndpoint", "http-api")], None),
        (vec![log, ("IngestEndpoint", "function-url")], Some("AccessLogHasAnApi")),
        // Ingest is turned off, with its parameters still set.
        (vec![log, ("IngestEndpoint", "none")], None),
    ] {
        let refusing: Vec<_> = template
            .refusing(&Parameters::new(&given))?
            .into_iter()
            .filter(|rule| ["VpcIsComplete", "ProxyIsGiven", "AccessLogHasAnApi"].contains(rule))
            .collect();
        assert_eq!(refusing, expected.into_iter().collect::<Vec<_>>(), "{given:?}");
    }
    Ok(())
}
