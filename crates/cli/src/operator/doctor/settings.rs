//! Checks the settings, and settings of the seed tutorials that were left in place.

use genesys_replay_settings::other_names::OTHER_NAMES;
use genesys_replay_settings::{INGEST_VARIABLES, VARIABLES};
use url::Url;

use super::{Check, DoctorInput};
use crate::config::Variables;

pub(super) const SETTINGS: &str = "settings";
const HOSTS: &str = "Genesys hosts";
const SCOPES: &str = "scopes";

/// The maximum size of all variables of a function. Source: quotas of Lambda.
const MAX_ENVIRONMENT_BYTES: usize = 4_096;

/// The size from which the variables are nearly too long, 90 % of the maximum: a further ARN may not fit.
const WARN_ENVIRONMENT_BYTES: usize = MAX_ENVIRONMENT_BYTES * 9 / 10;

/// The number of variables that the warning names, the longest ones.
const NAMED_VARIABLES: usize = 3;

/// The scopes that the seed tutorials require.
const TUTORIAL_SCOPES: &str = "analytics:conversationdetail:query analytics:events:read \
    eventbridge:endpoint:read eventbridge:subscriptions:read eventbridge:failed-events:read \
    eventbridge:replay:write eventstreams:read eventstreams:write interaction:read \
    interaction:write outbound:campaign:write";

/// The suffixes of Genesys Cloud's domains.
const DOMAINS: &str = "mypurecloud.com mypurecloud.ie mypurecloud.de mypurecloud.com.au \
    mypurecloud.jp pure.cloud us-gov-pure.cloud eusc-pure.cloud";

pub(super) fn checks(input: &DoctorInput) -> Vec<Check> {
    if let Some(error) = &input.unread {
        let remedy = "repair the problem with the function, or omit --function and set the variables in the environment";
        return vec![Check::error(SETTINGS, error.to_string(), remedy)];
    }
    let remedy = "correct the setting of the function (a parameter of the template); the function does not start before";
    let problems = input.problems.iter();
    let mut checks: Vec<Check> =
        problems.map(|problem| Check::error(SETTINGS, problem.clone(), remedy)).collect();
    if checks.is_empty() {
        checks.push(Check::ok(SETTINGS, "the function starts with these settings"));
    }
    if input.function.is_some() {
        checks.extend(environment(&input.variables));
    }
    let value = |name| input.variables.get(name);
    checks.extend(other_names(&input.variables));
    for lint in [unread, scopes, token_url] {
        let variables = input.variables.iter();
        checks.extend(variables.filter_map(|(name, value)| lint(name, value)));
    }
    let region = value("GENESYS_REGION");
    checks.extend(region.and_then(prefixed_region));
    let from_organisation = region.is_none() && value("GENESYS_ORG_ID").is_some();
    if let Some((api, login)) = &input.hosts {
        checks.extend(hosts(api, login, from_organisation));
    }
    checks
}

/// Returns a warning if the variables of a function are nearly as long as Lambda allows.
fn environment(variables: &Variables) -> Option<Check> {
    let mut sizes: Vec<(usize, &str)> =
        variables.iter().map(|(name, value)| (name.len() + value.len(), name)).collect();
    let bytes: usize = sizes.iter().map(|(size, _)| size).sum();
    (bytes >= WARN_ENVIRONMENT_BYTES).then(|| {
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let longest = sizes.iter().take(NAMED_VARIABLES);
        let longest: Vec<_> = longest.map(|(size, name)| format!("{name} {size}")).collect();
        let longest = longest.join(", ");
        Check::warning(
            SETTINGS,
            format!("the variables have {bytes} bytes, and Lambda allows {MAX_ENVIRONMENT_BYTES}: a longer value stops the next deployment. The longest: {longest}"),
            "shorten ALLOWED_TARGETS with patterns (arn:aws:lambda:*:*:function:crm-*), and remove redirects without dead letters",
        )
    })
}

/// Returns a warning for each variable that is not a setting.
pub(super) fn other_names(variables: &Variables) -> impl Iterator<Item = Check> {
    let set = OTHER_NAMES.iter().filter(|other| variables.get(other.name).is_some());
    set.map(|other| {
        let found = format!("{} is not a setting, and nothing reads it", other.name);
        Check::warning(SETTINGS, found, other.remedy)
    })
}

/// Returns a warning for a variable that resembles a setting but is not read: misspelt, or of an older version.
fn unread(name: &str, _: &str) -> Option<Check> {
    let is_ours = name.starts_with("GENESYS_") && !name.starts_with("GENESYS_REPLAY_");
    let is_known = VARIABLES.contains(&name)
        || INGEST_VARIABLES.contains(&name)
        || OTHER_NAMES.iter().any(|other| other.name == name);
    (is_ours && !is_known).then(|| {
        Check::warning(
            SETTINGS,
            format!("{name} is not read"),
            "check its spelling, or remove it: docs/SETTINGS.md lists the settings",
        )
    })
}

