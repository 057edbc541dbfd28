//! The functions' variables, compared with the module that reads them.

use std::collections::{BTreeMap, BTreeSet};

use genesys_replay_ingest::config::IngestSettings;
use genesys_replay_settings::{INGEST_VARIABLES, Settings, SettingsError, VARIABLES};
use serde_json::{Value, json};

use crate::TestResult;
use crate::document::{INGEST, REPLAY, Template, plain, queue_url};

/// Settings that others depend on.
const MINIMUM: [(&str, &str); 4] = [
    ("ARCHIVE_BUCKET", "bucket"),
    ("GENESYS_REGION", "eu-central-1"),
    ("GENESYS_CLIENT_ID", "client"),
    ("GENESYS_CLIENT_SECRET", "secret"),
];

/// Variables of libraries, from `environment.yaml`, which both functions have. The code does not read them.
const OF_LIBRARIES: [&str; 4] = ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Returns the variables of a function that the code reads.
fn settings_of<'t>(template: &'t Template, function: &str) -> BTreeMap<&'t str, &'t Value> {
    let mut variables = template.variables(function);
    variables.retain(|name, _| !OF_LIBRARIES.contains(name));
    variables
}

/// Reads settings from these variables, and from [`MINIMUM`] for missing ones.
fn settings(variables: &BTreeMap<&str, String>) -> Result<Settings, SettingsError> {
    let minimum = BTreeMap::from(MINIMUM);
    Settings::from_lookup(|name| {
        let given = variables.get(name).filter(|value| !value.is_empty()).cloned();
        given.or_else(|| minimum.get(name).map(|value| (*value).to_owned()))
    })
}

/// Reads the settings of ingest as a Lambda function.
fn ingest_settings(variables: &BTreeMap<&str, String>) -> Result<IngestSettings, SettingsError> {
    let mut minimum = BTreeMap::from(MINIMUM);
    minimum.extend([
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("INGEST_SECRET", "whsec_Z2VuZXN5cy1yZXBsYXktaW5nZXN0LXRlc3Q="),
        ("REPLAY_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/271828182845/q"),
    ]);
    IngestSettings::from_lookup(|name| {
        let given = variables.get(name).filter(|value| !value.is_empty()).cloned();
        given.or_else(|| minimum.get(name).map(|value| (*value).to_owned()))
    })
}

#[test]
fn replay_variables_are_those_of_the_code() -> TestResult {
    let template = Template::read()?;
    let read: BTreeSet<_> = VARIABLES.iter().copied().collect();
    let variables = settings_of(&template, REPLAY);
    assert_eq!(variables.keys().copied().collect::<BTreeSet<_>>(), read);

    let by_parameter = template.parameters_by_variable(REPLAY);
    let otherwise: Vec<_> =
        variables.keys().filter(|name| !by_parameter.contains_key(**name)).collect();
    // The stack's own resources. Another test checks the bucket.
    assert_eq!(otherwise, [&"ARCHIVE_BUCKET", &"IDEMPOTENCY_TABLE_NAME"]);
    assert_eq!(variables.get("IDEMPOTENCY_TABLE_NAME"), Some(&&json!({ "Ref": "LedgerTable" })));
    Ok(())
}

#[test]
fn ingest_variables_are_those_of_the_code() -> TestResult {
    let template = Template::read()?;
    // The listen address. In Lambda, the platform sets these variables.
    let not_ours = ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API", "LISTEN_ADDR"];
    let read = INGEST_VARIABLES.iter().copied();
    let read: BTreeSet<_> = read.filter(|name| !not_ours.contains(name)).collect();
    let variables = settings_of(&template, INGEST);
    assert_eq!(variables.keys().copied().collect::<BTreeSet<_>>(), read);

    let by_parameter = template.parameters_by_variable(INGEST);
    let otherwise: Vec<_> =
        variables.iter().filter(|(name, _)| !by_parameter.contains_key(**name)).collect();
    assert_eq!(otherwise, [(&"REPLAY_QUEUE_URL", &&queue_url())]);
    // The output with the same queue.
    assert_eq!(template.at("Outputs/DeadLetterQueueUrl/Value"), &queue_url());
    Ok(())
}

