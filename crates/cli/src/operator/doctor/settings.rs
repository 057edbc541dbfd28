//! Checks the settings, and settings of the seed tutorials that were left in place.

use url::Url;

use super::{Check, Known, Subject};

const SETTINGS: &str = "settings";
const HOSTS: &str = "Genesys hosts";
const SCOPES: &str = "scopes";

/// The seed tutorials' names of settings, each with its remedy. No program reads these names.
const RENAMED: &[(&str, &str)] = &[
    (
        "OAUTH_CLIENT_ID",
        "set GENESYS_CLIENT_ID, or keep id and secret in the secret of GENESYS_SECRET_ID",
    ),
    (
        "OAUTH_CLIENT_SECRET",
        "set GENESYS_CLIENT_SECRET, or keep id and secret in the secret of GENESYS_SECRET_ID",
    ),
    (
        "OAUTH_SECRET",
        "set GENESYS_CLIENT_SECRET, or keep id and secret in the secret of GENESYS_SECRET_ID",
    ),
    (
        "GENESYS_BASE_URL",
        "set GENESYS_REGION: both hosts follow from it",
    ),
    (
        "GENESYS_ENVIRONMENT",
        "set GENESYS_REGION: it takes the same domain",
    ),
    (
        "TOKEN_URL",
        "set GENESYS_REGION: the token's host follows from it",
    ),
    ("TARGET_API_URL", "set REPLAY_TARGET"),
    (
        "DLQ_QUEUE_URL",
        "name the queue with --queue or REPLAY_QUEUE_URL; the function's is that of its event source mapping",
    ),
    (
        "SQS_MAIN_QUEUE_URL",
        "name the queue with --queue or REPLAY_QUEUE_URL; the function's is that of its event source mapping",
    ),
    (
        "SQS_DLQ_URL",
        "the parking queue is the one in the queue's redrive policy",
    ),
    ("DLQ_REGION", "set AWS_REGION, or give --region"),
    ("S3_ARCHIVE_BUCKET", "set ARCHIVE_BUCKET"),
    ("IDEMPOTENCY_TABLE", "set IDEMPOTENCY_TABLE_NAME"),
    (
        "GENESYS_SUBSCRIPTION_ID",
        "give it to the commands that need it: import --subscription, replay --subscription",
    ),
];

/// The scopes that the seed tutorials require.
const TUTORIAL_SCOPES: &[&str] = &[
    "analytics:conversationdetail:query",
    "analytics:events:read",
    "eventbridge:endpoint:read",
    "eventbridge:subscriptions:read",
    "eventbridge:failed-events:read",
    "eventbridge:replay:write",
    "eventstreams:read",
    "eventstreams:write",
    "interaction:read",
    "interaction:write",
    "outbound:campaign:write",
];

/// The suffixes of Genesys Cloud's domains.
const FAMILIES: &[&str] = &[
    "mypurecloud.com",
    "mypurecloud.ie",
    "mypurecloud.de",
    "mypurecloud.com.au",
    "mypurecloud.jp",
    "pure.cloud",
    "us-gov-pure.cloud",
    "eusc-pure.cloud",
];