fn scopes(name: &str, value: &str) -> Option<Check> {
    let is_between = |letter: char| letter.is_whitespace() || ",;+\"'[]".contains(letter);
    let words: Vec<&str> = value.split(is_between).collect();
    let is_named = |scope: &&str| words.iter().any(|word| word.eq_ignore_ascii_case(scope));
    let scopes = TUTORIAL_SCOPES.split_whitespace().filter(is_named);
    let found = scopes.collect::<Vec<_>>().join(", ");
    (!found.is_empty()).then(|| {
        Check::warning(
            SCOPES,
            format!("{name} names {found}: a client with client credentials has roles, not scopes"),
            format!("remove {name}, and give the OAuth client a role that may view conversations and edit participants' attributes"),
        )
    })
}

/// Returns an error for a token URL at the API's host, in both forms of the seed tutorials. Also returns an error for a
/// base URL that contains the token's path.
fn token_url(name: &str, value: &str) -> Option<Check> {
    let url = Url::parse(value.trim()).ok()?;
    let path = url.path().trim_end_matches('/');
    if !path.ends_with("/oauth/token") && !path.ends_with("/oauth2/token") {
        return None;
    }
    let host = url.host_str()?;
    if is_genesys(host) && !host.starts_with("login.") {
        let found = format!("{name} requests tokens at {host}, which has no token endpoint");
        let remedy = "set GENESYS_REGION: tokens are at https://login.<domain>/oauth/token";
        return Some(Check::error(HOSTS, found, remedy));
    }
    (name == "GENESYS_LOGIN_BASE_URL").then(|| {
        let found = format!("{name} ends with {path}, which is added once more");
        let remedy = "remove the path: the base of tokens is https://login.<domain>";
        Check::error(HOSTS, found, remedy)
    })
}

fn prefixed_region(region: &str) -> Option<Check> {
    let region = region.to_lowercase();
    let mut wrong = ["api.", "login.", "apps."].into_iter();
    let prefix = wrong.find(|prefix| region.starts_with(prefix))?;
    Some(Check::error(
        HOSTS,
        format!("GENESYS_REGION begins with {prefix}, which is added once more"),
        "set it to the AWS region or to the bare domain, such as eu-central-1 or mypurecloud.de",
    ))
}

