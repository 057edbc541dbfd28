//! The parameters of the template, and their text form in `samconfig.toml`.

use std::collections::BTreeMap;

/// The names of the template's parameters that a deployment may set.
///
/// A copy of the names in `template.yaml`, because a wrong name would be refused only by the deployment.
pub const PARAMETER_NAMES: &[&str] = &[
    "AlarmTopicArn",
    "AllowLinkLocalTargets",
    "AllowedTargets",
    "Architecture",
    "ArchiveBucketName",
    "ArchivePrefix",
    "ArchivedAlarmCount",
    "BackoffBaseSeconds",
    "BackoffMaxSeconds",
    "BatchSize",
    "CaLayerArn",
    "ConnectionNames",
    "DeadLetterQueueArn",
    "DeletionProtection",
    "EncryptionKeyArn",
    "EventRuleArn",
    "FunctionTimeout",
    "GenesysApi",
    "GenesysApiBaseUrl",
    "GenesysClientId",
    "GenesysClientSecret",
    "GenesysLoginBaseUrl",
    "GenesysOrgId",
    "GenesysRegion",
    "GenesysSecretArn",
    "HttpsProxy",
    "IdempotencyTtlDays",
    "IngestAccessLog",
    "IngestAuth",
    "IngestBasePath",
    "IngestBurstLimit",
    "IngestConcurrency",
    "IngestEndpoint",
    "IngestMaxBodyBytes",
    "IngestRateLimit",
    "IngestRefusedAlarmCount",
    "IngestSecret",
    "IngestSecretArn",
    "IngestSubscriptionCheck",
    "KeyArns",
    "LogLevel",
    "LogRetentionDays",
    "MaxAttempts",
    "MaxReceives",
    "MaxRecordsInFlight",
    "MaxRounds",
    "MaxWaitSeconds",
    "MaximumConcurrency",
    "MemorySize",
    "NoProxy",
    "OldestMessageAlarmSeconds",
    "PartnerEventSourceName",
    "PartnerSilenceHours",
    "PermissionsBoundaryArn",
    "ReplayEnabled",
    "ReplayMalformed",
    "ReplayPermanent",
    "ReplayTarget",
    "RetryForHours",
    "RetryState",
    "StaleAfterSeconds",
    "TargetAuth",
    "TargetRedirects",
    "TargetSecretArn",
    "TargetTimeoutSeconds",
    "VpcSecurityGroupIds",
    "VpcSubnetIds",
    "WatchedRuleName",
];

/// The minimum similarity of a suggested name, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.8;

/// Values of the template's parameters, by name. An empty value means the default.
pub type Parameters = BTreeMap<String, String>;

/// The error of a text that is not a list of parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("{text} is not a parameter: NAME=VALUE")]
    NotAPair { text: String },
    #[error("{name} is not a parameter of the template{}", .similar.map(|it| format!("; a similar name is {it}")).unwrap_or_default())]
    UnknownName { name: String, similar: Option<&'static str> },
    #[error("the quote in {text} has no end")]
    OpenQuote { text: String },
}

/// Parses `NAME=VALUE`.
///
/// # Errors
/// [`ParameterError`], with a similar name if the name is not known.
pub fn parse_pair(text: &str) -> Result<(String, String), ParameterError> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| ParameterError::NotAPair { text: text.to_owned() })?;
    if PARAMETER_NAMES.contains(&name) {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let rated = PARAMETER_NAMES.iter().map(|known| {
        let similarity = strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
        (similarity, *known)
    });
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    Err(ParameterError::UnknownName {
        name: name.to_owned(),
        similar: best.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY).map(|(_, it)| it),
    })
}

/// Parses the overrides of the SAM CLI: pairs with optional quotes, separated by spaces.
///
/// # Errors
/// [`ParameterError`]
pub fn parse_overrides(text: &str) -> Result<Parameters, ParameterError> {
    let mut parameters = Parameters::new();
    for word in words(text)? {
        let pair = word.split_once('=');
        let (name, value) = pair.ok_or_else(|| ParameterError::NotAPair { text: word.clone() })?;
        parameters.insert(name.to_owned(), value.to_owned());
    }
    Ok(parameters)
}

/// Returns the overrides as the SAM CLI writes them: each value in double quotes. A parameter with its default is left
/// out.
pub fn overrides(parameters: &Parameters) -> String {
    let set = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs = set.map(|(name, value)| {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#);
        format!("{name}=\"{value}\"")
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Splits a text at its spaces outside quotes, and removes quotes and the backslashes of escapes.
fn words(text: &str) -> Result<Vec<String>, ParameterError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', _) => word.get_or_insert_default().extend(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ParameterError::OpenQuote { text: text.to_owned() });
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn overrides_are_the_same_after_their_way_through_text() {
        let values = parameters(&[
            ("AllowedTargets", "arn:aws:lambda:*:*:function:crm-*,arn:aws:sqs:*:*:crm"),
            ("GenesysRegion", "eu-central-1"),
            ("ReplayTarget", r#"https://crm.example/?q="a b"\c"#),
        ]);
        assert_eq!(parse_overrides(&overrides(&values)), Ok(values));
    }

    #[test]
    fn overrides_of_other_programs_are_parsed() {
        for text in ["A=1 B='x y'", "\"A=1\" B=\"x y\"", " A=\"1\"\n B=x\\ y "] {
            assert_eq!(
                parse_overrides(text),
                Ok(parameters(&[("A", "1"), ("B", "x y")])),
                "{text}"
            );
        }
        assert!(matches!(parse_overrides("A=\"1"), Err(ParameterError::OpenQuote { .. })));
        assert!(matches!(parse_overrides("A"), Err(ParameterError::NotAPair { .. })));
    }

    #[test]
    fn parameter_with_a_default_is_left_out() {
        assert_eq!(overrides(&parameters(&[("A", ""), ("B", "b")])), "B=\"b\"");
    }

    #[test]
    fn unknown_parameter_is_refused_with_a_similar_name() {
        let known = parse_pair("GenesysRegion=eu-central-1");
        assert_eq!(known, Ok(("GenesysRegion".to_owned(), "eu-central-1".to_owned())));
        let error = parse_pair("GenesysReigon=x").err().map(|error| error.to_string());
        let expected =
            "GenesysReigon is not a parameter of the template; a similar name is GenesysRegion";
        assert_eq!(error.as_deref(), Some(expected));
        assert!(matches!(parse_pair("=x"), Err(ParameterError::NotAPair { .. })));
    }

    #[test]
    fn parameter_names_are_those_of_the_template() {
        let template = include_str!("../../../../../template.yaml");
        let section = template.split("\nParameters:\n").nth(1).unwrap_or_default();
        let section = section.split("\n# Numbers that depend").next().unwrap_or_default();
        let names = section.lines().filter_map(|line| {
            let name = line.strip_prefix("  ")?.strip_suffix(':')?;
            name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
        });
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        assert_eq!(names, PARAMETER_NAMES);
    }
}
