use std::collections::BTreeMap;

use genesys_replay::genesys::ApiForm;
use genesys_replay_genesys::CredentialSetting;
use secrecy::ExposeSecret;

use super::other_names::OTHER_NAMES;
use super::*;

const MINIMUM: [(&str, &str); 3] = [
    ("GENESYS_REGION", "eu-central-1"),
    ("GENESYS_CLIENT_ID", "client"),
    ("GENESYS_CLIENT_SECRET", "hush-hush"),
];

fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Settings::from_lookup(|name| {
        let is_listed =
            VARIABLES.contains(&name) || OTHER_NAMES.iter().any(|other| other.name == name);
        assert!(is_listed, "{name} is not in VARIABLES");
        variables.get(name).map(|value| (*value).to_owned())
    })
}

fn with(more: &[(&'static str, &'static str)]) -> Result<Settings, SettingsError> {
    read(&[&MINIMUM, more].concat())
}

fn problems(result: Result<Settings, SettingsError>) -> Vec<String> {
    result.map_or_else(|error| error.problems, |_| Vec::new())
}

fn genesys(result: Result<Settings, SettingsError>) -> Option<GenesysSettings> {
    result.ok()?.retry_state.genesys().cloned()
}

#[test]
fn defaults_are_those_of_the_readme() -> Result<(), SettingsError> {
    let settings = with(&[])?;
    assert_eq!(settings.table, "GenesysRetryIdempotency");
    assert_eq!(settings.remember, Duration::from_secs(15 * 24 * 3_600));
    assert!(matches!(
        settings.target,
        ReplayTarget::Original(OriginalTargets { allowed: AllowedTargets::Any, .. })
    ));
    assert_eq!(settings.reach, AddressPolicy::BlockLinkLocal);
    assert_eq!(settings.archive, None);
    assert_eq!(settings.max_concurrency, 10);
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.log_level, LogLevel::Info);
    assert!(matches!(settings.retry_state, RetryStateSetting::Required(_)));
    Ok(())
}

#[test]
fn settings_problems_are_all_reported_at_once() {
    let wrong = [
        ("GENESYS_REGION", "atlantis"),
        ("GENESYS_API", "soap"),
        ("RETRY_STATE", "perhaps"),
        ("REPLAY_TARGET", "ftp://files.example"),
        ("IDEMPOTENCY_TABLE_NAME", "no spaces, please"),
        ("MAX_ATTEMPTS", "0"),
        ("MAX_RECEIVES", "many"),
        ("BACKOFF_BASE_SECONDS", "-1"),
        ("BACKOFF_MAX_SECONDS", "43201"),
        ("MAX_WAIT_SECONDS", "1.5"),
        ("MAX_CONCURRENCY", "4294967296"),
        ("IDEMPOTENCY_TTL_DAYS", "14"),
        ("REPLAY_PERMANENT", "yes"),
        ("ALLOWED_TARGETS", "crm-sync"),
        ("ALLOW_LINK_LOCAL_TARGETS", "maybe"),
        ("ARCHIVE_BUCKET", "no spaces, please"),
        ("ARCHIVE_PREFIX", "/absolute"),
        ("AWS_LAMBDA_LOG_LEVEL", "LOUD"),
    ];
    let problems = problems(read(&wrong));
    for name in
        wrong.map(|(name, _)| name).iter().chain(&["GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"])
    {
        let hits =
            problems.iter().filter(|problem| problem.starts_with(&format!("{name} "))).count();
        assert_eq!(hits, 1, "{name} in {problems:?}");
    }
    assert_eq!(problems.len(), wrong.len() + 2, "{problems:?}");
}

#[test]
fn invalid_organisation_is_reported_under_its_own_name() {
    let problems =
        problems(read(&[("GENESYS_ORG_ID", "xn--a"), ("GENESYS_SECRET_ID", "genesys/client")]));
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(problem.starts_with("GENESYS_ORG_ID "), "{problem}");
    }
}

#[test]
fn empty_value_counts_as_missing() {
    let empty: Vec<_> = VARIABLES.iter().map(|name| (*name, " ")).collect();
    assert_eq!(
        problems(read(&empty)),
        problems(read(&[])),
        "a template passes empty values for unset parameters"
    );
}

