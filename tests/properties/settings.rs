//! The settings: each variable is accepted or refused by its name.

use std::collections::BTreeMap;

use genesys_replay_genesys::CredentialSetting;
use genesys_replay_settings::other_names::OTHER_NAMES;
use genesys_replay_settings::{RetryStateSetting, Settings, SettingsError, VARIABLES};
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::ExposeSecret;

use crate::samples::odd_text;

type Environment = BTreeMap<&'static str, String>;

/// The integer settings and their bounds.
const NUMBERS: &[(&str, i64, i64)] = &[
    ("BACKOFF_BASE_SECONDS", 0, 900),
    ("BACKOFF_MAX_SECONDS", 1, 43_200),
    ("IDEMPOTENCY_TTL_DAYS", 15, 3_650),
    ("MAX_ATTEMPTS", 1, 100),
    ("MAX_CONCURRENCY", 1, 1_000),
    ("MAX_RECEIVES", 1, 1_000),
    ("MAX_WAIT_SECONDS", 0, 900),
];

/// Usual values of settings, valid and nearly valid, for any variable.
const USUAL: &[&str] = &[
    "true",
    "false",
    "off",
    "best-effort",
    "required",
    "original",
    "none",
    "interactions",
    "conversations",
    "eu-central-1",
    "mypurecloud.de",
    "xn--a.xn--",
    "1.2.3.999",
    "acme",
    "no host",
    "10",
    "900",
    "0",
    "+5",
    "1e3",
    "arn:aws:sqs:eu-west-1:271828182845:queue",
    "arn:aws:lambda:*:*:function:crm-*",
    "arn:",
    "https://crm.example/events",
    "https://user:word@crm.example",
    "http://169.254.169.254/",
    "https://[::1",
    "prefix/",
    "/prefix",
    "DEBUG",
];

fn read(environment: &Environment) -> Result<Settings, SettingsError> {
    Settings::from_lookup(|name| environment.get(name).cloned())
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(USUAL).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => odd_text(),
    ]
}

/// Variables that are each enough to configure the marks, or to turn them off.
const COMPLETE: &[&[(&str, &str)]] = &[
    &[
        ("GENESYS_REGION", "eu-central-1"),
        ("GENESYS_CLIENT_ID", "client"),
        ("GENESYS_CLIENT_SECRET", "hush-hush"),
    ],
    &[("GENESYS_ORG_ID", "acme"), ("GENESYS_SECRET_ID", "genesys/client")],
    &[
        ("GENESYS_API_BASE_URL", "http://localhost:8080"),
        ("GENESYS_LOGIN_BASE_URL", "http://localhost:8080"),
        ("GENESYS_CLIENT_ID", "client"),
        ("GENESYS_CLIENT_SECRET", "hush-hush"),
    ],
    &[("RETRY_STATE", "off")],
];

/// Returns complete settings with a few changed variables.
fn environments() -> impl Strategy<Value = Environment> {
    let change = (select(VARIABLES), prop::option::weighted(0.8, values()));
    let changes = prop::collection::vec(change, 0..8);
    (select(COMPLETE), changes).prop_map(|(complete, changes)| {
        let mut environment: Environment =
            complete.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for (name, value) in changes {
            match value {
                Some(value) => environment.insert(name, value),
                None => environment.remove(name),
            };
        }
        environment
    })
}

/// Returns a text that is unique.
fn secrets() -> impl Strategy<Value = String> {
    "[A-Za-z0-9]{8}-s3cr3t-[A-Za-z0-9]{8}"
}

