//! Settings that are refused before anything is deployed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::TestResult;
use crate::document::{Template, plain};

/// What has to be given with the defaults.
const MINIMUM: [(&str, &str); 3] = [
    ("GenesysRegion", "eu-central-1"),
    ("AllowedTargets", "arn:aws:lambda:*:*:function:crm-*"),
    ("GenesysSecretArn", SECRET),
];
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:genesys-AbCdEf";

/// The rules that refuse the defaults with [`MINIMUM`] and these parameters.
fn refusing<'t>(
    template: &'t Template,
    given: &[(&str, &str)],
) -> Result<Vec<&'t str>, Box<dyn std::error::Error>> {
    let given: BTreeMap<_, _> = MINIMUM
        .iter()
        .chain(given)
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    let mut refusing = Vec::new();
    for (name, rule) in template.at("Rules").as_object().into_iter().flatten() {
        if !holds(template, &rule["RuleCondition"], &given)? {
            continue;
        }
        for assertion in rule["Assertions"].as_array().into_iter().flatten() {
            if !holds(template, &assertion["Assert"], &given)? {
                refusing.push(name.as_str());
            }
        }
    }
    Ok(refusing)
}

/// Whether a condition of a rule is true.
fn holds(
    template: &Template,
    condition: &Value,
    given: &BTreeMap<&str, String>,
) -> Result<bool, String> {
    let (function, operands) = condition
        .as_object()
        .and_then(|members| members.iter().next())
        .ok_or_else(|| format!("no condition: {condition}"))?;
    let operands = operands
        .as_array()
        .ok_or_else(|| format!("no operands: {condition}"))?;
    let mut each = operands.iter().map(|one| holds(template, one, given));
    match function.as_str() {
        "Fn::And" => each.try_fold(true, |all, one| Ok(one? && all)),
        "Fn::Or" => each.try_fold(false, |any, one| Ok(one? || any)),
        "Fn::Not" => each.try_fold(true, |all, one| Ok(!one? && all)),
        "Fn::Equals" => {
            let mut values = operands
                .iter()
                .map(|operand| match operand["Ref"].as_str() {
                    Some(name) => given
                        .get(name)
                        .cloned()
                        .unwrap_or_else(|| plain(template.parameter(name, "Default"))),
                    None => plain(operand),
                });
            Ok(values.next() == values.next())
        }
        _ => Err(format!("unknown: {condition}")),
    }
}

#[test]
fn credentials_come_from_a_secret_or_from_two_parameters_and_never_from_both() -> TestResult {
    let template = Template::read()?;
    let (id, secret) = (("GenesysClientId", "id"), ("GenesysClientSecret", "hush"));
    let none = ("GenesysSecretArn", "");
    let given = "CredentialsAreGiven";
    let in_one_place = "CredentialsAreInOnePlace";
    for (parameters, expected) in [
        (vec![], vec![]),
        (vec![none, id, secret], vec![]),
        (vec![none], vec![given]),
        (vec![none, id], vec![given]),
        (vec![none, secret], vec![given]),
        (vec![id, secret], vec![in_one_place]),
        (vec![id], vec![in_one_place]),
        (vec![secret], vec![in_one_place]),
        (vec![none, ("RetryState", "off")], vec![]),
    ] {
        assert_eq!(
            refusing(&template, &parameters)?,
            expected,
            "{parameters:?}"
        );
    }
    Ok(())
}

#[test]
fn genesys_cloud_is_named_in_one_of_three_ways() -> TestResult {
    let template = Template::read()?;
    let none = ("GenesysRegion", "");
    let api = ("GenesysApiBaseUrl", "https://api.example");
    let login = ("GenesysLoginBaseUrl", "https://login.example");
    let refused = vec!["GenesysCloudIsNamed"];
    for (parameters, expected) in [
        (vec![none], refused.clone()),
        (vec![none, api], refused.clone()),
        (vec![none, login], refused),
        (vec![none, api, login], vec![]),
        (vec![none, ("GenesysOrgId", "acme")], vec![]),
        (vec![none, ("RetryState", "off")], vec![]),
    ] {
        assert_eq!(
            refusing(&template, &parameters)?,
            expected,
            "{parameters:?}"
        );
    }
    Ok(())
}

#[test]
fn targets_that_dead_letters_name_have_to_be_allowed() -> TestResult {
    let template = Template::read()?;
    let none = ("AllowedTargets", "");
    assert_eq!(refusing(&template, &[none])?, ["TargetsAreAllowed"]);
    let elsewhere = ("ReplayTarget", "https://crm.example/events");
    assert!(refusing(&template, &[none, elsewhere])?.is_empty());
    Ok(())
}