#[test]
fn backoff_base_is_refused_above_its_maximum() {
    assert_eq!(
        problems(with(&[("BACKOFF_BASE_SECONDS", "60"), ("BACKOFF_MAX_SECONDS", "30")])),
        ["BACKOFF_BASE_SECONDS must not be more than BACKOFF_MAX_SECONDS"]
    );
    let steady = with(&[("BACKOFF_BASE_SECONDS", "30"), ("BACKOFF_MAX_SECONDS", "30")]);
    assert!(steady.is_ok(), "the same wait each time");
}

#[test]
fn genesys_hosts_follow_region_domain_or_organisation() {
    for (variables, form, api, login) in [
        (
            &[("GENESYS_REGION", "eu-west-1")][..],
            ApiForm::Conversations,
            "https://api.mypurecloud.ie/",
            "https://login.mypurecloud.ie/",
        ),
        (
            &[("GENESYS_REGION", "New1.Pure.Cloud")],
            ApiForm::Conversations,
            "https://api.new1.pure.cloud/",
            "https://login.new1.pure.cloud/",
        ),
        (
            &[("GENESYS_ORG_ID", "acme")],
            ApiForm::Interactions,
            "https://acme.mypurecloud.com/",
            "https://acme.mypurecloud.com/",
        ),
        (
            &[("GENESYS_ORG_ID", "acme"), ("GENESYS_REGION", "us-west-2")],
            ApiForm::Conversations,
            "https://api.usw2.pure.cloud/",
            "https://login.usw2.pure.cloud/",
        ),
        (
            &[
                ("GENESYS_API_BASE_URL", "http://127.0.0.1:4000/proxy"),
                ("GENESYS_LOGIN_BASE_URL", "http://127.0.0.1:4001"),
            ],
            ApiForm::Conversations,
            "http://127.0.0.1:4000/proxy",
            "http://127.0.0.1:4001/",
        ),
        (
            &[
                ("GENESYS_ORG_ID", "acme"),
                ("GENESYS_API_BASE_URL", "http://127.0.0.1:4000"),
                ("GENESYS_LOGIN_BASE_URL", "http://127.0.0.1:4001"),
            ],
            ApiForm::Interactions,
            "http://127.0.0.1:4000/",
            "http://127.0.0.1:4001/",
        ),
        (
            &[("GENESYS_ORG_ID", "acme"), ("GENESYS_API", "conversations")],
            ApiForm::Conversations,
            "https://acme.mypurecloud.com/",
            "https://acme.mypurecloud.com/",
        ),
    ] {
        let genesys = genesys(read(&[&MINIMUM[1..], variables].concat()));
        let seen = genesys.map(|it| (it.form, it.api_base.to_string(), it.login_base.to_string()));
        assert_eq!(seen, Some((form, api.to_owned(), login.to_owned())), "{variables:?}");
    }
}

#[test]
fn host_setting_is_refused_with_other_url_parts() {
    for (name, value) in [
        ("GENESYS_REGION", "evil.example/path"),
        ("GENESYS_REGION", "user@evil.example"),
        ("GENESYS_REGION", "a..b"),
        ("GENESYS_ORG_ID", "evil.example/x"),
        ("GENESYS_ORG_ID", "-"),
        ("GENESYS_API_BASE_URL", "https://user:pass@proxy.example"),
        ("GENESYS_API_BASE_URL", "https://user@proxy.example"),
        ("GENESYS_API_BASE_URL", "https://:pass@proxy.example"),
        ("GENESYS_API_BASE_URL", "https://proxy.example/?q=1"),
        ("GENESYS_API_BASE_URL", "https://proxy.example/#part"),
        ("GENESYS_LOGIN_BASE_URL", "login.example"),
    ] {
        let problems = problems(read(&[&MINIMUM[1..], &[(name, value)]].concat()));
        assert!(
            problems.iter().any(|problem| problem.starts_with(name)),
            "{name}={value}: {problems:?}"
        );
    }
}

#[test]
fn credentials_are_not_needed_when_retry_state_is_off() {
    let settings = read(&[("RETRY_STATE", "off")]);
    assert!(settings.is_ok_and(|settings| matches!(settings.retry_state, RetryStateSetting::Off)));
}

