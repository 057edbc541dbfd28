use std::collections::BTreeMap;

use genesys_replay_settings::other_names::OTHER_NAMES;

use super::*;

/// Reads the minimum settings, with `given` added.
fn read(given: &[(&str, &str)]) -> Result<IngestSettings, SettingsError> {
    let mut settings = BTreeMap::from([
        ("REPLAY_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/271828182845/dead-letters"),
        ("INGEST_SECRET", "whsec_Z2VuZXN5cy1yZXBsYXktaW5nZXN0LXRlc3Q="),
        ("SUBSCRIPTION_CHECK", "off"),
    ]);
    settings.extend(given.iter().copied());
    IngestSettings::from_lookup(|name| settings.get(name).map(|value| (*value).to_owned()))
}

/// Returns the problems of the settings, if there are any.
fn problems(given: &[(&str, &str)]) -> Vec<String> {
    read(given).err().map(|error| error.problems).unwrap_or_default()
}

#[test]
fn settings_need_only_a_queue_and_a_secret() -> Result<(), SettingsError> {
    let settings = read(&[])?;
    assert_eq!(settings.host, Host::Server(SocketAddr::from(([0, 0, 0, 0], 8080))));
    assert_eq!(settings.max_body_bytes, 1_048_576);
    assert_eq!(settings.auth.as_str(), "signature");
    assert!(settings.check.is_none() && settings.unencrypted().is_empty());
    assert_eq!(settings.log_level, LogLevel::Info);
    Ok(())
}

#[test]
fn settings_are_all_read() -> Result<(), SettingsError> {
    let settings = read(&[
        ("REPLAY_QUEUE_URL", "http://127.0.0.1:4566/000000000000/q.fifo"),
        ("INGEST_SECRET", ""),
        ("INGEST_SECRET_ID", "ingest/secret"),
        ("LISTEN_ADDR", "[::1]:9000"),
        ("MAX_BODY_BYTES", "1024"),
        ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
        ("SUBSCRIPTION_CHECK", "eventstreams"),
        ("GENESYS_REGION", "eu-central-1"),
        ("GENESYS_SECRET_ID", "genesys"),
    ])?;
    assert_eq!(settings.queue_url.as_str(), "http://127.0.0.1:4566/000000000000/q.fifo");
    assert!(
        matches!(&settings.auth, Auth::Signature(KeySetting::Secret(id)) if id == "ingest/secret")
    );
    assert_eq!(settings.host, Host::Server(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9000))));
    assert_eq!(settings.max_body_bytes, 1_024);
    assert_eq!(settings.log_level, LogLevel::Warn);
    let form = settings.check.as_ref().map(|(form, _)| *form);
    assert_eq!(form, Some(SubscriptionForm::EventStreams));
    assert_eq!(settings.unencrypted(), ["REPLAY_QUEUE_URL"]);
    Ok(())
}

