//! The setting `ALLOWED_TARGETS`: the targets that a dead letter may name.

use std::fmt;

use wildmatch::WildMatch;

use super::{Arn, Destination, EVERY_STREAM};

/// The allowed targets of dead letters.
#[derive(Clone, Debug)]
pub enum AllowedTargets {
    /// Every target.
    Any,
    /// The targets that match one of the patterns; `*` stands for any text, `?` for one character.
    Only(Vec<WildMatch>),
}

impl AllowedTargets {
    /// Allows only targets that match one of these patterns.
    #[must_use]
    pub fn only<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        Self::Only(patterns.into_iter().map(WildMatch::new).collect())
    }

    /// Returns true if at least one allowed target may be of a service that can be called.
    #[must_use]
    pub fn has_callable(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => {
                patterns.iter().any(|pattern| may_match_callable(&pattern.pattern()))
            }
        }
    }

    /// Returns the targets that patterns name without a wildcard.
    pub fn named(&self) -> impl Iterator<Item = Destination> {
        let patterns = match self {
            Self::Any => &[][..],
            Self::Only(patterns) => patterns,
        };
        let texts = patterns.iter().map(WildMatch::pattern);
        let named = texts.filter(|text| !text.contains(['*', '?']));
        named.map(|text| Destination::of_arn(&text))
    }

    /// Returns true if an ARN is allowed. A pattern for a function without a qualifier covers its versions
    /// and aliases. A pattern for a log group covers both forms of its ARN.
    #[must_use]
    pub fn contains(&self, arn: &str) -> bool {
        let Self::Only(patterns) = self else {
            return true;
        };
        let parsed = Arn::parse(arn);
        let function = parsed.as_ref().and_then(Arn::function);
        let group = parsed.as_ref().filter(|arn| arn.log_group().is_some());
        let group = group.map(|_| arn.strip_suffix(EVERY_STREAM).unwrap_or(arn));
        patterns.iter().any(|pattern| {
            pattern.matches(arn)
                || function.is_some_and(|function| pattern.matches(function))
                || group.is_some_and(|group| {
                    pattern.matches(group) || pattern.matches(&format!("{group}{EVERY_STREAM}"))
                })
        })
    }
}

/// The services whose targets can be called.
const CALLABLE_SERVICES: [&str; 9] =
    ["events", "execute-api", "firehose", "kinesis", "lambda", "logs", "sns", "sqs", "states"];

/// Returns true if a pattern may match an ARN of a service that can be called.
fn may_match_callable(pattern: &str) -> bool {
    // A `*` also stands for colons, so a pattern proves nothing after it.
    let (fixed, is_open) = match pattern.split_once('*') {
        Some((fixed, _)) => (fixed, true),
        None => (pattern, false),
    };
    let mut parts = fixed.splitn(4, ':').skip(2);
    match (parts.next(), parts.next()) {
        (None, _) => is_open,
        (Some(start), None) if is_open => {
            CALLABLE_SERVICES.iter().any(|service| service.starts_with(start))
        }
        (Some(service), _) => {
            let service = WildMatch::new(service);
            CALLABLE_SERVICES.iter().any(|callable| service.matches(callable))
        }
    }
}

impl fmt::Display for AllowedTargets {
    /// Writes the value of the setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(patterns) => {
                for (index, pattern) in patterns.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    write!(f, "{separator}{pattern}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_without_a_qualifier_covers_versions_and_aliases() {
        const CRM: &str = "arn:aws:lambda:eu-west-1:271828182845:function:crm";
        for (pattern, arn, expected) in [
            (CRM.to_owned(), CRM.to_owned(), true),
            (CRM.to_owned(), format!("{CRM}:live"), true),
            (CRM.to_owned(), format!("{CRM}:7"), true),
            (CRM.to_owned(), format!("{CRM}-2"), false),
            (CRM.to_owned(), format!("{CRM}-2:live"), false),
            (format!("{CRM}:live"), format!("{CRM}:live"), true),
            (format!("{CRM}:live"), format!("{CRM}:7"), false),
            (format!("{CRM}:live"), CRM.to_owned(), false),
            ("arn:aws:lambda:*:*:function:c?m".to_owned(), format!("{CRM}:live"), true),
            (
                "arn:aws:sns:eu-west-1:271828182845:t".to_owned(),
                "arn:aws:sns:eu-west-1:271828182845:t:x".to_owned(),
                false,
            ),
        ] {
            let only = AllowedTargets::only([pattern.as_str()]);
            assert_eq!(only.contains(&arn), expected, "{pattern} {arn}");
        }
    }

    #[test]
    fn pattern_for_a_log_group_covers_both_forms_of_its_arn() {
        const GROUP: &str = "arn:aws:logs:eu-west-1:271828182845:log-group:/aws/events/crm";
        let every = format!("{GROUP}:*");
        for (pattern, arn, expected) in [
            (GROUP, GROUP, true),
            (GROUP, &every, true),
            (&every, GROUP, true),
            (&every, &every, true),
            (GROUP, &format!("{GROUP}-2"), false),
            (GROUP, &format!("{GROUP}-2:*"), false),
        ] {
            assert_eq!(AllowedTargets::only([pattern]).contains(arn), expected, "{pattern} {arn}");
        }
    }

    #[test]
    fn has_a_callable_target_unless_all_patterns_name_other_services() {
        for (pattern, expected) in [
            ("arn:aws:lambda:*:*:function:crm-*", true),
            ("arn:aws:sqs:eu-west-1:271828182845:q", true),
            ("arn:*", true),
            ("arn:aws:*", true),
            ("arn:aws:s*", true),
            ("arn:aws:s?s:eu-west-1:271828182845:q", true),
            ("arn:aws:ecs:*:*:cluster/x", false),
            ("arn:aws:k*", true),
            ("arn:aws:r*", false),
            ("arn:aws:ecs:eu-west-1:271828182845:cluster/c", false),
            ("arn:aws", false),
            ("arn:", false),
        ] {
            assert_eq!(AllowedTargets::only([pattern]).has_callable(), expected, "{pattern}");
        }
        let both = AllowedTargets::only(["arn:aws:ecs:*", "arn:aws:sns:*"]);
        assert!(both.has_callable());
    }

    #[test]
    fn allowed_targets_are_shown_as_set() {
        let patterns = ["arn:aws:sqs:*", "arn:aws:lambda:*:*:function:crm-?"];
        assert_eq!(AllowedTargets::Any.to_string(), "*");
        assert_eq!(AllowedTargets::only(patterns).to_string(), patterns.join(","));
    }
}