pub(super) fn look(subject: &Subject) -> Vec<Check> {
    if let Some(error) = &subject.unread {
        let remedy = "repair what is said of the function; or leave --function out and set the variables in the environment";
        return vec![Check::error(SETTINGS, error.to_string(), remedy)];
    }
    let variables = &subject.variables;
    let mut checks: Vec<Check> = subject
        .problems
        .iter()
        .map(|problem| {
            let remedy = "set it on the function (a parameter of the template): it does not start until then";
            Check::error(SETTINGS, problem.clone(), remedy)
        })
        .collect();
    if checks.is_empty() {
        checks.push(Check::ok(SETTINGS, "the function starts with them"));
    }
    let value = |name: &str| {
        let found = variables.iter().find(|(it, _)| it == name);
        found
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    checks.extend(
        RENAMED
            .iter()
            .filter(|(name, _)| value(name).is_some())
            .map(|(name, remedy)| {
                Check::warning(
                    SETTINGS,
                    format!("{name} is a tutorial's variable, and nothing reads it"),
                    *remedy,
                )
            }),
    );
    checks.extend(
        variables
            .iter()
            .filter_map(|(name, _)| unread(name, subject)),
    );
    checks.extend(
        variables
            .iter()
            .filter_map(|(name, value)| scopes(name, value)),
    );
    checks.extend(
        variables
            .iter()
            .filter_map(|(name, value)| token_url(name, value)),
    );
    if let Some(region) = value("GENESYS_REGION") {
        checks.extend(prefixed_region(region));
    }
    let from_organisation = value("GENESYS_REGION").is_none() && value("GENESYS_ORG_ID").is_some();
    checks.extend(hosts(subject.settings.as_ref(), from_organisation));
    checks
}

/// Returns a warning for a variable that resembles a setting but is not read: misspelt, or of an older version.
fn unread(name: &str, subject: &Subject) -> Option<Check> {
    let is_ours = name.starts_with("GENESYS_") && !name.starts_with("GENESYS_REPLAY_");
    let is_known = subject.known_variables.contains(&name)
        || RENAMED.iter().any(|(renamed, _)| *renamed == name);
    (is_ours && !is_known).then(|| {
        Check::warning(
            SETTINGS,
            format!("nothing reads {name}"),
            "check its spelling, or remove it: the settings are listed in README.md",
        )
    })
}

fn scopes(name: &str, value: &str) -> Option<Check> {
    let words: Vec<&str> = value
        .split(|letter: char| letter.is_whitespace() || ",;+\"'[]".contains(letter))
        .collect();
    let found: Vec<&str> = TUTORIAL_SCOPES
        .iter()
        .filter(|scope| words.iter().any(|word| word.eq_ignore_ascii_case(scope)))
        .copied()
        .collect();
    (!found.is_empty()).then(|| {
        Check::warning(
            SCOPES,
            format!("{name} names {}: a client with client credentials has roles, no scopes", found.join(", ")),
            format!("remove {name}, and give the OAuth client a role that may view conversations and edit participants' attributes"),
        )
    })
}

/// Returns an error for a token URL at the API's host, in both forms of the seed tutorials. Also returns an error for a
/// base URL that contains the token's path.
fn token_url(name: &str, value: &str) -> Option<Check> {
    let url = Url::parse(value.trim()).ok()?;
    let path = url.path().trim_end_matches('/');
    let is_token = path.ends_with("/oauth/token") || path.ends_with("/oauth2/token");
    let host = url.host_str()?;
    let is_base = name == "GENESYS_LOGIN_BASE_URL";
    let is_wrong = is_token && family(host).is_some() && !host.starts_with("login.");
    if is_wrong {
        return Some(Check::error(
            HOSTS,
            format!("{name} asks for tokens at {host}, where there are none"),
            "set GENESYS_REGION: tokens are at https://login.<domain>/oauth/token",
        ));
    }
    (is_base && is_token).then(|| {
        Check::error(
            HOSTS,
            format!("{name} ends in {path}, which is added to it once more"),
            "leave the path out: the base of tokens is https://login.<domain>",
        )
    })
}

fn prefixed_region(region: &str) -> Option<Check> {
    let wrong = ["api.", "login.", "apps."];
    let prefix = wrong
        .iter()
        .find(|prefix| region.to_lowercase().starts_with(*prefix))?;
    Some(Check::error(
        HOSTS,
        format!("GENESYS_REGION begins with {prefix}, which is put before it once more"),
        "set it to the AWS region or to the bare domain, such as eu-central-1 or mypurecloud.de",
    ))
}

/// Returns the domain suffix of a host, if the host is one of Genesys Cloud's.
fn family(host: &str) -> Option<&'static str> {
    let ends = |domain: &&&str| {
        host.strip_suffix(**domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    FAMILIES.iter().find(ends).copied()
}

fn hosts(known: Option<&Known>, from_organisation: bool) -> Vec<Check> {
    let Some((api, login)) = known.and_then(|known| known.hosts.as_ref()) else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    for (url, name, wanted) in [
        (api, "GENESYS_API_BASE_URL", "api."),
        (login, "GENESYS_LOGIN_BASE_URL", "login."),
    ] {
        let host = url.host_str().unwrap_or_default();
        if family(host).is_none() || host.starts_with(wanted) {
            checks.extend(plain(url, name));
        } else if from_organisation && api == login {
            // Both hosts are the same, so report the host once.
            checks.extend((name == "GENESYS_API_BASE_URL").then(|| tutorial_host(host)));
        } else if from_organisation {
            checks.push(tutorial_host(host));
        } else {
            checks.push(Check::error(
                HOSTS,
                format!("{name} is at {host}, which is not Genesys Cloud's host for it"),
                format!(
                    "set GENESYS_REGION and leave {name} out, or set it to https://{wanted}<domain>"
                ),
            ));
        }
    }
    let domain = |url: &Url, prefix: &str| {
        let host = url.host_str()?;
        family(host)?;
        host.strip_prefix(prefix).map(str::to_owned)
    };
    if let (Some(api), Some(login)) = (domain(api, "api."), domain(login, "login."))
        && api != login
    {
        checks.push(Check::error(
            HOSTS,
            format!("the API is at {api} and tokens at {login}: one region does not know the other's tokens"),
            "set GENESYS_REGION, and leave GENESYS_API_BASE_URL and GENESYS_LOGIN_BASE_URL out",
        ));
    }
    if checks.is_empty() {
        let name = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        checks.push(Check::ok(
            HOSTS,
            format!("{} and {}", name(api), name(login)),
        ));
    }
    checks
}

/// Returns a warning about the host that the seed tutorials derive from an organisation's name.
fn tutorial_host(host: &str) -> Check {
    Check::warning(
        HOSTS,
        format!(
            "{host} comes from GENESYS_ORG_ID: hosts of this form are in the tutorials only, no SDK of Genesys Cloud knows them"
        ),
        "set GENESYS_REGION in place of GENESYS_ORG_ID",
    )
}

/// Returns a warning about unencrypted HTTP, except to this machine.
fn plain(url: &Url, name: &str) -> Option<Check> {
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    (url.scheme() == "http" && !is_here).then(|| {
        Check::warning(
            HOSTS,
            format!("{name} is plain http: credentials and tokens go there unencrypted"),
            "set it to an https:// address",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::doctor::Verdict;
    use genesys_replay::destination::{Destination, ReplayTarget};
    use genesys_replay::replay::Limits;

    fn subject(variables: &[(&str, &str)]) -> Subject {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Subject {
            variables: owned.collect(),
            known_variables: vec!["GENESYS_REGION", "GENESYS_ORG_ID", "GENESYS_LOGIN_BASE_URL"],
            ..Subject::default()
        }
    }

    fn found(subject: &Subject) -> Vec<(&'static str, Verdict)> {
        look(subject)
            .iter()
            .skip(1)
            .map(|it| (it.name, it.verdict))
            .collect()
    }

    #[test]
    fn every_variable_of_the_tutorials_is_named_with_ours() {
        for (name, _) in RENAMED {
            let checks = look(&subject(&[(name, "hush-hush")]));
            let said: Vec<_> = checks.iter().filter(|it| it.found.contains(name)).collect();
            assert_eq!(said.len(), 1, "{name}");
            assert!(
                said.iter()
                    .all(|it| it.verdict == Verdict::Warning && it.remedy.is_some())
            );
            assert!(!format!("{checks:?}").contains("hush"), "{name}");
        }
        assert_eq!(found(&subject(&[("OAUTH_SECRET", " ")])), []);
    }

    #[test]
    fn scopes_are_found_wherever_they_stand() {
        for value in [
            "eventbridge:replay:write",
            "analytics:conversationdetail:query+eventbridge:endpoint:read",
            "[\"interaction:read\", \"interaction:write\"]",
            "analytics:events:read,EVENTBRIDGE:failed-events:read",
        ] {
            let named = found(&subject(&[("ANY_NAME", value)]));
            assert_eq!(named, [(SCOPES, Verdict::Warning)], "{value}");
        }
        assert_eq!(
            found(&subject(&[("ANY_NAME", "my-interaction:reader")])),
            []
        );
    }

    #[test]
    fn wrong_hosts_are_found() {
        for (name, value, expected) in [
            (
                "ANY_NAME",
                "https://api.mypurecloud.com/oauth/token",
                Some(Verdict::Error),
            ),
            (
                "ANY_NAME",
                "https://api.mypurecloud.de/api/v2/oauth2/token",
                Some(Verdict::Error),
            ),
            (
                "ANY_NAME",
                "https://acme.mypurecloud.com/oauth/token",
                Some(Verdict::Error),
            ),
            (
                "ANY_NAME",
                "https://login.mypurecloud.com/oauth/token",
                None,
            ),
            ("ANY_NAME", "https://login.example.com/oauth/token", None),
            (
                "GENESYS_LOGIN_BASE_URL",
                "https://login.mypurecloud.de/oauth/token",
                Some(Verdict::Error),
            ),
            ("GENESYS_REGION", "api.mypurecloud.de", Some(Verdict::Error)),
            ("GENESYS_REGION", "mypurecloud.de", None),
            ("GENESYS_REGOIN", "mypurecloud.de", Some(Verdict::Warning)),
            ("GENESYS_REPLAY_FUNCTION", "replay", None),
        ] {
            let verdicts: Vec<_> = found(&subject(&[(name, value)]))
                .into_iter()
                .map(|(_, it)| it)
                .collect();
            assert_eq!(
                verdicts,
                expected.into_iter().collect::<Vec<_>>(),
                "{name}={value}"
            );
        }
    }

    fn at(api: &str, login: &str) -> Result<Known, url::ParseError> {
        Ok(Known {
            table: "t".to_owned(),
            remember: None,
            limits: Limits::default(),
            archive: None,
            target: ReplayTarget::Fixed(Destination::None),
            hosts: Some((Url::parse(api)?, Url::parse(login)?)),
        })
    }

    #[test]
    fn the_hosts_are_those_of_one_region() -> Result<(), url::ParseError> {
        for (api, login, organisation, expected) in [
            (
                "https://api.mypurecloud.de",
                "https://login.mypurecloud.de",
                false,
                &[Verdict::Ok][..],
            ),
            (
                "https://api.usw2.pure.cloud",
                "https://login.usw2.pure.cloud",
                false,
                &[Verdict::Ok],
            ),
            (
                "http://127.0.0.1:8080",
                "http://localhost:8080",
                false,
                &[Verdict::Ok],
            ),
            (
                "https://proxy.example",
                "https://login.mypurecloud.de",
                false,
                &[Verdict::Ok],
            ),
            (
                "https://api.mypurecloud.de",
                "https://login.mypurecloud.ie",
                false,
                &[Verdict::Error],
            ),
            (
                "https://api.mypurecloud.com",
                "https://api.mypurecloud.com",
                false,
                &[Verdict::Error],
            ),
            (
                "https://login.mypurecloud.com",
                "https://login.mypurecloud.com",
                false,
                &[Verdict::Error],
            ),
            (
                "https://acme.mypurecloud.com",
                "https://acme.mypurecloud.com",
                true,
                &[Verdict::Warning],
            ),
            (
                "http://proxy.example",
                "https://login.mypurecloud.de",
                false,
                &[Verdict::Warning],
            ),
        ] {
            let known = at(api, login)?;
            let verdicts: Vec<_> = hosts(Some(&known), organisation)
                .iter()
                .map(|it| it.verdict)
                .collect();
            assert_eq!(verdicts, expected, "{api} {login}");
        }
        Ok(())
    }
}
