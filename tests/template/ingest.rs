//! The endpoints of ingest and their authentication.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::TestResult;
use crate::conditions::Parameters;
use crate::document::{INGEST, Template};

const URL: [&str; 1] = ["IngestFunctionUrl"];
const OPEN: [&str; 2] = ["IngestUrlInvokePermission", "IngestUrlPermission"];
const API: [&str; 5] = [
    "IngestApi",
    "IngestApiIntegration",
    "IngestApiPermission",
    "IngestApiRoute",
    "IngestApiStage",
];

/// Returns the endpoints among the resources of these parameters.
fn endpoints<'t>(template: &'t Template, given: &Parameters) -> Result<BTreeSet<&'t str>, String> {
    let existing = template.existing("Resources", given)?;
    let endpoints = existing.into_iter().filter(|(_, resource)| {
        let kind = resource["Type"].as_str().unwrap_or_default();
        kind.starts_with("AWS::ApiGatewayV2::")
            || ["AWS::Lambda::Url", "AWS::Lambda::Permission"].contains(&kind)
    });
    Ok(endpoints.map(|(name, _)| name).collect())
}

/// Returns whether a resource exists for ingest only, by its name.
fn of_ingest(name: &str) -> bool {
    name.starts_with("Ingest")
}

#[test]
fn ingest_resources_exist_only_when_enabled() -> TestResult {
    let template = Template::read()?;
    assert_eq!(template.parameter("IngestEndpoint", "Default"), "none");
    let resources = template.at("Resources").as_object().ok_or("no resources")?;
    let own: Vec<_> = resources.keys().filter(|name| of_ingest(name)).collect();
    assert!(own.len() > 10, "{own:?}");
    for section in ["Resources", "Outputs"] {
        for (name, entry) in template.existing(section, &Parameters::new(&[]))? {
            assert!(!of_ingest(name), "{name}");
            // No existing resource references it.
            let text = entry.to_string();
            let needed = own.iter().find(|own| text.contains(own.as_str()));
            assert_eq!(needed, None, "{name}");
        }
    }
    assert!(endpoints(&template, &Parameters::new(&[]))?.is_empty());
    Ok(())
}

#[test]
fn ingest_has_one_endpoint_public_only_when_function_checks() -> TestResult {
    let template = Template::read()?;
    let open_url = URL.iter().chain(&OPEN).copied().collect();
    for (endpoint, auth, expected) in [
        ("function-url", "signature", &open_url),
        ("function-url", "none", &open_url),
        ("function-url", "iam", &BTreeSet::from(URL)),
        ("http-api", "signature", &BTreeSet::from(API)),
        ("http-api", "none", &BTreeSet::from(API)),
        ("http-api", "iam", &BTreeSet::from(API)),
        ("none", "none", &BTreeSet::new()),
    ] {
        let given = Parameters::new(&[("IngestEndpoint", endpoint), ("IngestAuth", auth)]);
        let endpoints = endpoints(&template, &given)?;
        assert_eq!(&endpoints, expected, "{endpoint} {auth}");
    }
    let iam_or_none = |iam: &str| json!({ "Fn::If": ["IngestAsksIam", iam, "NONE"] });
    assert_eq!(template.property("IngestFunctionUrl", "AuthType"), &iam_or_none("AWS_IAM"));
    assert_eq!(template.property("IngestApiRoute", "AuthorizationType"), &iam_or_none("AWS_IAM"));
    assert_eq!(template.parameter("IngestAuth", "Default"), "signature");
    Ok(())
}