#[test]
fn subscription_check_follows_the_api_unless_set() {
    use SubscriptionForm::{EventStreams, Integration};
    let client = [("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "hush")];
    for (check, place, expected) in [
        ("", ("GENESYS_REGION", "eu-central-1"), Integration),
        ("", ("GENESYS_ORG_ID", "acme"), EventStreams),
        ("eventstreams", ("GENESYS_REGION", "eu-central-1"), EventStreams),
        ("integration", ("GENESYS_ORG_ID", "acme"), Integration),
    ] {
        let given = [("SUBSCRIPTION_CHECK", check), place, client[0], client[1]];
        let form = read(&given).map(|settings| settings.check.map(|(form, _)| form));
        assert_eq!(form, Ok(Some(expected)), "{check} {place:?}");
    }
}

#[test]
fn secret_is_not_needed_for_iam_or_no_authentication() -> Result<(), SettingsError> {
    let nobody = read(&[("INGEST_AUTH", "none"), ("INGEST_SECRET", "")])?;
    assert_eq!(nobody.auth.as_str(), "none");
    let lambda = [
        ("INGEST_AUTH", "iam"),
        ("INGEST_SECRET", ""),
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_LAMBDA_FUNCTION_NAME", "stack-ingest"),
        // Not read in Lambda.
        ("LISTEN_ADDR", "nowhere"),
    ];
    let lambda = read(&lambda)?;
    assert_eq!(lambda.auth.as_str(), "iam");
    assert_eq!(lambda.host, Host::Lambda("stack-ingest".to_owned()));
    Ok(())
}

#[test]
fn settings_problems_name_their_variable() {
    for (given, problem) in [
        (("REPLAY_QUEUE_URL", ""), "REPLAY_QUEUE_URL is missing"),
        (("REPLAY_QUEUE_URL", "dead-letters"), "REPLAY_QUEUE_URL must be"),
        (
            ("REPLAY_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/"),
            "REPLAY_QUEUE_URL must be",
        ),
        (("INGEST_SECRET", ""), "INGEST_SECRET_ID is missing"),
        (("INGEST_SECRET", "hush-hush"), "INGEST_SECRET cannot be used: secret 1"),
        (("INGEST_SECRET_ID", "name"), "INGEST_SECRET must not be set beside INGEST_SECRET_ID"),
        (("INGEST_AUTH", "basic"), "INGEST_AUTH must be one of"),
        (("INGEST_AUTH", "iam"), "INGEST_AUTH must not be 'iam' outside of Lambda"),
        (("LISTEN_ADDR", ":8080"), "LISTEN_ADDR must be"),
        (("MAX_BODY_BYTES", "1023"), "MAX_BODY_BYTES must be"),
        (("SUBSCRIPTION_CHECK", "on"), "SUBSCRIPTION_CHECK must be one of"),
        (("AWS_LAMBDA_LOG_LEVEL", "loud"), "AWS_LAMBDA_LOG_LEVEL must be one of"),
    ] {
        let found = problems(&[given]);
        assert!(found.iter().any(|it| it.starts_with(problem)), "{problem}: {found:?}");
        assert!(!found.iter().any(|it| it.contains("hush")), "{found:?}");
    }
    let both = problems(&[("INGEST_SECRET", ""), ("INGEST_SECRET_ID", "no such name")]);
    assert_eq!(both, ["INGEST_SECRET_ID is not the name or ARN of a secret"]);
}

#[test]
fn settings_read_only_documented_variables() {
    let asked = std::cell::RefCell::new(Vec::new());
    for auth in ["signature", "none"] {
        let settings = IngestSettings::from_lookup(|name| {
            asked.borrow_mut().push(name.to_owned());
            (name == "INGEST_AUTH").then(|| auth.to_owned())
        });
        assert!(settings.is_err());
    }
    let lambda = IngestSettings::from_lookup(|name| {
        asked.borrow_mut().push(name.to_owned());
        (name == "AWS_LAMBDA_RUNTIME_API").then(|| "127.0.0.1:9001".to_owned())
    });
    assert!(lambda.is_err());
    let mut asked = asked.into_inner();
    asked.sort();
    asked.dedup();
    asked.retain(|name| !OTHER_NAMES.iter().any(|other| other.name == name));
    assert_eq!(asked, genesys_replay_settings::INGEST_VARIABLES);
}

#[test]
fn base_path_must_be_a_path() {
    let path = |text| read(&[("INGEST_BASE_PATH", text)]).map(|settings| settings.base_path);
    assert_eq!(path("/hooks/"), Ok(BasePath::parse("/hooks").unwrap_or_default()));
    assert_eq!(path(""), Ok(BasePath::default()));
    let problems = problems(&[("INGEST_BASE_PATH", "hooks/{id}")]);
    assert!(problems.iter().any(|it| it.starts_with("INGEST_BASE_PATH must be")), "{problems:?}");
}