#[test]
fn variables_fit_into_lambda_when_lists_have_their_maximum_length() -> TestResult {
    /// The maximum size of all variables of a function.
    const MAX_ENVIRONMENT_BYTES: u64 = 4_096;
    /// The length of an ARN or a URL, with some room.
    const USUAL_BYTES: u64 = 110;
    let template = Template::read()?;
    let mut by_parameter = template.parameters_by_variable(REPLAY);
    by_parameter.extend([("HTTPS_PROXY", "HttpsProxy"), ("NO_PROXY", "NoProxy")]);
    let bytes = template.variables(REPLAY).into_keys().map(|name| {
        let parameter = by_parameter.get(name).copied();
        let default =
            parameter.map(|it| plain(template.parameter(it, "Default"))).unwrap_or_default();
        let longest = parameter.and_then(|it| template.parameter(it, "MaxLength").as_u64());
        let is_short = !default.is_empty();
        name.len() as u64 + longest.unwrap_or(if is_short { default.len() as u64 } else { 0 })
    });
    let certificates = ["/etc/pki/tls/certs/ca-bundle.crt", "/opt/ca"].concat().len() as u64;
    // The secrets, the table, the bucket and the region of a usual stack.
    let bytes = bytes.sum::<u64>() + certificates + 5 * USUAL_BYTES;
    assert!(bytes <= MAX_ENVIRONMENT_BYTES, "{bytes}");
    Ok(())
}

#[test]
fn shared_variables_are_equal_in_both_functions() -> TestResult {
    let template = Template::read()?;
    let replay = template.variables(REPLAY);
    let shared =
        template.variables(INGEST).into_iter().filter(|(name, _)| replay.contains_key(name));
    let shared: BTreeMap<_, _> = shared.collect();
    assert_eq!(shared.len(), 9 + OF_LIBRARIES.len(), "{shared:?}");
    for (name, value) in shared {
        assert_eq!(Some(&value), replay.get(name), "{name}");
    }
    Ok(())
}

#[test]
fn parameter_values_are_accepted_by_the_code() -> TestResult {
    accepts_what_is_offered(REPLAY, VARIABLES.len(), |variables| settings(variables).err())?;
    // Without the variables of the platform, which have no parameter.
    accepts_what_is_offered(INGEST, INGEST_VARIABLES.len() - 3, |variables| {
        ingest_settings(variables).err()
    })
}

fn accepts_what_is_offered(
    function: &str,
    at_least: usize,
    refused: impl Fn(&BTreeMap<&str, String>) -> Option<SettingsError>,
) -> TestResult {
    let template = Template::read()?;
    let mut values = 0;
    for (variable, parameter) in template.parameters_by_variable(function) {
        for value in template.offered(parameter) {
            let refused = refused(&BTreeMap::from([(variable, value.clone())]));
            let problems = refused.map(|error| error.problems).unwrap_or_default();
            // Problems of other variables are ignored: a value does not always fit their defaults.
            let own = problems.iter().any(|problem| problem.starts_with(&format!("{variable} ")));
            assert!(!own, "{variable}={value}: {problems:?}");
            values += 1;
        }
    }
    assert!(values > at_least, "only {values} values were tried");
    Ok(())
}

#[test]
fn replay_defaults_are_those_of_the_code() -> TestResult {
    let template = Template::read()?;
    let defaults = template
        .parameters_by_variable(REPLAY)
        .into_iter()
        .map(|(variable, parameter)| (variable, plain(template.parameter(parameter, "Default"))))
        .collect();
    let described = |variables| settings(&variables).map(|settings| format!("{settings:?}"));
    let those_of_the_code = described(BTreeMap::new());
    assert!(those_of_the_code.is_ok(), "{those_of_the_code:?}");
    assert_eq!(described(defaults), those_of_the_code);
    Ok(())
}

#[test]
fn ingest_defaults_are_those_of_the_code() -> TestResult {
    let template = Template::read()?;
    let defaults = template
        .parameters_by_variable(INGEST)
        .into_iter()
        .map(|(variable, parameter)| (variable, plain(template.parameter(parameter, "Default"))))
        .collect();
    let described = |variables| ingest_settings(&variables).map(|settings| format!("{settings:?}"));
    let those_of_the_code = described(BTreeMap::new());
    assert!(those_of_the_code.is_ok(), "{those_of_the_code:?}");
    assert_eq!(described(defaults), those_of_the_code);
    Ok(())
}

#[test]
fn credentials_are_not_echoed_and_have_no_default() -> TestResult {
    let template = Template::read()?;
    let parameters = template.parameters_by_variable(INGEST);
    for variable in ["GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET", "INGEST_SECRET"] {
        let parameter = parameters.get(variable).ok_or(variable)?;
        assert_eq!(template.parameter(parameter, "NoEcho"), true, "{parameter}");
        assert_eq!(template.parameter(parameter, "Default"), "", "{parameter}");
    }
    Ok(())
}