#[test]
fn ingest_is_invoked_only_by_its_endpoints() -> TestResult {
    let template = Template::read()?;
    let properties = |name: &str| template.at(&format!("Resources/{name}/Properties")).clone();
    let function = json!({ "Ref": INGEST });
    let this_api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${IngestApi}/*/$default";
    assert_eq!(
        template.of_type("AWS::Lambda::Permission"),
        ["IngestApiPermission", "IngestUrlInvokePermission", "IngestUrlPermission"]
    );
    assert_eq!(
        properties("IngestApiPermission"),
        json!({
            "FunctionName": function,
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": { "Fn::Sub": this_api },
        })
    );
    // Both are needed since October 2025. The second is not for Lambda's own API.
    assert_eq!(
        properties("IngestUrlPermission"),
        json!({
            "FunctionName": function,
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        })
    );
    assert_eq!(
        properties("IngestUrlInvokePermission"),
        json!({
            "FunctionName": function,
            "Action": "lambda:InvokeFunction",
            "Principal": "*",
            "InvokedViaFunctionUrl": true,
        })
    );
    Ok(())
}

#[test]
fn ingest_role_reads_secrets_only_when_they_are_used() -> TestResult {
    let template = Template::read()?;
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:any-AbCdEf";
    let (ingest, genesys) = (("IngestSecretArn", arn), ("GenesysSecretArn", arn));
    for (condition, parameters, expected) in [
        ("IngestUsesSecret", vec![ingest], true),
        ("IngestUsesSecret", vec![], false),
        ("IngestUsesSecret", vec![ingest, ("IngestAuth", "iam")], false),
        ("IngestUsesSecret", vec![ingest, ("IngestAuth", "none")], false),
        ("IngestUsesCredentials", vec![genesys], true),
        ("IngestUsesCredentials", vec![], false),
        ("IngestUsesCredentials", vec![genesys, ("IngestSubscriptionCheck", "off")], false),
    ] {
        let holds =
            template.holds(&json!({ "Condition": condition }), &Parameters::new(&parameters))?;
        assert_eq!(holds, expected, "{condition} {parameters:?}");
    }
    Ok(())
}

#[test]
fn ingest_endpoints_limit_rate_and_concurrency() -> TestResult {
    let template = Template::read()?;
    assert_eq!(
        template.property(INGEST, "ReservedConcurrentExecutions"),
        &json!({ "Fn::If": ["ReservesForIngest", { "Ref": "IngestConcurrency" }, { "Ref": "AWS::NoValue" }] })
    );
    let reserves = json!({ "Condition": "ReservesForIngest" });
    for (given, expected) in [("10", true), ("0", true), ("none", false)] {
        let given = Parameters::new(&[("IngestConcurrency", given)]);
        assert_eq!(template.holds(&reserves, &given)?, expected);
    }
    assert!(template.holds(&reserves, &Parameters::new(&[]))?);
    let number = |parameter| {
        let value = template.parameter(parameter, "Default");
        let number = value.as_str().map_or(value.as_u64(), |text| text.parse().ok());
        number.ok_or_else(|| format!("{parameter}: {value}"))
    };
    let at_once = number("IngestConcurrency")?;
    // Lambda can handle the rate limit of the API: ten requests per second and instance.
    assert!(number("IngestRateLimit")? <= 10 * at_once);
    assert!(number("IngestBurstLimit")? <= at_once);
    assert_eq!(
        template.property("IngestApiStage", "DefaultRouteSettings"),
        &json!({
            "ThrottlingRateLimit": { "Ref": "IngestRateLimit" },
            "ThrottlingBurstLimit": { "Ref": "IngestBurstLimit" },
        })
    );
    Ok(())
}

#[test]
fn ingest_endpoints_forward_every_path() -> TestResult {
    let template = Template::read()?;
    let api = json!({ "Ref": "IngestApi" });
    assert_eq!(template.of_type("AWS::ApiGatewayV2::Route").len(), 1);
    assert_eq!(template.property("IngestApiRoute", "RouteKey"), "$default");
    assert_eq!(
        template.property("IngestApiRoute", "Target"),
        &json!({ "Fn::Sub": "integrations/${IngestApiIntegration}" })
    );
    // Without a stage name, which would be a prefix of the paths.
    assert_eq!(template.property("IngestApiStage", "StageName"), "$default");
    assert_eq!(template.property("IngestApiStage", "AutoDeploy"), true);
    for (property, expected) in [
        ("IntegrationType", json!("AWS_PROXY")),
        ("IntegrationUri", json!({ "Fn::GetAtt": "IngestFunction.Arn" })),
        // The format of a function URL.
        ("PayloadFormatVersion", json!("2.0")),
    ] {
        let actual = template.property("IngestApiIntegration", property);
        assert_eq!(actual, &expected, "{property}");
    }
    for part in ["IngestApiIntegration", "IngestApiRoute", "IngestApiStage"] {
        assert_eq!(template.property(part, "ApiId"), &api, "{part}");
    }
    assert_eq!(
        template.property("IngestFunctionUrl", "TargetFunctionArn"),
        &json!({ "Fn::GetAtt": "IngestFunction.Arn" })
    );
    Ok(())
}

#[test]
fn ingest_url_output_has_no_trailing_slash() -> TestResult {
    let template = Template::read()?;
    let of_url = "IngestFunctionUrl.FunctionUrl";
    let part = |at| -> Value {
        json!({ "Fn::Select": [at, { "Fn::Split": ["/", { "Fn::GetAtt": of_url }] }] })
    };
    assert_eq!(
        template.at("Outputs/IngestUrl/Value"),
        &json!({ "Fn::If": [
            "IngestsThroughUrl",
            { "Fn::Sub": ["${Scheme}//${Host}", { "Scheme": part(0), "Host": part(2) }] },
            { "Fn::GetAtt": "IngestApi.ApiEndpoint" },
        ] })
    );
    Ok(())
}

#[test]
fn ingest_body_limit_fits_into_a_message() -> TestResult {
    let template = Template::read()?;
    // SQS's limit.
    assert_eq!(template.parameter("IngestMaxBodyBytes", "MaxValue"), 1_048_576);
    assert_eq!(template.parameter("IngestMaxBodyBytes", "Default"), 1_048_576);
    assert_eq!(template.parameter("IngestMaxBodyBytes", "MinValue"), 1_024);
    Ok(())
}
