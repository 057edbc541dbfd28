//! The files of the template: their way to `CloudFormation`, and the format of an included one.

use crate::TestResult;
use crate::document::{TEMPLATE, text_of};

const INCLUDED: [&str; 3] = [ENVIRONMENT, "monitoring/queries.yaml", "monitoring/resources.yaml"];
/// The variables of both functions that are not settings.
const ENVIRONMENT: &str = "environment.yaml";

/// `CloudFormation` accepts a template of this size only from S3.
#[test]
fn documented_deployments_put_the_template_into_s3() -> TestResult {
    let guide = text_of("docs/DEPLOY.md")?;
    let mut commands = guide.split("aws cloudformation deploy ").skip(1);
    assert!(commands.all(|command| {
        command.split("```").next().is_some_and(|command| command.contains("--s3-bucket"))
    }));
    assert!(guide.contains("template_url = ") && !guide.contains("template_body"));
    assert!(guide.contains("templateUrl: ") && !guide.contains("templateBody"));
    Ok(())
}

#[test]
fn included_file_has_no_short_form_of_a_function() -> TestResult {
    let template = text_of(TEMPLATE)?;
    for path in INCLUDED {
        let included = format!("Name: AWS::Include, Parameters: {{ Location: {path} }}");
        assert!(template.contains(&included), "{path}");
        // AWS::Include accepts YAML without tags only.
        for line in text_of(path)?.lines().map(str::trim) {
            let tag = line.contains(": !") || line.contains("- !") || line.contains("[!");
            assert!(line.starts_with('#') || !tag, "{path}: {line}");
        }
    }
    Ok(())
}

#[test]
fn monitoring_has_no_file_that_is_not_included() -> TestResult {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        found.push(format!("monitoring/{}", entry?.file_name().display()));
    }
    found.sort();
    found.insert(0, ENVIRONMENT.to_owned());
    assert_eq!(found, INCLUDED);
    Ok(())
}