#[test]
fn target_is_original_none_an_arn_or_a_url() {
    let target = |text: &'static str| {
        with(&[("REPLAY_TARGET", text)]).map(|settings| settings.target.to_string()).ok()
    };
    for text in [
        "original",
        "none",
        "arn:aws:lambda:eu-central-1:271828182845:function:crm",
        "arn:aws:sqs:eu-central-1:271828182845:crm.fifo",
        "arn:aws:sns:eu-central-1:271828182845:crm",
        "arn:aws:states:eu-central-1:271828182845:stateMachine:crm",
        "arn:aws:events:eu-central-1:271828182845:event-bus/crm",
        "http://127.0.0.1:4002/targets/crm",
    ] {
        assert_eq!(target(text).as_deref(), Some(text));
    }
    let with_query = target("https://crm.example/events?token=hush");
    assert_eq!(with_query.as_deref(), Some("https://crm.example/events"));
    for text in [
        "Original",
        "crm.example",
        "ftp://crm.example",
        "https://user:pass@crm.example",
        "https://user@crm.example",
        "https://:pass@crm.example",
        "arn:aws:ecs:eu-central-1:271828182845:cluster/crm",
        "http://169.254.169.254/latest/meta-data",
    ] {
        assert_eq!(target(text), None, "{text}");
    }
}

#[test]
fn link_local_target_needs_its_own_setting() {
    let settings = with(&[
        ("REPLAY_TARGET", "http://169.254.10.10/events"),
        ("ALLOW_LINK_LOCAL_TARGETS", "true"),
    ]);
    assert!(settings.is_ok_and(|settings| settings.reach == AddressPolicy::AllowAll));
}

#[test]
fn allowed_targets_are_patterns_of_arns() -> Result<(), SettingsError> {
    let settings =
        with(&[("ALLOWED_TARGETS", "arn:aws:lambda:*:*:function:crm-*, arn:aws:sqs:*:*:crm")])?;
    let allowed = |arn: &str| {
        let destination = settings.target.destination(Some(arn), &[]);
        !matches!(destination, Destination::NotAllowed(_))
    };
    assert!(allowed("arn:aws:lambda:eu-central-1:271828182845:function:crm-sync"));
    assert!(allowed("arn:aws:sqs:eu-central-1:271828182845:crm"));
    assert!(!allowed("arn:aws:sqs:eu-central-1:271828182845:other"));
    Ok(())
}

#[test]
fn fixed_arn_is_refused_when_too_long_for_the_event_key() {
    let queue = "arn:aws:sqs:eu-central-1:271828182845:";
    for (length, fits) in [(MAX_TARGET_BYTES, true), (MAX_TARGET_BYTES + 1, false)] {
        let arn = format!("{queue}{}", "q".repeat(length - queue.len()));
        let read = read(&[&MINIMUM[..], &[("REPLAY_TARGET", &arn)]].concat());
        assert_eq!(read.is_ok(), fits, "{length} bytes");
    }
}

#[test]
fn fixed_arn_has_to_be_allowed() {
    let arn = "arn:aws:sqs:eu-central-1:271828182845:crm";
    let allowed =
        |patterns: &'static str| with(&[("REPLAY_TARGET", arn), ("ALLOWED_TARGETS", patterns)]);
    assert!(allowed("").is_ok());
    assert!(allowed("arn:aws:sqs:*:*:crm").is_ok());
    assert_eq!(
        problems(allowed("arn:aws:lambda:*")),
        ["REPLAY_TARGET is not covered by ALLOWED_TARGETS"]
    );
}

#[test]
fn archive_is_a_bucket_and_a_prefix() -> Result<(), SettingsError> {
    let archive = |prefix: &'static str| {
        with(&[("ARCHIVE_BUCKET", "crm-archive"), ("ARCHIVE_PREFIX", prefix)]).map(|it| it.archive)
    };
    let expected = |prefix: &str| {
        Some(ArchiveSettings { bucket: "crm-archive".to_owned(), prefix: prefix.to_owned() })
    };
    assert_eq!(archive("")?, expected("dlq/archives/"));
    assert_eq!(archive("kept-")?, expected("kept-"));
    assert!(archive("/kept/").is_err());
    Ok(())
}

#[test]
fn archive_prefix_is_limited_to_256_characters() {
    for (length, fits) in [(256, true), (257, false)] {
        let prefix = "p".repeat(length);
        let read = read(&[&MINIMUM[..], &[("ARCHIVE_PREFIX", &prefix)]].concat());
        assert_eq!(read.is_ok(), fits, "{length} bytes");
    }
}

