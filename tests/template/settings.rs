//! The function's variables, against the module that reads them.

use std::collections::{BTreeMap, BTreeSet};

use genesys_replay::config::{Settings, SettingsError, VARIABLES};
use serde_json::json;

use crate::TestResult;
use crate::document::{Template, plain};

/// Settings without which others are not accepted or not looked at.
const MINIMUM: [(&str, &str); 4] = [
    ("ARCHIVE_BUCKET", "bucket"),
    ("GENESYS_REGION", "eu-central-1"),
    ("GENESYS_CLIENT_ID", "client"),
    ("GENESYS_CLIENT_SECRET", "secret"),
];

/// Reads settings from these variables and whatever of [`MINIMUM`] they leave empty.
fn settings(variables: &BTreeMap<&str, String>) -> Result<Settings, SettingsError> {
    let minimum = BTreeMap::from(MINIMUM);
    Settings::from_lookup(|name| {
        let given = variables
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned();
        given.or_else(|| minimum.get(name).map(|value| (*value).to_owned()))
    })
}

#[test]
fn the_variables_are_those_the_code_reads_and_each_can_be_set() -> TestResult {
    let template = Template::read()?;
    let read: BTreeSet<_> = VARIABLES.iter().copied().collect();
    let variables = template.variables();
    assert_eq!(variables.keys().copied().collect::<BTreeSet<_>>(), read);

    let by_parameter = template.parameters_by_variable();
    let otherwise: Vec<_> = variables
        .keys()
        .filter(|name| !by_parameter.contains_key(**name))
        .collect();
    // The stack's own resources; another test says how the bucket is chosen.
    assert_eq!(otherwise, [&"ARCHIVE_BUCKET", &"IDEMPOTENCY_TABLE_NAME"]);
    assert_eq!(
        variables.get("IDEMPOTENCY_TABLE_NAME"),
        Some(&&json!({ "Ref": "LedgerTable" }))
    );
    Ok(())
}

#[test]
fn the_code_accepts_every_value_that_a_parameter_offers() -> TestResult {
    let template = Template::read()?;
    let mut values = 0;
    for (variable, parameter) in template.parameters_by_variable() {
        for value in template.offered(parameter) {
            let refused = settings(&BTreeMap::from([(variable, value.clone())])).err();
            let problems = refused.map(|error| error.problems).unwrap_or_default();
            // Problems of other variables: this one alone does not always fit their defaults.
            let own = problems
                .iter()
                .any(|problem| problem.starts_with(&format!("{variable} ")));
            assert!(!own, "{variable}={value}: {problems:?}");
            values += 1;
        }
    }
    assert!(values > VARIABLES.len(), "only {values} values were tried");
    Ok(())
}

#[test]
fn the_defaults_are_those_of_the_code() -> TestResult {
    let template = Template::read()?;
    let defaults = template
        .parameters_by_variable()
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
fn credentials_are_not_echoed_and_have_no_default() -> TestResult {
    let template = Template::read()?;
    let parameters = template.parameters_by_variable();
    for variable in ["GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"] {
        let parameter = parameters.get(variable).ok_or(variable)?;
        assert_eq!(template.parameter(parameter, "NoEcho"), true, "{parameter}");
        assert_eq!(template.parameter(parameter, "Default"), "", "{parameter}");
    }
    Ok(())
}
