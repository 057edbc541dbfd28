//! The setting `ALLOWED_TARGETS`: the targets that a dead letter may name.

use std::fmt;

use wildmatch::WildMatch;

use super::Arn;

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

    /// Returns true if an ARN is allowed. A pattern for a function without a qualifier covers its versions
    /// and aliases.
    #[must_use]
    pub fn contains(&self, arn: &str) -> bool {
        let Self::Only(patterns) = self else {
            return true;
        };
        let parsed = Arn::parse(arn);
        let function = parsed.as_ref().and_then(Arn::function);
        patterns.iter().any(|pattern| {
            pattern.matches(arn) || function.is_some_and(|function| pattern.matches(function))
        })
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
    fn allowed_targets_are_shown_as_set() {
        let patterns = ["arn:aws:sqs:*", "arn:aws:lambda:*:*:function:crm-?"];
        assert_eq!(AllowedTargets::Any.to_string(), "*");
        assert_eq!(AllowedTargets::only(patterns).to_string(), patterns.join(","));
    }
}