#[test]
fn secret_is_stored_and_never_shown() -> Result<(), SettingsError> {
    let settings = with(&[])?;
    assert!(!format!("{settings:?}").contains("hush-hush"));
    let given = genesys(Ok(settings)).and_then(|it| match it.credentials {
        CredentialSetting::Given(it) => Some(it.client_secret.expose_secret().to_owned()),
        CredentialSetting::Secret(_) => None,
    });
    assert_eq!(given.as_deref(), Some("hush-hush"));
    Ok(())
}

#[test]
fn secret_replaces_client_id_and_client_secret() {
    const SECRET: (&str, &str) = ("GENESYS_SECRET_ID", "genesys/replay");
    let alone = genesys(read(&[MINIMUM[0], SECRET]));
    let named = alone.map(
        |it| matches!(it.credentials, CredentialSetting::Secret(id) if id == "genesys/replay"),
    );
    assert_eq!(named, Some(true));

    let both = problems(with(&[SECRET]));
    assert_eq!(
        both,
        [
            "GENESYS_CLIENT_ID must not be set beside GENESYS_SECRET_ID",
            "GENESYS_CLIENT_SECRET must not be set beside GENESYS_SECRET_ID",
        ]
    );
    let arn = "arn:aws:secretsmanager:eu-central-1:271828182845:secret:genesys/replay-AbCdEf";
    for (id, fits) in [(arn, true), ("a{b}", false), ("two words", false)] {
        let accepted = read(&[MINIMUM[0], ("GENESYS_SECRET_ID", id)]).is_ok();
        assert_eq!(accepted, fits, "{id}");
    }
    let neither = problems(read(&[MINIMUM[0]]));
    assert!(neither.iter().all(|problem| problem.contains("GENESYS_SECRET_ID")));
    assert_eq!(neither.len(), 2, "{neither:?}");
}

#[test]
fn known_regions_have_a_host() {
    for region in ["us-east-1", "us-east-2", "me-central-1", "ap-southeast-2", "eusc-de-east-1"] {
        assert!(
            genesys(read(&[&MINIMUM[1..], &[("GENESYS_REGION", region)]].concat())).is_some(),
            "{region}"
        );
    }
}

#[test]
fn allowed_targets_are_any_when_a_pattern_matches_everything() {
    for patterns in ["*", "*,", "**", "arn:aws:sqs:*, *"] {
        let target = with(&[("ALLOWED_TARGETS", patterns)]).map(|settings| settings.target);
        assert!(
            matches!(
                target,
                Ok(ReplayTarget::Original(OriginalTargets { allowed: AllowedTargets::Any, .. }))
            ),
            "{patterns}"
        );
    }
    for empty in [",", " , ,"] {
        let problem = "ALLOWED_TARGETS contains no pattern: every event would be rejected";
        assert_eq!(problems(with(&[("ALLOWED_TARGETS", empty)])), [problem]);
    }
}

#[test]
fn table_is_a_name_or_the_arn_of_a_table() {
    let table = |value: &'static str| with(&[("IDEMPOTENCY_TABLE_NAME", value)]).is_ok();
    for usable in ["ledger", "a-b_c.9", "arn:aws:dynamodb:eu-central-1:271828182845:table/ledger"] {
        assert!(table(usable), "{usable}");
    }
    for wrong in [
        "a/b",
        "ab",
        "table/ledger",
        "arn:aws:dynamodb:eu-central-1:271828182845:table/a/b",
        "arn:aws:sqs:eu-central-1:271828182845:ledger",
    ] {
        assert!(!table(wrong), "{wrong}");
    }
}

#[test]
fn bucket_is_a_name_or_the_arn_of_an_access_point() {
    let bucket = |value: &'static str| with(&[("ARCHIVE_BUCKET", value)]).is_ok();
    let access_point = "arn:aws:s3:eu-central-1:271828182845:accesspoint/archive";
    for usable in ["crm-archive", "crm.archive", access_point] {
        assert!(bucket(usable), "{usable}");
    }
    for wrong in ["arn:aws:s3:::crm-archive", "s3://crm-archive", "crm/archive", "ab"] {
        assert!(!bucket(wrong), "{wrong}");
    }
}
