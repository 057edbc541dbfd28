//! The files of the template: their size, and the format of an included one.

use crate::TestResult;
use crate::document::{TEMPLATE, text_of};

/// `CloudFormation`'s limit for a template in the request instead of in S3.
const MAX_INLINE_TEMPLATE_BYTES: usize = 51_200;

const INCLUDED: [&str; 2] = ["monitoring/queries.yaml", "monitoring/resources.yaml"];

#[test]
fn template_fits_into_a_request_when_it_is_not_in_s3() -> TestResult {
    let bytes = text_of(TEMPLATE)?.len();
    assert!(bytes <= MAX_INLINE_TEMPLATE_BYTES, "{bytes} bytes");
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
    assert_eq!(found, INCLUDED);
    Ok(())
}