/// Returns the settings without the parts that their `Debug` hides.
fn shown(result: &Result<Settings, SettingsError>) -> (String, Option<String>) {
    let secret = result.as_ref().ok().and_then(|settings| {
        match &settings.retry_state.genesys()?.credentials {
            CredentialSetting::Given(given) => Some(given.client_secret.expose_secret().to_owned()),
            CredentialSetting::Secret(_) => None,
        }
    });
    (format!("{result:?}"), secret)
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn settings_problem_begins_with_its_variable(environment in environments()) {
        let Err(error) = read(&environment) else {
            return Ok(());
        };
        prop_assert!(!error.problems.is_empty());
        let message = error.to_string();
        for problem in &error.problems {
            let name = problem.split(' ').next().unwrap_or_default();
            prop_assert!(VARIABLES.contains(&name), "{}", problem);
            prop_assert!(message.contains(problem.as_str()), "all in one message");
        }
    }

    #[test]
    fn settings_problem_names_a_set_variable(environment in environments()) {
        for problem in read(&environment).err().into_iter().flat_map(|error| error.problems) {
            let about = VARIABLES.iter().any(|name| {
                environment.get(name).is_some_and(|value| !value.trim().is_empty())
                    && problem.split([' ', ',']).any(|word| word == *name)
            });
            prop_assert!(about || problem.contains(" is missing"), "{}", problem);
        }
    }

    #[test]
    fn accepted_settings_are_consistent(environment in environments()) {
        let Ok(settings) = read(&environment) else {
            return Ok(());
        };
        let limits = settings.limits;
        prop_assert!(limits.backoff.base <= limits.backoff.max);
        prop_assert!(settings.max_concurrency > 0 && limits.max_attempts > 0);
        let mode = environment.get("RETRY_STATE").map_or("", |text| text.trim());
        let expected = if mode.is_empty() { "required" } else { mode };
        prop_assert_eq!(settings.retry_state.as_str(), expected);
        match &settings.retry_state {
            RetryStateSetting::Off => {}
            RetryStateSetting::Required(genesys) | RetryStateSetting::BestEffort(genesys) => {
                for url in [&genesys.api_base, &genesys.login_base] {
                    let host = url.host_str().unwrap_or_default();
                    prop_assert!(!host.is_empty() && host != "genesys.invalid", "{}", url);
                }
                if let CredentialSetting::Given(given) = &genesys.credentials {
                    prop_assert!(!given.client_id.is_empty());
                    prop_assert!(!given.client_secret.expose_secret().is_empty());
                }
            }
        }
    }

    #[test]
    fn number_setting_is_refused_outside_its_bounds(
        (name, least, most) in select(NUMBERS),
        offset in prop_oneof![-3_i64..=3, any::<i32>().prop_map(i64::from), any::<i64>()],
        from_most in any::<bool>(),
    ) {
        let number = if from_most { most } else { least }.saturating_add(offset);
        let mut environment = Environment::from([("RETRY_STATE", "off".to_owned())]);
        // The value is compared with the other bound.
        environment.insert("BACKOFF_BASE_SECONDS", "0".to_owned());
        environment.insert("BACKOFF_MAX_SECONDS", "43200".to_owned());
        environment.insert(name, number.to_string());
        let result = read(&environment);
        let inside = (least..=most).contains(&number);
        prop_assert_eq!(result.is_ok(), inside, "{}={}", name, number);
        match result {
            Ok(settings) => {
                let taken = match name {
                    "BACKOFF_BASE_SECONDS" => settings.limits.backoff.base.as_secs(),
                    "BACKOFF_MAX_SECONDS" => settings.limits.backoff.max.as_secs(),
                    "IDEMPOTENCY_TTL_DAYS" => settings.remember.as_secs() / 86_400,
                    "MAX_ATTEMPTS" => settings.limits.max_attempts.into(),
                    "MAX_CONCURRENCY" => settings.max_concurrency as u64,
                    "MAX_RECEIVES" => settings.limits.max_receives.into(),
                    _ => settings.limits.max_wait.as_secs(),
                };
                prop_assert_eq!(i64::try_from(taken), Ok(number));
            }
            Err(error) => prop_assert!(
                matches!(&*error.problems, [only] if only.starts_with(&format!("{name} "))),
                "{}", error
            ),
        }
    }

    #[test]
    fn settings_ignore_space_around_values(
        environment in environments(),
        before in "[ \t\r\n]{0,3}",
        after in "[ \t\r\n]{0,3}",
    ) {
        let padded: Environment = environment
            .iter()
            .map(|(name, value)| (*name, format!("{before}{value}{after}")))
            .collect();
        prop_assert_eq!(shown(&read(&padded)), shown(&read(&environment)));
    }

    #[test]
    fn settings_ignore_unknown_variables(environment in environments(), other in odd_text()) {
        let with_others = |name: &str| {
            let known = VARIABLES.contains(&name)
                || OTHER_NAMES.iter().any(|other| other.name == name);
            if known { environment.get(name).cloned() } else { Some(other.clone()) }
        };
        prop_assert_eq!(
            shown(&Settings::from_lookup(with_others)),
            shown(&read(&environment))
        );
    }

    #[test]
    fn secret_is_never_shown(
        environment in environments(),
        secret in secrets(),
        also in select(VARIABLES),
        around in select(&[
            ("", ""), ("https://user:", "@crm.example"), ("https://crm.example/?token=", ""),
            ("https://crm.example/#", ""), ("ftp://", ""), ("7", ""), ("arn:", ""),
        ][..]),
    ) {
        let mut environment = environment;
        environment.insert("GENESYS_CLIENT_SECRET", secret.clone());
        if let Ok(settings) = read(&environment) {
            let shown = format!("{settings:?} {settings:#?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
        // A secret in a wrong variable is refused and not shown.
        environment.insert(also, format!("{}{secret}{}", around.0, around.1));
        if let Err(error) = read(&environment) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
        // The secret part of the target's URL is not shown.
        environment.insert("REPLAY_TARGET", format!("https://crm.example/?token={secret}"));
        environment.remove(also);
        if let Ok(settings) = read(&environment) {
            let shown = format!("{settings:?} {}", settings.target);
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
    }
}
