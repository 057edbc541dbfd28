//! Rules that refuse parameters before the deployment.

use crate::TestResult;
use crate::conditions::Parameters;
use crate::document::Template;

/// The required parameters.
const MINIMUM: [(&str, &str); 3] = [
    ("GenesysRegion", "eu-central-1"),
    ("AllowedTargets", "arn:aws:lambda:*:*:function:crm-*"),
    ("GenesysSecretArn", SECRET),
];
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:genesys-AbCdEf";

/// Returns the rules that refuse the defaults with [`MINIMUM`] and these parameters.
fn refusing<'t>(
    template: &'t Template,
    given: &[(&str, &str)],
) -> Result<Vec<&'t str>, Box<dyn std::error::Error>> {
    Ok(template.refusing(&Parameters::new(MINIMUM.iter().chain(given)))?)
}

#[test]
fn credentials_are_a_secret_or_two_parameters() -> TestResult {
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
        assert_eq!(refusing(&template, &parameters)?, expected, "{parameters:?}");
    }
    Ok(())
}

#[test]
fn genesys_cloud_needs_a_region_an_organisation_or_urls() -> TestResult {
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
        assert_eq!(refusing(&template, &parameters)?, expected, "{parameters:?}");
    }
    Ok(())
}

#[test]
fn original_targets_have_to_be_allowed() -> TestResult {
    let template = Template::read()?;
    let none = ("AllowedTargets", "");
    assert_eq!(refusing(&template, &[none])?, ["TargetsAreAllowed"]);
    let elsewhere = ("ReplayTarget", "https://crm.example/events");
    assert!(refusing(&template, &[none, elsewhere])?.is_empty());
    Ok(())
}

/// The required parameters of ingest, in addition to [`MINIMUM`].
const INGEST: [(&str, &str); 3] = [
    ("IngestEndpoint", "function-url"),
    ("IngestSecretArn", INGEST_SECRET),
    ("ReplayTarget", "https://crm.example/events"),
];
const INGEST_SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ingest-AbCdEf";

/// Returns the rules that refuse [`MINIMUM`] and [`INGEST`] with these parameters.
fn refusing_ingest<'t>(
    template: &'t Template,
    given: &[(&str, &str)],
) -> Result<Vec<&'t str>, Box<dyn std::error::Error>> {
    let given: Vec<_> = INGEST.iter().chain(given).copied().collect();
    refusing(template, &given)
}

#[test]
fn signatures_are_checked_with_a_secret_that_is_in_one_place() -> TestResult {
    let template = Template::read()?;
    let none = ("IngestSecretArn", "");
    let text = ("IngestSecret", "whsec_aHVzaA==");
    for (parameters, expected) in [
        (vec![], vec![]),
        (vec![none, text], vec![]),
        (vec![none], vec!["IngestSecretIsGiven"]),
        (vec![none, ("IngestEndpoint", "http-api")], vec!["IngestSecretIsGiven"]),
        (vec![text], vec!["IngestSecretIsInOnePlace"]),
        (vec![none, ("IngestAuth", "iam")], vec![]),
        (vec![none, ("IngestAuth", "none")], vec![]),
        // Ingest is turned off, with its parameters still set.
        (vec![none, ("IngestEndpoint", "none")], vec![]),
        (vec![("IngestEndpoint", "none")], vec![]),
    ] {
        let refusing = refusing_ingest(&template, &parameters)?;
        assert_eq!(refusing, expected, "{parameters:?}");
    }
    Ok(())
}

#[test]
fn ingested_events_need_a_configured_target() -> TestResult {
    let template = Template::read()?;
    let refused = ["IngestedEventsHaveATarget"];
    for (target, expected) in
        [("original", &refused[..]), ("https://crm.example/events", &[]), ("none", &[])]
    {
        for endpoint in ["function-url", "http-api"] {
            let parameters = [("ReplayTarget", target), ("IngestEndpoint", endpoint)];
            let refusing = refusing_ingest(&template, &parameters)?;
            assert_eq!(refusing, expected, "{parameters:?}");
        }
    }
    assert!(refusing(&template, &[("ReplayTarget", "original")])?.is_empty());
    Ok(())
}

#[test]
fn subscription_check_needs_genesys_cloud_without_retry_state() -> TestResult {
    let template = Template::read()?;
    let off = ("RetryState", "off");
    let nowhere = ("GenesysRegion", "");
    let nobody = ("GenesysSecretArn", "");
    let both = vec!["CredentialsAreGiven", "GenesysCloudIsNamed"];
    for (parameters, expected) in [
        (vec![off], vec![]),
        (vec![off, nowhere], vec!["GenesysCloudIsNamed"]),
        (vec![off, nobody], vec!["CredentialsAreGiven"]),
        (vec![off, nowhere, nobody, ("IngestSubscriptionCheck", "integration")], both.clone()),
        (vec![off, nowhere, nobody, ("IngestSubscriptionCheck", "off")], vec![]),
        (vec![off, nowhere, nobody, ("IngestEndpoint", "none")], vec![]),
        // Marks need Genesys Cloud, too.
        (vec![nowhere, nobody, ("IngestSubscriptionCheck", "off")], both),
    ] {
        let refusing = refusing_ingest(&template, &parameters)?;
        assert_eq!(refusing, expected, "{parameters:?}");
    }
    Ok(())
}