fn is_genesys(host: &str) -> bool {
    DOMAINS.split_whitespace().any(|domain| {
        let rest = host.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn hosts(api: &Url, login: &Url, from_organisation: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut domains = Vec::new();
    let names = [api, login].map(|url| url.host_str().unwrap_or_default());
    for (url, host, name, prefix) in [
        (api, names[0], "GENESYS_API_BASE_URL", "api."),
        (login, names[1], "GENESYS_LOGIN_BASE_URL", "login."),
    ] {
        if !is_genesys(host) || host.starts_with(prefix) {
            domains.extend(host.strip_prefix(prefix).filter(|_| is_genesys(host)));
            checks.extend(plain(url, name));
        } else if !from_organisation {
            let found = format!("{name} is at {host}, which is not Genesys Cloud's host for it");
            let remedy = format!(
                "set GENESYS_REGION and leave {name} out, or set it to https://{prefix}<domain>"
            );
            checks.push(Check::error(HOSTS, found, remedy));
        } else if api != login || prefix == "api." {
            // If both hosts are the same, only the first one is reported.
            let found = format!(
                "{host} comes from GENESYS_ORG_ID: hosts of this form belong to the legacy sample API; no SDK of Genesys Cloud uses them"
            );
            let remedy = "set GENESYS_REGION in place of GENESYS_ORG_ID";
            checks.push(Check::warning(HOSTS, found, remedy));
        }
    }
    if let [api, login] = domains[..]
        && api != login
    {
        let found = format!(
            "the API is at {api} and tokens at {login}: one region does not accept the other's tokens"
        );
        let remedy =
            "set GENESYS_REGION, and leave GENESYS_API_BASE_URL and GENESYS_LOGIN_BASE_URL out";
        checks.push(Check::error(HOSTS, found, remedy));
    }
    if checks.is_empty() {
        checks.push(Check::ok(HOSTS, names.join(" and ")));
    }
    checks
}

/// Returns a warning about unencrypted HTTP, except to this machine.
fn plain(url: &Url, name: &str) -> Option<Check> {
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    (url.scheme() == "http" && !is_here).then(|| {
        let found = format!("{name} is plain http: credentials and tokens are sent unencrypted");
        Check::warning(HOSTS, found, "set it to an https:// address")
    })
}

#[cfg(test)]
mod tests {
    use genesys_replay_settings::other_names::OtherName;

    use super::*;
    use crate::operator::doctor::Verdict;

    /// Returns the checks of a setting that is written `NAME=value`.
    fn checks(setting: &str) -> Vec<Check> {
        let (name, value) = setting.split_once('=').unwrap_or_default();
        let checks = super::checks(&DoctorInput {
            variables: Variables::default().with(name, value),
            ..DoctorInput::default()
        });
        checks.into_iter().skip(1).collect()
    }

    fn verdicts(checks: &[Check]) -> Vec<(&'static str, Verdict)> {
        checks.iter().map(|it| (it.name, it.verdict)).collect()
    }

    #[test]
    fn variable_that_is_not_a_setting_is_reported_with_the_setting() {
        for OtherName { name, remedy } in OTHER_NAMES {
            let checks = checks(&format!("{name}=hush-hush"));
            assert_eq!(verdicts(&checks), [(SETTINGS, Verdict::Warning)], "{name}");
            assert_eq!(checks[0].remedy.as_deref(), Some(*remedy));
            assert!(checks[0].found.contains(name), "{checks:?}");
            assert!(!format!("{checks:?}").contains("hush"), "{name}");
        }
        assert_eq!(checks("OAUTH_SECRET= "), []);
    }

    #[test]
    fn environment_check_warns_from_ninety_percent_with_sizes() {
        let of = |bytes: usize| {
            let value = "x".repeat(bytes - "AB".len() - "ALLOWED_TARGETS".len());
            environment(&Variables::default().with("A", "B").with("ALLOWED_TARGETS", &value))
        };
        assert_eq!(of(3_685), None);
        for bytes in [3_686, 4_096] {
            let check = of(bytes);
            let found = check.as_ref().map(|it| (it.verdict, it.found.as_str()));
            let expected = format!(
                "the variables have {bytes} bytes, and Lambda allows 4096: a longer value stops the next deployment. \
                 The longest: ALLOWED_TARGETS {}, A 2",
                bytes - 2
            );
            assert_eq!(found, Some((Verdict::Warning, expected.as_str())));
        }
    }

    #[test]
    fn scopes_are_found_in_every_format() {
        for value in [
            "eventbridge:replay:write",
            "analytics:conversationdetail:query+eventbridge:endpoint:read",
            "[\"interaction:read\", \"interaction:write\"]",
            "analytics:events:read,EVENTBRIDGE:failed-events:read",
        ] {
            let found = checks(&format!("ANY_NAME={value}"));
            assert_eq!(verdicts(&found), [(SCOPES, Verdict::Warning)], "{value}");
        }
        assert_eq!(checks("ANY_NAME=my-interaction:reader"), []);
    }

    #[test]
    fn host_check_finds_wrong_hosts() {
        for setting in [
            "ANY_NAME=https://api.mypurecloud.com/oauth/token",
            "ANY_NAME=https://api.mypurecloud.de/api/v2/oauth2/token",
            "ANY_NAME=https://acme.mypurecloud.com/oauth/token",
            "GENESYS_LOGIN_BASE_URL=https://login.mypurecloud.de/oauth/token",
            "GENESYS_REGION=api.mypurecloud.de",
        ] {
            let found = checks(setting);
            assert_eq!(verdicts(&found), [(HOSTS, Verdict::Error)], "{setting}");
        }
        for setting in [
            "ANY_NAME=https://login.mypurecloud.com/oauth/token",
            "ANY_NAME=https://login.example.com/oauth/token",
            "GENESYS_REGION=mypurecloud.de",
            "GENESYS_REPLAY_FUNCTION=replay",
        ] {
            assert_eq!(checks(setting), [], "{setting}");
        }
        let misspelt = checks("GENESYS_REGOIN=mypurecloud.de");
        assert_eq!(verdicts(&misspelt), [(SETTINGS, Verdict::Warning)]);
    }

    #[test]
    fn host_check_finds_hosts_of_two_regions() -> Result<(), url::ParseError> {
        for (expected, from_organisation, pairs) in [
            (
                Verdict::Ok,
                false,
                &[
                    "https://api.mypurecloud.de https://login.mypurecloud.de",
                    "https://api.usw2.pure.cloud https://login.usw2.pure.cloud",
                    "http://127.0.0.1:8080 http://localhost:8080",
                    "https://proxy.example https://login.mypurecloud.de",
                ][..],
            ),
            (
                Verdict::Error,
                false,
                &[
                    "https://api.mypurecloud.de https://login.mypurecloud.ie",
                    "https://api.mypurecloud.com https://api.mypurecloud.com",
                    "https://login.mypurecloud.com https://login.mypurecloud.com",
                ],
            ),
            (Verdict::Warning, false, &["http://proxy.example https://login.mypurecloud.de"]),
            (
                Verdict::Warning,
                true,
                &["https://acme.mypurecloud.com https://acme.mypurecloud.com"],
            ),
        ] {
            for pair in pairs {
                let (api, login) = pair.split_once(' ').unwrap_or_default();
                let found = hosts(&Url::parse(api)?, &Url::parse(login)?, from_organisation);
                assert_eq!(verdicts(&found), [(HOSTS, expected)], "{pair}");
            }
        }
        Ok(())
    }
}
